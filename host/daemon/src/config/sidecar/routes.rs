//! The section `[[routes]]`: which events go to which export.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use qx_events::{InvalidPattern, Pattern, Versions};
use toml_edit::{Item, Table, TableLike, Value};

use super::{SidecarRoute, keys};
use crate::config::fault::{ConfigFault, Place};
use crate::config::layers::{File, Values};
use crate::config::reader::{Reader, kind_of};

/// Reads all of them, if the file has any.
pub(super) fn read_routes(file: &File, faults: &mut Vec<ConfigFault>) -> Option<Vec<SidecarRoute>> {
    let item = file.root().get("routes")?;
    let Some(tables) = route_tables(item) else {
        let text = format!(
            "expected [[routes]] and its keys below it, found {}",
            kind_of(item)
        );
        faults.push(file.fault(item.span(), "routes", text));
        return None;
    };
    if tables.is_empty() {
        let text = "has no route, so that no event would come; leave it out, or add one";
        faults.push(file.fault(item.span(), "routes", text));
    }
    let route = |(index, (table, span))| {
        let place = file.place(span);
        read_route(file, index, (table, place), faults)
    };
    Some(tables.into_iter().enumerate().map(route).collect())
}

type Spanned<'f> = (&'f dyn TableLike, Option<Range<usize>>);

/// The tables in both notations: `[[routes]]`, and a list of inline tables.
fn route_tables(item: &Item) -> Option<Vec<Spanned<'_>>> {
    match item {
        Item::ArrayOfTables(tables) => Some(tables.iter().map(spanned_table).collect()),
        Item::Value(value) => value.as_array()?.iter().map(spanned_inline).collect(),
        Item::Table(_) | Item::None => None,
    }
}

fn spanned_table(table: &Table) -> Spanned<'_> {
    (table, table.span())
}

fn spanned_inline(value: &Value) -> Option<Spanned<'_>> {
    Some((value.as_inline_table()?, value.span()))
}

fn read_route(
    file: &File,
    index: usize,
    (table, place): (&dyn TableLike, Place),
    faults: &mut Vec<ConfigFault>,
) -> SidecarRoute {
    let shown = format!("routes[{index}]");
    let mut values = Values::new();
    let found = (&mut values, &mut *faults);
    file.take(table, ("routes", &shown), (keys::ALL, &[]), found);
    let variables = BTreeMap::new();
    let reader = Reader::new(values, Path::new(""), &variables, Vec::new()).shown_as(shown, place);
    let route = SidecarRoute {
        patterns: read_patterns(&reader),
        versions: read_versions(&reader),
        export: reader.text(&keys::ROUTE_EXPORT),
    };
    faults.extend(reader.into_faults());
    route
}

fn read_patterns(reader: &Reader<'_>) -> Vec<Pattern> {
    let Some(texts) = reader.list_given(&keys::ROUTE_EVENTS) else {
        if !reader.is_given(&keys::ROUTE_EVENTS) {
            let text = "missing; add events = [\"order.placed\"] to every [[routes]]";
            reader.fault(&keys::ROUTE_EVENTS, text);
        }
        return Vec::new();
    };
    if texts.is_empty() {
        reader.fault(&keys::ROUTE_EVENTS, "is empty; name at least one event");
    }
    let parse = |text: &String| {
        let note = |error: InvalidPattern| {
            reader.fault(&keys::ROUTE_EVENTS, error.to_string());
        };
        Pattern::parse(text).map_err(note).ok()
    };
    texts.iter().filter_map(parse).collect()
}

fn read_versions(reader: &Reader<'_>) -> Versions {
    let Some(item) = reader.item(&keys::ROUTE_VERSIONS) else {
        return Versions::Only(vec![1]);
    };
    if item.as_str() == Some("*") {
        return Versions::Any;
    }
    let version = |value: &Value| {
        let number = u32::try_from(value.as_integer()?).ok()?;
        Some(number).filter(|number| *number >= 1)
    };
    let versions: Option<Vec<u32>> = item
        .as_array()
        .and_then(|array| array.iter().map(version).collect());
    if let Some(versions) = versions.filter(|versions| !versions.is_empty()) {
        return Versions::Only(versions);
    }
    let text = "expected a list of versions from 1, such as [1, 2], or \"*\" for all of them";
    reader.fault(&keys::ROUTE_VERSIONS, text);
    Versions::Any
}

//! The routes that a component carries: what the SDK writes into the section
//! `qx:routes`, one record a line, `<export>\t<event or pattern>\t<versions>`.
//!
//! Written by a stranger: whatever is in it, the worst is a load error that says
//! which record is wrong.

use qx_events::{Pattern, Versions};

use crate::error::LoadError;

/// Most records: a component with more is generated, and by mistake.
const RECORDS_MAX: usize = 1_000;

/// Most versions in one record.
const VERSIONS_MAX: usize = 100;

/// Where one event, or a pattern of events, leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    pub(crate) versions: Versions,
    /// `None` where the component has only one to choose.
    pub(crate) export: Option<String>,
}

/// Reads all records. A record that stands there twice counts once.
pub(crate) fn parse(section: &[u8]) -> Result<Vec<Route>, LoadError> {
    let wrong = |what: String| LoadError::Routes { what };
    let text = str::from_utf8(section).map_err(|error| wrong(format!("not UTF-8: {error}")))?;
    let mut routes: Vec<Route> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if index >= RECORDS_MAX {
            return Err(wrong(format!("more than {RECORDS_MAX} records")));
        }
        let route = record(line)
            .map_err(|why| wrong(format!("record {} (`{}`) {why}", index + 1, shown(line))))?;
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

fn record(line: &str) -> Result<Route, String> {
    let mut fields = line.split('\t');
    let (Some(export), Some(pattern), Some(versions), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(
            "is not `<export> <event or pattern> <versions>`, separated by tabs".to_owned(),
        );
    };
    if export.is_empty() {
        return Err("names no export".to_owned());
    }
    Ok(Route {
        pattern: Pattern::parse(pattern).map_err(|error| format!("is not legal: {error}"))?,
        versions: read_versions(versions)?,
        export: Some(export.to_owned()),
    })
}

fn read_versions(text: &str) -> Result<Versions, String> {
    const RULE: &str = "has no legal versions: use `*`, or numbers from 1 such as `1` and `1,2`";
    if text == "*" {
        return Ok(Versions::Any);
    }
    let mut own = Vec::new();
    for number in text.split(',') {
        match number.parse::<u32>() {
            Ok(version) if version > 0 && own.len() < VERSIONS_MAX => own.push(version),
            Ok(_) | Err(_) => return Err(RULE.to_owned()),
        }
    }
    Ok(Versions::Only(own))
}

/// Enough of a line to recognise it, with control characters made visible.
fn shown(line: &str) -> String {
    line.escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_several_handlers_stand_one_after_the_other() {
        let routes = parse(
            b"on-star\tgithub.star.created\t1\non-star\tgithub.star.deleted\t1,2\nhandler\torder.>\t*\n\
              on-star\tgithub.star.created\t1\n",
        )
        .unwrap();
        assert_eq!(routes.len(), 3);
        assert_eq!(routes[0].export.as_deref(), Some("on-star"));
        assert_eq!(routes[1].versions, Versions::Only(vec![1, 2]));
        assert_eq!(routes[2].pattern, Pattern::parse("order.>").unwrap());
        assert_eq!(routes[2].versions, Versions::Any);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn whatever_is_in_it_the_worst_is_an_error_that_names_the_record() {
        let many = "a\tb\t1\n".repeat(RECORDS_MAX + 1);
        let numbers = format!("a\tb\t{}\n", "1,".repeat(VERSIONS_MAX + 1));
        for bad in [
            "\n",
            "a",
            "a\tb",
            "a\tb\t1\t2",
            "\tb\t1",
            "a\tb c\t1",
            "a\ta.>.b\t1",
            "a\tb\t",
            "a\tb\t0",
            "a\tb\t-1",
            "a\tb\t1,",
            "a\tb\t99999999999",
            "a\tb\t**",
            "a\0\tb\t1\0",
            &many,
            &numbers,
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("record"), "{bad:?}: {error}");
        }
        assert!(parse(b"\xff\xfe").is_err());
    }
}

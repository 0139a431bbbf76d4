//! `qx-host schema`: the type of each event that a component takes, as WIT or as JSON
//! Schema. Loads the component as the daemon would: what is printed is what would be
//! in service.

use std::path::Path;

use qx_events::{Binding, ComponentName};
use qx_sandbox::{Sandbox, SandboxConfig};
use serde::Serialize;
use serde_json::{Value, json};
use wit_parser::Type;

use super::args::{SchemaArgs, SchemaFormat};
use super::exit::{Exit, Failure};
use super::screen;
use crate::catalog;
use crate::clock::SystemClock;
use crate::config::{Config, Sidecar};
use crate::guest::schema::{Types, json_schema, wit};

/// What a component takes, as far as its types say.
struct Contract {
    component: ComponentName,
    types: Types,
    events: Vec<Taken>,
}

/// One event, or a pattern of events.
struct Taken {
    event: String,
    versions: String,
    export: String,
    /// `None`: JSON of whatever shape.
    ty: Option<Type>,
}

/// One event in the list of schemas.
#[derive(Serialize)]
struct EventSchema<'a> {
    event: &'a str,
    versions: &'a str,
    export: &'a str,
    schema: Value,
}

pub(super) async fn schema(config: Option<&Path>, args: &SchemaArgs) -> Result<Exit, Failure> {
    let contract = read(config, &args.component).await?;
    match (args.format, &args.event) {
        (SchemaFormat::Wit, event) => {
            let events = contract.only(event.as_deref())?;
            screen::say(text(&contract, &events).trim_end());
        }
        (SchemaFormat::JsonSchema, None) => {
            let all: Vec<EventSchema<'_>> = contract
                .events
                .iter()
                .map(|taken| contract.listed(taken))
                .collect();
            screen::json(&all)?;
        }
        (SchemaFormat::JsonSchema, Some(event)) => {
            if let [only, ..] = contract.only(Some(event))?.as_slice() {
                screen::json(&contract.schema(only))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn read(config: Option<&Path>, wasm: &Path) -> Result<Contract, Failure> {
    let host = match config {
        Some(path) => Config::load(Some(path), crate::open::environment(), &[])?,
        None => Config::parse(Path::new(Config::FILE_NAME), "", [], &[])?,
    };
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy();
    let shown = wasm.display();
    let name =
        ComponentName::parse(&stem).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let bytes =
        std::fs::read(wasm).map_err(|error| Failure::failed(&format!("read {shown}"), error))?;
    let sidecar = Sidecar::load(&wasm.with_extension("toml"), &host.components)?;
    let sandbox = Sandbox::new(SandboxConfig::new(std::sync::Arc::new(SystemClock)))
        .map_err(|error| Failure::failed("start the sandbox", error))?;
    let manifest = catalog::manifest(name.clone(), sidecar);
    let loaded = sandbox
        .load(bytes.clone(), manifest)
        .await
        .map_err(|error| Failure::failed(&format!("load {shown}"), error))?;
    let types =
        Types::read(&bytes).map_err(|error| Failure::failed(&format!("read {shown}"), error))?;
    let taken = |binding: &Binding| {
        let export = loaded
            .exports
            .get(binding.export.0)
            .cloned()
            .unwrap_or_default();
        let is_typed = loaded
            .payloads
            .get(binding.export.0)
            .is_some_and(Option::is_some);
        Taken {
            event: binding.pattern.to_string(),
            versions: binding.versions.to_string(),
            ty: is_typed.then(|| types.taken_by(&export)).flatten(),
            export,
        }
    };
    let events = loaded.bindings.iter().map(taken).collect();
    Ok(Contract {
        component: name,
        types,
        events,
    })
}

impl Contract {
    /// The events that were asked for.
    fn only(&self, event: Option<&str>) -> Result<Vec<&Taken>, Failure> {
        let Some(event) = event else {
            return Ok(self.events.iter().collect());
        };
        let found: Vec<&Taken> = self
            .events
            .iter()
            .filter(|taken| taken.event == event)
            .collect();
        if found.is_empty() {
            let all: Vec<&str> = self
                .events
                .iter()
                .map(|taken| taken.event.as_str())
                .collect();
            return Err(Failure::usage(format!(
                "{} does not name the event `{event}`; it takes {}",
                self.component,
                all.join(", ")
            )));
        }
        Ok(found)
    }

    fn listed<'a>(&'a self, taken: &'a Taken) -> EventSchema<'a> {
        EventSchema {
            event: &taken.event,
            versions: &taken.versions,
            export: &taken.export,
            schema: self.schema(taken),
        }
    }

    fn schema(&self, taken: &Taken) -> Value {
        match taken.ty {
            Some(ty) => json_schema(&self.types, ty, &taken.event),
            None => json!(true),
        }
    }
}

/// Which event is of which type, and the types.
fn text(contract: &Contract, events: &[&Taken]) -> String {
    let mut text = String::new();
    for taken in events {
        let Taken {
            event,
            versions,
            export,
            ty,
        } = taken;
        let shown = match ty {
            Some(ty) => format!("`{}`", contract.types.shown(*ty)),
            None => "JSON of any shape".to_owned(),
        };
        let line = format!("// {event}, version {versions}: {shown}, taken by {export}\n");
        text.push_str(&line);
    }
    let payloads: Vec<Type> = events.iter().filter_map(|taken| taken.ty).collect();
    let types = wit(&contract.types, &payloads);
    if !types.is_empty() {
        let package = format!("package qx-events:{};\n\n{types}", contract.component);
        text.push_str(&package);
    }
    text
}

//! `qx-host trigger`: records events in the outbox, in one transaction.

use std::io::Read;
use std::path::{Path, PathBuf};

use qx_events::ports::Clock;
use qx_events::{EventName, NewEvent, TraceContext};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::TriggerArgs;
use super::exit::{Exit, Failure};
use super::screen;
use crate::clock::SystemClock;
use crate::open;

/// One line of `--lines`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event_name: String,
    payload: Box<RawValue>,
    #[serde(default)]
    event_version: Option<u32>,
    #[serde(default)]
    tenant_id: Option<uuid::Uuid>,
    #[serde(default)]
    correlation_id: Option<uuid::Uuid>,
}

pub(super) async fn trigger(config: Option<&Path>, args: TriggerArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let events = match &args.lines {
        Some(path) => lines(path)?,
        None => vec![single(&args)?],
    };
    let store = open::migrated_store(&config).await?;
    store
        .record(&events)
        .await
        .map_err(|fault| Failure::failed("record the events", fault))?;
    match events.as_slice() {
        [one] => screen::say(&format!("recorded {} {}", one.0.event_name, one.0.event_id)),
        many => screen::say(&format!("recorded {} events", many.len())),
    }
    Ok(Exit::Done)
}

/// Reads a file of JSON lines.
pub(super) fn lines(path: &Path) -> Result<Vec<NewEvent>, Failure> {
    let text = read(path)?;
    let mut events = Vec::new();
    for (number, line) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let place = || format!("{}:{number}", path.display());
        let line: Line = serde_json::from_str(line).map_err(|error| {
            Failure::usage(format!(
                "{}: not an event: {error}; each line is {{\"event_name\": …, \"payload\": …}}",
                place()
            ))
        })?;
        let name = EventName::parse(&line.event_name)
            .map_err(|error| Failure::usage(format!("{}: {error}", place())))?;
        let mut event = NewEvent::new(name, line.payload, SystemClock.now());
        event.0.event_version = line.event_version.unwrap_or(1);
        event.0.tenant_id = line.tenant_id;
        event.0.correlation_id = line.correlation_id;
        events.push(event);
    }
    Ok(events)
}

/// What stands on the command line as JSON, `@file`, or `-` for standard input.
pub(super) fn text(given: &str) -> Result<String, Failure> {
    match given.strip_prefix('@') {
        Some(path) => read(Path::new(path)),
        None if given == "-" => read(Path::new("-")),
        None => Ok(given.to_owned()),
    }
}

fn single(args: &TriggerArgs) -> Result<NewEvent, Failure> {
    // The command line asks for a name where no file is given.
    let name = EventName::parse(args.event_name.as_deref().unwrap_or_default())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let data = text(&args.data)?;
    let payload = RawValue::from_string(data).map_err(|error| {
        Failure::usage(format!("--data is not JSON: {error}; give JSON, or @file"))
    })?;
    let trace = match &args.traceparent {
        Some(parent) => Some(TraceContext::parse(parent, None).ok_or_else(|| {
            Failure::usage("--traceparent is no W3C context: 00-<32 hex>-<16 hex>-<2 hex>")
        })?),
        None => None,
    };
    let mut event = NewEvent::new(name, payload, SystemClock.now());
    event.0.event_version = args.event_version;
    event.0.tenant_id = args.tenant;
    event.0.correlation_id = args.correlation;
    event.0.trace = trace;
    Ok(event)
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        Failure::usage(format!(
            "{} cannot be read: {error}",
            PathBuf::from(path).display()
        ))
    })
}

//! The events of a scenario, complete with what it does not say.

use std::path::Path;

use qx_events::{Envelope, TraceContext};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fault::ScenarioFault;
use super::file::{EventGiven, Recorded, Scenario};

/// The event's id where a scenario does not say one: the same in every run.
const EVENT_ID: &str = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";

/// When it happened where a scenario does not say it.
const OCCURRED_AT: &str = "2026-03-01T10:00:00Z";

/// The event, as if it had been read from the stream.
pub(super) fn envelope(scenario: &Scenario, event: &EventGiven) -> Result<Envelope, ScenarioFault> {
    let wrong = |text: String| ScenarioFault::new(&scenario.path, text);
    let body = json!({
        "event_id": event.id.as_deref().unwrap_or(EVENT_ID),
        "event_name": event.name,
        "event_version": event.version,
        "occurred_at": event.occurred_at.as_deref().unwrap_or(OCCURRED_AT),
        "tenant_id": event.tenant_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "actor_id": event.actor_id,
        "payload": Value::Null,
    });
    let trace = match &event.traceparent {
        None => None,
        Some(parent) => Some(
            TraceContext::parse(parent, None)
                .ok_or_else(|| wrong(format!("event.traceparent: `{parent}` is no W3C context")))?,
        ),
    };
    let mut envelope = Envelope::decode(body.to_string().as_bytes(), trace)
        .map_err(|error| wrong(format!("event: {error}")))?;
    envelope.payload = match (&event.payload, &event.from) {
        (Some(payload), None) => payload.clone(),
        (None, Some(from)) => recorded(scenario, from)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(wrong("an event has either `payload` or `from`".to_owned()));
        }
    };
    Ok(envelope)
}

#[derive(Deserialize)]
struct RecordedEvent {
    event_name: String,
    payload: Box<RawValue>,
}

/// The payload of a recorded event.
fn recorded(scenario: &Scenario, from: &Recorded) -> Result<Box<RawValue>, ScenarioFault> {
    let wrong = |text: String| ScenarioFault::new(&scenario.path, text);
    let file: &Path = &scenario.project().join(&from.file);
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(format!("from.file: {shown} cannot be read: {error}")))?;
    let mut index = 0;
    for (number, line) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let event: RecordedEvent = serde_json::from_str(line).map_err(|error| {
            wrong(format!(
                "{shown}:{number}: not an event: {error}; each line is {{\"event_name\": …, \"payload\": …}}"
            ))
        })?;
        if event.event_name == from.name {
            if index == from.index {
                return Ok(event.payload);
            }
            index += 1;
        }
    }
    Err(wrong(format!(
        "from: {shown} has {index} events `{}`, and number {} was asked for, counted from 0",
        from.name, from.index
    )))
}

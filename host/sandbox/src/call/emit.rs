//! Events that a call emits: collected here, and gone with the call unless its
//! effects are committed.
//!
//! An emitted event has the same id on every attempt of its cause, so that it is
//! recognised wherever ids are compared.

use std::time::Duration;

use chrono::{DateTime, Utc};
use qx_events::{Due, Envelope, EventName, NewEvent, OrderingKey};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::call::context::Context;
use crate::call::json;
use crate::call::text::visible;
use crate::contract::emit::{self, Error, Host};

/// Bytes of an explanation that quotes the guest.
const WHY_BYTES_MAX: usize = 300;

/// Furthest that an emitted event may be due, from its call: any day of a year. What
/// is to happen later belongs into a table that somebody looks after.
pub(crate) const DUE_DAYS_MAX: usize = 366;
const DUE_MAX: Duration = Duration::from_hours(24 * DUE_DAYS_MAX as u64);

/// What a call has emitted, in order.
#[derive(Debug, Default)]
pub(crate) struct Emitted(Vec<NewEvent>);

impl Emitted {
    pub(crate) fn into_events(self) -> Vec<NewEvent> {
        self.0
    }
}

impl Host for Context {
    fn emit(&mut self, event: emit::NewEvent) -> wasmtime::Result<Result<String, Error>> {
        self.enter()?;
        Ok(self.record(event))
    }
}

impl Context {
    fn record(&mut self, event: emit::NewEvent) -> Result<String, Error> {
        let limits = &self.shared.settings.limits;
        let index = self.emitted.0.len();
        if u32::try_from(index).is_ok_and(|count| count >= limits.emitted_events) {
            let max = limits.emitted_events;
            let why = format!("a call emits at most {max} events");
            return Err(Error::Limit(self.over("emitted_events", why)));
        }
        let (bytes, max) = (event.payload.len(), limits.value_bytes);
        if bytes > max {
            let why = format!("a payload has at most {max} bytes, this one has {bytes}");
            return Err(Error::Limit(self.over("value_kb", why)));
        }
        let invalid = |why: String| Error::Invalid(visible(&why, WHY_BYTES_MAX));
        let name = EventName::parse(&event.name).map_err(|error| invalid(error.to_string()))?;
        if !self.shared.settings.rights.may_emit(&name) {
            return Err(Error::Denied(self.not_granted(&name)));
        }
        if event.version == 0 || i32::try_from(event.version).is_err() {
            let version = event.version;
            return Err(invalid(format!(
                "a version counts from 1, this is {version}"
            )));
        }
        let key = event.ordering_key.as_deref().map(OrderingKey::parse);
        let key = key
            .transpose()
            .map_err(|error| invalid(error.to_string()))?;
        let due = self.due(event.due)?;
        let payload = json::payload(event.payload)
            .map_err(|error| invalid(format!("the payload is not JSON: {error}")))?;
        self.keep(bytes, 0).map_err(|max| {
            let why = format!("a call keeps at most {max} bytes in all");
            Error::Limit(self.over("value_kb", why))
        })?;
        let envelope = Envelope {
            ordering_key: key,
            ..self.envelope(index, name, event.version, payload)
        };
        let id = envelope.event_id.to_string();
        self.emitted.0.push(NewEvent::of(envelope).when(due));
        Ok(id)
    }

    fn not_granted(&self, name: &EventName) -> String {
        let component = &self.shared.name;
        format!(
            "`{component}` may not emit `{name}`: add it to `emit` under `[grants.{component}]` of \
                qx-host.toml, and in `{component}.toml` if that file has the key"
        )
    }

    /// When it is to leave. A wait counts from the commit, by the database's clock: it
    /// stays a wait until then.
    fn due(&self, due: Option<emit::Due>) -> Result<Due, Error> {
        let far = || {
            let why = format!("an event is due within {DUE_DAYS_MAX} days");
            Error::Limit(self.over("due", why))
        };
        match due {
            None => Ok(Due::AtOnce),
            Some(emit::Due::After(ms)) => {
                let wait = Duration::from_millis(ms);
                if wait > DUE_MAX {
                    return Err(far());
                }
                Ok(Due::After(wait))
            }
            Some(emit::Due::At(text)) => {
                let Ok(time) = DateTime::parse_from_rfc3339(&text) else {
                    let why = format!(
                        "due at `{text}`, which is no time: write ISO 8601 with an offset, such as 2026-03-01T10:00:00Z"
                    );
                    return Err(Error::Invalid(visible(&why, WHY_BYTES_MAX)));
                };
                let time = time.with_timezone(&Utc);
                let wait = (time - self.shared.clock.now()).to_std();
                if wait.is_ok_and(|wait| wait > DUE_MAX) {
                    return Err(far());
                }
                Ok(Due::At(time))
            }
        }
    }

    /// The event as it will be recorded: what it inherits comes from its cause.
    fn envelope(
        &self,
        index: usize,
        name: EventName,
        version: u32,
        payload: Box<RawValue>,
    ) -> Envelope {
        let cause = &self.invocation.envelope;
        let new = NewEvent::new(name, payload, self.shared.clock.now()).0;
        Envelope {
            event_id: id(cause.event_id, self.shared.name.as_str(), index),
            event_version: version,
            correlation_id: cause.correlation_id,
            causation_id: Some(cause.event_id),
            tenant_id: cause.tenant_id,
            trace: self.invocation.trace.clone(),
            ..new
        }
    }
}

/// A name-based UUID: the cause, who emits, and the how-manieth it is.
fn id(cause: Uuid, component: &str, index: usize) -> Uuid {
    Uuid::new_v5(&cause, format!("{component}/{index}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emitted_events_id_is_the_same_on_every_attempt_and_no_others() {
        let ids = [
            id(Uuid::nil(), "stars", 0),
            id(Uuid::nil(), "stars", 1),
            id(Uuid::nil(), "other", 0),
            id(Uuid::max(), "stars", 0),
        ];
        assert_eq!(ids[0], id(Uuid::nil(), "stars", 0));
        for (index, own) in ids.iter().enumerate() {
            assert!(!ids[index + 1..].contains(own));
        }
        assert_eq!(
            ids[0].to_string(),
            "2dd4d5ba-764c-5b4f-a049-129431e41223",
            "ids of events in flight must survive an update of the host"
        );
    }
}

//! Rows of the outbox: how a new one is made, and how a stored one becomes a
//! message. Both are plain functions of values.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::key::{InvalidOrderingKey, OrderingKey};
use crate::name::{EventName, InvalidEventName};
use crate::trace::TraceContext;
use crate::wire::{Headers, Outgoing};

/// An event that is to be recorded, and when it is to leave: at once, as a rule.
#[derive(Debug, Clone)]
pub struct NewEvent(pub Envelope, Due);

/// When an event is to leave, by the clock of the database that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// As soon as it is committed.
    AtOnce,
    /// Not before this time.
    At(DateTime<Utc>),
    /// Not before this long after it was recorded.
    After(Duration),
}

impl NewEvent {
    /// An event with a fresh id that happened now. `payload` is JSON text.
    ///
    /// Everything else of the envelope is open: set it on the field.
    pub fn new(event_name: EventName, payload: Box<RawValue>, now: DateTime<Utc>) -> Self {
        Self::of(Envelope {
            event_id: Uuid::now_v7(),
            event_name,
            event_version: 1,
            occurred_at: now.to_rfc3339_opts(SecondsFormat::Micros, false).into(),
            correlation_id: None,
            causation_id: None,
            tenant_id: None,
            actor_id: None,
            payload,
            ordering_key: None,
            trace: None,
        })
    }

    /// This event, at once.
    pub const fn of(envelope: Envelope) -> Self {
        Self(envelope, Due::AtOnce)
    }

    /// Not before this time, by the clock of the database. It then takes its place
    /// behind everything that waits.
    #[must_use]
    pub fn due_at(self, time: DateTime<Utc>) -> Self {
        self.when(Due::At(time))
    }

    /// Not before this long after it was recorded, likewise. No clock but that of the
    /// database is asked.
    #[must_use]
    pub fn due_after(self, wait: Duration) -> Self {
        self.when(Due::After(wait))
    }

    /// The same event, then.
    #[must_use]
    pub fn when(self, due: Due) -> Self {
        Self(self.0, due)
    }

    /// When it is to leave.
    pub const fn due(&self) -> Due {
        self.1
    }
}

/// A row that waits for the relay, as the database has it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Position in the outbox; grows with insertion, not with commit.
    pub seq: i64,
    /// Primary key. Not the event's id.
    pub id: Uuid,
    /// Column `event_name`, unchecked.
    pub event_name: String,
    /// Column `event_version`.
    pub event_version: i32,
    /// Column `correlation_id`.
    pub correlation_id: Option<Uuid>,
    /// Column `tenant_id`.
    pub tenant_id: Option<Uuid>,
    /// Column `ordering_key`, unchecked. Empty counts as none.
    pub ordering_key: Option<String>,
    /// Columns `traceparent` and `tracestate`, unchecked.
    pub traceparent: Option<String>,
    /// See `traceparent`.
    pub tracestate: Option<String>,
    /// Column `payload`: the whole envelope as JSON text.
    pub body: Bytes,
}

/// A row that can never become a message, and why.
#[derive(Debug, thiserror::Error)]
pub enum Unpublishable {
    /// The name is no subject.
    #[error(transparent)]
    Name(#[from] InvalidEventName),
    /// The key cannot become a header.
    #[error("column ordering_key: {0}")]
    OrderingKey(#[from] InvalidOrderingKey),
    /// The column `payload` does not hold an envelope.
    #[error("column payload must hold the whole envelope with a UUID in event_id: {0}")]
    NotAnEnvelope(#[from] serde_json::Error),
}

/// The part of the envelope that the relay needs.
#[derive(Deserialize)]
struct Head<'a> {
    event_id: Uuid,
    #[serde(borrow, default)]
    traceparent: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    tracestate: Option<std::borrow::Cow<'a, str>>,
}

/// Makes the message of a row. The body is passed on as it is.
pub fn prepare(row: &Row) -> Result<Outgoing, Unpublishable> {
    let event_name = EventName::parse(&row.event_name)?;
    let head: Head<'_> = serde_json::from_slice(&row.body)?;
    let key = row.ordering_key.as_deref().filter(|key| !key.is_empty());
    let key = key.map(OrderingKey::parse).transpose()?;
    let trace = match &row.traceparent {
        Some(parent) => TraceContext::parse(parent, row.tracestate.as_deref()),
        None => head
            .traceparent
            .as_deref()
            .and_then(|parent| TraceContext::parse(parent, head.tracestate.as_deref())),
    };
    let headers = Headers::of_event(
        &event_name,
        row.event_version,
        head.event_id,
        row.correlation_id,
        row.tenant_id,
        trace.as_ref(),
    );
    let headers = headers.with_ordering_key(key.as_ref());
    Ok(Outgoing {
        message_id: head.event_id,
        event_name,
        headers,
        body: row.body.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn row(name: &str, body: &str) -> Row {
        Row {
            seq: 1,
            id: Uuid::nil(),
            event_name: name.to_owned(),
            event_version: 3,
            correlation_id: Some(Uuid::max()),
            tenant_id: None,
            ordering_key: None,
            traceparent: None,
            tracestate: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    const ID: &str = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";

    #[test]
    fn the_message_id_is_the_events_id_and_the_body_is_untouched() {
        let body = format!(r#"{{ "event_id": "{ID}", "payload": {{"x":1.0}} }}"#);
        let message = prepare(&row("a.b", &body)).unwrap();
        assert_eq!(message.message_id.to_string(), ID);
        assert_eq!(message.body, body.as_bytes());
        assert_eq!(message.headers.get(wire::EVENT_VERSION), Some("3"));
        assert_eq!(message.headers.get(wire::EVENT_ID), Some(ID));
        assert_eq!(message.headers.get(wire::TENANT_ID), None);
    }

    #[test]
    fn the_rows_trace_context_reaches_the_headers() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let body = format!(r#"{{"event_id":"{ID}","payload":1,"traceparent":"{parent}"}}"#);
        let from_body = prepare(&row("a", &body)).unwrap();
        assert_eq!(from_body.headers.get(wire::TRACEPARENT), Some(parent));
        let own = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let from_row = Row {
            traceparent: Some(own.to_owned()),
            ..row("a", &body)
        };
        assert_eq!(
            prepare(&from_row).unwrap().headers.get(wire::TRACEPARENT),
            Some(own)
        );
    }

    #[test]
    fn the_rows_ordering_key_reaches_the_envelope_by_way_of_the_headers() {
        let body = format!(r#"{{"event_id":"{ID}","event_name":"a","payload":1}}"#);
        for (column, arrives) in [
            (None, None),
            (Some(""), None),
            (Some("order 7"), Some("order 7")),
        ] {
            let row = Row {
                ordering_key: column.map(str::to_owned),
                ..row("a", &body)
            };
            let message = prepare(&row).unwrap();
            let envelope = Envelope::of_message(&message.body, &message.headers).unwrap();
            let key = envelope.ordering_key.as_ref().map(OrderingKey::as_str);
            assert_eq!(key, arrives);
        }
        let illegal = Row {
            ordering_key: Some("a\nb".to_owned()),
            ..row("a", &body)
        };
        assert!(prepare(&illegal).is_err());
    }

    #[test]
    fn a_row_that_can_never_be_a_message_says_why() {
        for (name, body) in [
            ("a b", "{}"),
            ("a", "{}"),
            ("a", "[]"),
            ("a", r#"{"event_id":7}"#),
        ] {
            assert!(prepare(&row(name, body)).is_err(), "{name} {body}");
        }
    }
}

//! The envelope: what one message's body says about its event.
//!
//! Read once, on arrival. The payload stays the text it was: nothing here looks
//! inside it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::key::OrderingKey;
use crate::name::{EventName, InvalidEventName};
use crate::trace::TraceContext;
use crate::wire::Headers;

/// One event, decoded from a message's body.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Identity of the event; also the message id on the stream.
    pub event_id: Uuid,
    /// Dotted name.
    pub event_name: EventName,
    /// Version of the payload's shape, from 1.
    pub event_version: u32,
    /// ISO 8601, as the producer wrote it.
    pub occurred_at: Box<str>,
    /// Ties the events of one business process together.
    pub correlation_id: Option<Uuid>,
    /// The event that caused this one.
    pub causation_id: Option<Uuid>,
    /// Whose event it is; state is kept apart by it.
    pub tenant_id: Option<Uuid>,
    /// Who acted. Usually a UUID, but any text is passed on.
    pub actor_id: Option<Box<str>>,
    /// JSON text.
    pub payload: Box<RawValue>,
    /// Events of one key keep their order. Travels beside the body: in the column
    /// and the header of that name, absent with the predecessor.
    pub ordering_key: Option<OrderingKey>,
    /// W3C context of the producer, when there was one.
    pub trace: Option<TraceContext>,
}

/// The body is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the envelope's shape.
    #[error("body is not a JSON envelope: {0}")]
    NotAnEnvelope(#[from] serde_json::Error),
    /// The name inside is not legal.
    #[error(transparent)]
    Name(#[from] InvalidEventName),
}

/// The body as it is written, field by field in the predecessor's order.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    event_id: Uuid,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(default = "first_version")]
    event_version: u32,
    #[serde(borrow, default)]
    occurred_at: Cow<'a, str>,
    #[serde(default)]
    correlation_id: Option<Uuid>,
    #[serde(default)]
    causation_id: Option<Uuid>,
    #[serde(default)]
    tenant_id: Option<Uuid>,
    #[serde(borrow, default)]
    actor_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<Cow<'a, str>>,
}

const fn first_version() -> u32 {
    1
}

impl Envelope {
    /// Reads a message: its body, and what its headers say beside it. An ordering
    /// key that is not legal, of a stranger's message, counts as none.
    pub fn of_message(body: &[u8], headers: &Headers) -> Result<Self, Malformed> {
        let ordering_key = headers.ordering_key();
        Ok(Self {
            ordering_key,
            ..Self::decode(body, headers.trace())?
        })
    }

    /// Reads a body. `header_trace` is the context of the message's headers; it
    /// wins over one in the body, being nearer to the send.
    pub fn decode(body: &[u8], header_trace: Option<TraceContext>) -> Result<Self, Malformed> {
        let body: Body<'_> = serde_json::from_slice(body)?;
        let trace = header_trace.or_else(|| {
            let parent = body.traceparent.as_deref()?;
            TraceContext::parse(parent, body.tracestate.as_deref())
        });
        Ok(Self {
            event_id: body.event_id,
            event_name: EventName::parse(&body.event_name)?,
            event_version: body.event_version,
            occurred_at: body.occurred_at.into(),
            correlation_id: body.correlation_id,
            causation_id: body.causation_id,
            tenant_id: body.tenant_id,
            actor_id: body.actor_id.map(Into::into),
            payload: body.payload.to_owned(),
            ordering_key: None,
            trace,
        })
    }

    /// Writes the body: what goes into the column `payload` and onto the wire.
    pub fn encode(&self) -> String {
        let body = Body {
            event_id: self.event_id,
            event_name: Cow::Borrowed(self.event_name.as_str()),
            event_version: self.event_version,
            occurred_at: Cow::Borrowed(&self.occurred_at),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            tenant_id: self.tenant_id,
            actor_id: self.actor_id.as_deref().map(Cow::Borrowed),
            payload: &self.payload,
            traceparent: self.trace.as_ref().map(|t| Cow::Borrowed(t.traceparent())),
            tracestate: self
                .trace
                .as_ref()
                .and_then(TraceContext::tracestate)
                .map(Cow::Borrowed),
        };
        // Strings, numbers and a raw value: there is nothing that can fail.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = r#"{"event_id": "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10", "event_name": "identity.user.registered",
        "event_version": 1, "occurred_at": "2026-03-01T10:00:00.123456+00:00", "correlation_id": null,
        "causation_id": null, "tenant_id": "2b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10", "actor_id": null,
        "payload": {"n": 1.10, "b": 12345678901234567890123, "a": "\u00fc\u0000"}, "extra": [1]}"#;

    #[test]
    fn the_predecessors_envelope_is_read_and_its_payload_kept_to_the_byte() {
        let envelope = Envelope::decode(SEED.as_bytes(), None).unwrap();
        assert_eq!(envelope.event_name.as_str(), "identity.user.registered");
        assert_eq!(
            envelope.tenant_id.unwrap().to_string(),
            "2b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10"
        );
        assert_eq!(
            envelope.payload.get(),
            r#"{"n": 1.10, "b": 12345678901234567890123, "a": "\u00fc\u0000"}"#
        );
        let again = Envelope::decode(envelope.encode().as_bytes(), None).unwrap();
        assert_eq!(again.payload.get(), envelope.payload.get());
        assert_eq!(again.event_id, envelope.event_id);
    }

    #[test]
    fn the_context_of_the_headers_wins_over_that_of_the_body() {
        let parent = |c: char| {
            format!(
                "00-{}-{}-01",
                c.to_string().repeat(32),
                c.to_string().repeat(16)
            )
        };
        let body = format!(
            r#"{{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"a","payload":1,"traceparent":"{}"}}"#,
            parent('a')
        );
        let trace = |header| {
            Envelope::decode(body.as_bytes(), header)
                .unwrap()
                .trace
                .unwrap()
        };
        assert_eq!(trace(None).traceparent(), parent('a'));
        assert_eq!(
            trace(TraceContext::parse(&parent('b'), None)).traceparent(),
            parent('b')
        );
    }

    #[test]
    fn what_is_no_envelope_says_why() {
        for bad in [
            "",
            "{",
            "[]",
            "\"x\"",
            r#"{"event_id":"x"}"#,
            r#"{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"a"}"#,
        ] {
            let error = Envelope::decode(bad.as_bytes(), None).unwrap_err();
            assert!(error.to_string().contains("envelope"), "{bad}: {error}");
        }
        let wild =
            r#"{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"a.>","payload":1}"#;
        assert!(matches!(
            Envelope::decode(wild.as_bytes(), None),
            Err(Malformed::Name(_))
        ));
    }
}

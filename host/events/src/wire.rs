//! The wire that is shared with the predecessor: subjects and headers.
//!
//! Headers are written in lower case and read in any case, because the broker
//! keeps their case and other writers do not agree on one.

use bytes::Bytes;
use uuid::Uuid;

use crate::key::OrderingKey;
use crate::name::EventName;
use crate::trace::TraceContext;

/// Header: the event's name.
pub const EVENT_NAME: &str = "qx.event_name";
/// Header: the event's version.
pub const EVENT_VERSION: &str = "qx.event_version";
/// Header: the event's id.
pub const EVENT_ID: &str = "qx.event_id";
/// Header: the correlation id.
pub const CORRELATION_ID: &str = "qx.correlation_id";
/// Header: the tenant's id.
pub const TENANT_ID: &str = "qx.tenant_id";
/// Header: the ordering key. Absent: the event has none, as with the predecessor.
pub const ORDERING_KEY: &str = "qx.ordering_key";
/// Header: W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Header: W3C trace context, vendors' part.
pub const TRACESTATE: &str = "tracestate";

/// Headers of a message, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The headers of an event's message.
    pub fn of_event(
        event_name: &EventName,
        event_version: i32,
        event_id: Uuid,
        correlation_id: Option<Uuid>,
        tenant_id: Option<Uuid>,
        trace: Option<&TraceContext>,
    ) -> Self {
        let mut headers = Vec::with_capacity(7);
        let mut put = |name: &str, value: String| headers.push((name.to_owned(), value));
        put(EVENT_NAME, event_name.to_string());
        put(EVENT_VERSION, event_version.to_string());
        put(EVENT_ID, event_id.to_string());
        if let Some(id) = correlation_id {
            put(CORRELATION_ID, id.to_string());
        }
        if let Some(id) = tenant_id {
            put(TENANT_ID, id.to_string());
        }
        if let Some(trace) = trace {
            put(TRACEPARENT, trace.traceparent().to_owned());
            if let Some(state) = trace.tracestate() {
                put(TRACESTATE, state.to_owned());
            }
        }
        Self(headers)
    }

    /// The value of a header, whatever the case of its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Adds the ordering key of the event, when it has one.
    #[must_use]
    pub fn with_ordering_key(mut self, key: Option<&OrderingKey>) -> Self {
        let header = key.map(|key| (ORDERING_KEY.to_owned(), key.as_str().to_owned()));
        self.0.extend(header);
        self
    }

    /// The ordering key among them.
    pub fn ordering_key(&self) -> Option<OrderingKey> {
        OrderingKey::parse(self.get(ORDERING_KEY)?).ok()
    }

    /// The trace context among them.
    pub fn trace(&self) -> Option<TraceContext> {
        TraceContext::parse(self.get(TRACEPARENT)?, self.get(TRACESTATE))
    }
}

/// A message on its way to the stream.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The event's id; the stream drops a second message with the same one.
    pub message_id: Uuid,
    /// Becomes the subject, behind the prefix.
    pub event_name: EventName,
    /// The headers.
    pub headers: Headers,
    /// The envelope as JSON text.
    pub body: Bytes,
}

/// The subject of an event: `<prefix>.<event name>`.
pub fn subject(prefix: &str, event_name: &str) -> String {
    format!("{prefix}.{event_name}")
}

/// The event name in a subject, when it has the prefix.
pub fn event_name_of<'a>(prefix: &str, subject: &'a str) -> Option<&'a str> {
    subject.strip_prefix(prefix)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case() {
        let headers = Headers(vec![("Qx.Event_Name".to_owned(), "a.b".to_owned())]);
        assert_eq!(headers.get(EVENT_NAME), Some("a.b"));
    }

    #[test]
    fn a_subject_gives_its_event_name_back() {
        assert_eq!(subject("svc", "a.b"), "svc.a.b");
        assert_eq!(event_name_of("svc", "svc.a.b"), Some("a.b"));
        assert_eq!(event_name_of("svc", "svcs.a.b"), None);
        assert_eq!(event_name_of("a.b", "a.b.c"), Some("c"));
    }
}

//! The event as a handler sees it.

/// One event, as its producer recorded it, with the payload read as `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<T> {
    /// Identity of the event (a UUID). The same on every attempt: the idempotency
    /// key for effects that the host cannot undo.
    pub id: String,
    /// Dotted name, for instance `github.star.created`.
    pub name: String,
    /// Version of the payload's shape, from 1.
    pub version: u32,
    /// When it happened: ISO 8601, as the producer wrote it.
    pub occurred_at: String,
    /// What the event belongs to, where the producer says so.
    pub correlation_id: Option<String>,
    /// The event that caused this one, where there is one.
    pub causation_id: Option<String>,
    /// Whose event it is. State is kept apart by it.
    pub tenant_id: Option<String>,
    /// Who did it, where the producer says so.
    pub actor_id: Option<String>,
    /// The trace that the delivery belongs to, when there is one.
    pub trace: Option<Trace>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What happened.
    pub payload: T,
}

/// W3C trace context.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The header `traceparent`.
    pub traceparent: String,
    /// The header `tracestate`.
    pub tracestate: Option<String>,
}

impl<T> Event<T> {
    /// The same event around another payload.
    pub(crate) fn with<U>(self, payload: U) -> (Event<U>, T) {
        let Self {
            id,
            name,
            version,
            occurred_at,
            correlation_id,
            causation_id,
            tenant_id,
            actor_id,
            trace,
            attempt,
            payload: own,
        } = self;
        let event = Event {
            id,
            name,
            version,
            occurred_at,
            correlation_id,
            causation_id,
            tenant_id,
            actor_id,
            trace,
            attempt,
            payload,
        };
        (event, own)
    }
}

//! An event for a test, with everything that the test does not care about filled
//! in.

use serde::Serialize;

use super::{Delivery, Host};
use crate::{Event, Failure, Payload, Text, Trace};

/// An event to be given to a handler; [`event`] begins one.
#[derive(Debug, Clone)]
pub struct Given {
    event: Event<Text>,
}

/// An event of this name: version 1, first attempt, no tenant, payload `{}`.
///
/// ```
/// # use qx_guest::prelude::*;
/// let given = testing::event("github.star.created")
///     .payload(json!({"action": "created"}))
///     .tenant("5d0c7a4e-0d1c-4a5e-9c39-6a54b8b7c0de")
///     .attempt(2);
/// ```
pub fn event(name: &str) -> Given {
    Given {
        event: Event {
            id: "00000000-0000-4000-8000-e00000000001".to_owned(),
            name: name.to_owned(),
            version: 1,
            occurred_at: "2026-01-01T00:00:00Z".to_owned(),
            correlation_id: None,
            causation_id: None,
            tenant_id: None,
            actor_id: None,
            trace: None,
            attempt: 1,
            payload: Text::from("{}".to_owned()),
        },
    }
}

impl Given {
    /// With this payload.
    ///
    /// # Panics
    /// When it has no form in JSON.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test that cannot be arranged must fail"
    )]
    pub fn payload(self, payload: impl Serialize) -> Self {
        let text = serde_json::to_string(&payload).expect("the payload has a form in JSON");
        self.payload_text(&text)
    }

    /// With this text as payload, whatever it is.
    #[must_use]
    pub fn payload_text(mut self, text: &str) -> Self {
        self.event.payload = Text::from(text.to_owned());
        self
    }

    /// With this id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.event.id);
        self
    }

    /// Of this version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.event.version = version;
        self
    }

    /// Happened then (ISO 8601).
    #[must_use]
    pub fn occurred_at(mut self, when: &str) -> Self {
        when.clone_into(&mut self.event.occurred_at);
        self
    }

    /// Of this tenant.
    #[must_use]
    pub fn tenant(mut self, id: &str) -> Self {
        self.event.tenant_id = Some(id.to_owned());
        self
    }

    /// By this actor.
    #[must_use]
    pub fn actor(mut self, id: &str) -> Self {
        self.event.actor_id = Some(id.to_owned());
        self
    }

    /// Belonging to this correlation.
    #[must_use]
    pub fn correlation(mut self, id: &str) -> Self {
        self.event.correlation_id = Some(id.to_owned());
        self
    }

    /// Caused by this event.
    #[must_use]
    pub fn causation(mut self, id: &str) -> Self {
        self.event.causation_id = Some(id.to_owned());
        self
    }

    /// Part of this W3C trace.
    #[must_use]
    pub fn traceparent(mut self, traceparent: &str) -> Self {
        self.event.trace = Some(Trace {
            traceparent: traceparent.to_owned(),
            tracestate: None,
        });
        self
    }

    /// On this attempt, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.event.attempt = attempt;
        self
    }

    /// Calls the handler with it, on a host without settings and state.
    pub fn call<T: Payload>(
        self,
        handler: impl FnOnce(Event<T>) -> Result<(), Failure>,
    ) -> Delivery {
        Host::new().deliver(self, handler)
    }

    pub(crate) fn into_event(self) -> Event<Text> {
        self.event
    }
}

//! Calls handlers natively, for `cargo test`. Not part of a component.
//!
//! One event, and what came of it:
//!
//! ```
//! use qx_guest::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     total: u64,
//! }
//!
//! #[handler("order.placed")]
//! fn greet(event: Event<Order>) -> Result<(), Failure> {
//!     if event.payload.total == 0 {
//!         return Err(Failure::reject("an order of nothing"));
//!     }
//!     emit("mail.wanted", &json!({"total": event.payload.total}))?;
//!     Ok(())
//! }
//!
//! let greeted = testing::event("order.placed").payload(json!({"total": 3})).call(greet);
//! assert_eq!(greeted.outcome, Ok(()));
//! assert_eq!(greeted.emitted[0].name, "mail.wanted");
//!
//! let declined = testing::event("order.placed").payload(json!({"total": 0})).call(greet);
//! assert_eq!(declined.outcome, Err(Failure::reject("an order of nothing")));
//! ```
//!
//! Settings, state from before, and several events one after the other, see [`Host`].

mod given;
mod requests;

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use given::{Given, event};
pub use requests::{Reply, Request};

use crate::emit::Due;
use crate::host::double::{self, Call, Limits, Values};
use crate::log::Level;
use crate::sql::Value;
use crate::{Event, Failure, Json, Payload, payload};

/// What came of one call.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What the handler said.
    pub outcome: Result<(), Failure>,
    /// The events that leave with the commit: none when the handler declined.
    pub emitted: Vec<Emitted>,
    /// The state that the call wrote, by key; `None` where it deleted. Empty when
    /// the handler declined.
    pub written: BTreeMap<String, Option<String>>,
    /// The lines it logged.
    pub logs: Vec<Line>,
    /// The statements of SQL that it ran, whatever it said.
    pub statements: Vec<Statement>,
    /// The requests that it sent, whatever became of it.
    pub requests: Vec<Request>,
}

/// An event that a handler emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Emitted {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its payload.
    pub payload: Json,
    /// Its ordering key, if it was given one.
    pub key: Option<String>,
    /// When it leaves, if not at once.
    pub due: Option<Due>,
}

/// A statement that a handler ran.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What stands for `$1`, `$2` and so on.
    pub parameters: Vec<Value>,
}

/// What a test's database answers to a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It changed so many rows.
    Changed(u64),
    /// It gave these rows, each an object.
    Rows(Vec<Json>),
    /// It was refused.
    Refused {
        /// SQLSTATE.
        sqlstate: String,
        /// The database's words.
        message: String,
    },
}

/// A line that a handler logged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// How loud.
    pub level: Level,
    /// The text.
    pub message: String,
}

/// A host with settings and state, for several events one after the other.
///
/// What a call changes is there for the next one when it succeeded, and only
/// then; each tenant has state of its own.
///
/// ```
/// use qx_guest::prelude::*;
///
/// #[handler("order.placed")]
/// fn count(event: Event<Json>) -> Result<(), Failure> {
///     let step = config::parse("step")?.unwrap_or(1);
///     state::set("orders", &(state::get("orders")?.unwrap_or(0) + step))?;
///     Ok(())
/// }
///
/// let mut host = testing::Host::new().with_config("step", "10").with_state("orders", &5);
/// host.deliver(testing::event("order.placed"), count);
/// host.deliver(testing::event("order.placed"), count);
/// assert_eq!(host.state("orders"), Some(25));
/// ```
#[derive(Debug, Default)]
pub struct Host {
    config: BTreeMap<String, String>,
    state: BTreeMap<Option<String>, Values>,
    limits: Limits,
    answers: VecDeque<Answer>,
    secrets: BTreeMap<String, String>,
    replies: BTreeMap<String, Reply>,
    emits: Option<Vec<String>>,
}

impl Host {
    /// A host without settings and state, with the limits that are usual.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a setting, as in the component's `[config]`.
    #[must_use]
    pub fn with_config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a secret that the component is granted.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With what a server says to every such request: method and URL, as in
    /// `POST https://hooks.example.com/orders`. A request without a reply is denied.
    #[must_use]
    pub fn with_reply(mut self, request: &str, reply: Reply) -> Self {
        self.replies.insert(request.to_owned(), reply);
        self
    }

    /// With these events only that may be emitted, to see what a handler does when
    /// another one is denied.
    #[must_use]
    pub fn with_emits(mut self, names: &[&str]) -> Self {
        self.emits = Some(names.iter().map(ToString::to_string).collect());
        self
    }

    /// With a value from an earlier event, for events without a tenant.
    ///
    /// # Panics
    /// When the value has no form in JSON.
    #[must_use]
    pub fn with_state<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Self {
        self.put(None, key, &json_text(value))
    }

    /// With a value from an earlier event of this tenant.
    ///
    /// # Panics
    /// When the value has no form in JSON.
    #[must_use]
    pub fn with_state_of<T: Serialize + ?Sized>(self, tenant: &str, key: &str, value: &T) -> Self {
        self.put(Some(tenant), key, &json_text(value))
    }

    /// With a text from an earlier event, as it is.
    #[must_use]
    pub fn with_state_text(self, key: &str, text: &str) -> Self {
        self.put(None, key, text)
    }

    /// With a text from an earlier event of this tenant, as it is.
    #[must_use]
    pub fn with_state_text_of(self, tenant: &str, key: &str, text: &str) -> Self {
        self.put(Some(tenant), key, text)
    }

    /// With this limit on a value of state and on an emitted payload, to see what
    /// a handler does when it hits it.
    #[must_use]
    pub fn with_value_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.value_bytes = bytes;
        self
    }

    /// With this limit on the events emitted in one call.
    #[must_use]
    pub fn with_emitted_events_max(mut self, events: usize) -> Self {
        self.limits.emitted_events = events;
        self
    }

    /// With an answer to the next statement of SQL: there is no database here, so a
    /// test gives them in the order in which they are asked for, over all events.
    #[must_use]
    pub fn answering(mut self, answer: Answer) -> Self {
        self.answers.push_back(answer);
        self
    }

    /// Calls the handler with the event, as the component would.
    pub fn deliver<T: Payload>(
        &mut self,
        given: Given,
        handler: impl FnOnce(Event<T>) -> Result<(), Failure>,
    ) -> Delivery {
        let event = given.into_event();
        let committed = self.state.entry(event.tenant_id.clone()).or_default();
        let call = Call {
            config: self.config.clone(),
            committed: committed.clone(),
            limits: self.limits,
            answers: std::mem::take(&mut self.answers),
            secrets: self.secrets.clone(),
            replies: self.replies.clone(),
            emits: self.emits.clone(),
            ..Call::default()
        };
        let (outcome, call) = double::during(call, || payload::call(event, handler));
        let (logs, statements, requests) = (call.logs, call.statements, call.requests);
        self.answers = call.answers;
        if outcome.is_err() {
            return Delivery {
                outcome,
                emitted: Vec::new(),
                written: BTreeMap::new(),
                logs,
                statements,
                requests,
            };
        }
        for (key, value) in &call.written {
            match value {
                Some(value) => committed.insert(key.clone(), value.clone()),
                None => committed.remove(key),
            };
        }
        Delivery {
            outcome,
            emitted: call.emitted,
            written: call.written,
            logs,
            statements,
            requests,
        }
    }

    /// A value of state, for events without a tenant. `None` also when it is not
    /// a `T`.
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.look(None, key)
    }

    /// A value of this tenant's state. `None` also when it is not a `T`.
    pub fn state_of<T: DeserializeOwned>(&self, tenant: &str, key: &str) -> Option<T> {
        self.look(Some(tenant), key)
    }

    fn look<T: DeserializeOwned>(&self, tenant: Option<&str>, key: &str) -> Option<T> {
        let values = self.state.get(&tenant.map(str::to_owned))?;
        let text = values.get(key)?;
        serde_json::from_str(text).ok()
    }

    fn put(mut self, tenant: Option<&str>, key: &str, text: &str) -> Self {
        let values = self.state.entry(tenant.map(str::to_owned)).or_default();
        values.insert(key.to_owned(), text.to_owned());
        self
    }
}

#[expect(
    clippy::expect_used,
    reason = "a test that cannot be arranged must fail"
)]
fn json_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("the value has a form in JSON")
}

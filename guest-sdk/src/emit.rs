//! Events that leave with the commit of this call, or not at all.
//!
//! The host gives them an id of their own; correlation, tenant and trace are
//! those of the event being handled, which becomes their cause.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::host;

/// Why an event could not be emitted. It would fail the next time too, so `?`
/// makes a rejection of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name, the key or the time is not legal, or the payload is no JSON; the
    /// host's words.
    Invalid(String),
    /// The component may not emit events of this name; the host's words, which say
    /// how to grant it.
    Denied(String),
    /// A limit of the host was hit; its words.
    Limit(String),
    /// The payload has no form in JSON, for instance a map whose keys are no text.
    Unwritable {
        /// The name of the event.
        name: String,
        /// What is wrong with the payload.
        source: serde_json::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) | Self::Denied(why) | Self::Limit(why) => write!(f, "emit: {why}"),
            Self::Unwritable { name, source: _ } => {
                write!(f, "the payload of `{name}` has no form in JSON")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(_) | Self::Denied(_) | Self::Limit(_) => None,
            Self::Unwritable { name: _, source } => Some(source),
        }
    }
}

/// Emits version 1 of an event and returns the new event's id.
///
/// ```
/// # use qx_guest::prelude::*;
/// # fn f() -> Result<(), Failure> {
/// emit("repo.starred", &json!({"repository": "octo/hello"}))?;
/// # Ok(()) }
/// # f().unwrap();
/// ```
pub fn emit<T: Serialize + ?Sized>(name: &str, payload: &T) -> Result<String, Error> {
    emit_version(name, 1, payload)
}

/// Emits an event of this version and returns the new event's id.
pub fn emit_version<T: Serialize + ?Sized>(
    name: &str,
    version: u32,
    payload: &T,
) -> Result<String, Error> {
    NewEvent::named(name).version(version).emit(payload)
}

/// An event of which more is to be said than its name: a version, a key, a time.
///
/// ```
/// # use qx_guest::prelude::*;
/// # use std::time::Duration;
/// # fn f() -> Result<(), Failure> {
/// // In a week, and after everything that was said of issue 7 before.
/// NewEvent::named("issue.follow_up")
///     .key("issue 7")
///     .after(Duration::from_hours(7 * 24))
///     .emit(&json!({"issue": 7}))?;
/// # Ok(()) }
/// # f().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it leaves with `emit`"]
pub struct NewEvent<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u32,
    pub(crate) key: Option<&'a str>,
    pub(crate) due: Option<Due>,
}

/// When an event leaves that is not to leave at once: not before this time, by the
/// clock of the host's database. It outlives restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// So long after the commit of the call.
    After(Duration),
    /// At this time: ISO 8601 with an offset.
    At(String),
}

impl<'a> NewEvent<'a> {
    /// Version 1 of an event of this name.
    pub const fn named(name: &'a str) -> Self {
        Self {
            name,
            version: 1,
            key: None,
            due: None,
        }
    }

    /// Of this version.
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// With this ordering key: events of one key are handled one after the other, in
    /// the order in which they left, where a component asks for it. From 1 to 255
    /// bytes. It is not inherited from the event being handled.
    pub const fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Not before this long after the commit of this call; at most 366 days.
    pub fn after(mut self, wait: Duration) -> Self {
        self.due = Some(Due::After(wait));
        self
    }

    /// Not before this time: ISO 8601 with an offset, such as `2026-03-01T10:00:00Z`.
    /// One that has passed is at once.
    pub fn at(mut self, time: impl Into<String>) -> Self {
        self.due = Some(Due::At(time.into()));
        self
    }

    /// Emits it with this payload and returns its id.
    pub fn emit<T: Serialize + ?Sized>(self, payload: &T) -> Result<String, Error> {
        let payload = serde_json::to_string(payload).map_err(|source| Error::Unwritable {
            name: self.name.to_owned(),
            source,
        })?;
        host::emit(&self, &payload).map_err(|refusal| match refusal {
            host::Refusal::Invalid(why) => Error::Invalid(why),
            host::Refusal::Denied(why) => Error::Denied(why),
            host::Refusal::Limit(which) => Error::Limit(which),
        })
    }
}

//! Events that leave with the commit of this call, or not at all.
//!
//! The host gives them an id of their own; correlation, tenant and trace are
//! those of the event being handled, which becomes their cause.

use std::fmt;

use serde::Serialize;

use crate::host;

/// Why an event could not be emitted. It would fail the next time too, so `?`
/// makes a rejection of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name is no legal event name, or the payload is no JSON; the host's words.
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
    let payload = serde_json::to_string(payload).map_err(|source| Error::Unwritable {
        name: name.to_owned(),
        source,
    })?;
    host::emit(name, version, &payload).map_err(|refusal| match refusal {
        host::Refusal::Invalid(why) => Error::Invalid(why),
        host::Refusal::Denied(why) => Error::Denied(why),
        host::Refusal::Limit(which) => Error::Limit(which),
    })
}

//! Values that outlive the call, private to the component and to the event's
//! tenant.
//!
//! A write is seen by this call at once, and by others when the call has
//! succeeded: it commits with the event, or not at all.
//!
//! ```
//! # use qx_guest::prelude::*;
//! # fn f() -> Result<(), Failure> {
//! let stars: u64 = state::get("stars")?.unwrap_or(0);
//! state::set("stars", &(stars + 1))?;
//! # Ok(()) }
//! # f().unwrap();
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host;

/// Why a value could not be read or written. It would fail the next time too, so
/// `?` makes a rejection of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A limit of the host was hit; its words.
    Limit(String),
    /// The stored value is not what the handler reads it as.
    Misfit {
        /// Where the value is.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The value has no form in JSON, for instance a map whose keys are no text.
    Unwritable {
        /// Where the value was to go.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(which) => write!(f, "state: {which}"),
            Self::Misfit { key, source: _ } => {
                write!(f, "the state at `{key}` is not of the type it is read as")
            }
            Self::Unwritable { key, source: _ } => {
                write!(f, "the value for the state at `{key}` has no form in JSON")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Limit(_) => None,
            Self::Misfit { key: _, source } | Self::Unwritable { key: _, source } => Some(source),
        }
    }
}

/// Reads a value that [`set`] wrote, or any JSON.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let Some(text) = host::state_get(key) else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text).map_err(|source| Error::Misfit {
        key: key.to_owned(),
        source,
    })?;
    Ok(Some(value))
}

/// Writes a value as JSON.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string(value).map_err(|source| Error::Unwritable {
        key: key.to_owned(),
        source,
    })?;
    set_text(key, &text)
}

/// Reads a value as the text it is.
pub fn get_text(key: &str) -> Option<String> {
    host::state_get(key)
}

/// Writes a text as it is.
pub fn set_text(key: &str, text: &str) -> Result<(), Error> {
    host::state_set(key, text).map_err(Error::Limit)
}

/// Forgets a value. One that is not there is no error.
pub fn delete(key: &str) {
    host::state_delete(key);
}

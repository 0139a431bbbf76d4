//! SQL that commits with this call, or not at all: statements in the host's PostgreSQL, as
//! a role of the component's own.
//!
//! All statements of a call are one transaction, which sees what it did before and is
//! committed with the mark that the event is done, state and emitted events. The
//! operator grants it, with the role (`docs/sql.md` of the host).
//!
//! ```
//! # use qx_guest::prelude::*;
//! #[derive(Deserialize)]
//! struct Total {
//!     stars: i64,
//! }
//!
//! # fn count(event: Event<Json>) -> Result<(), Failure> {
//! sql::execute(
//!     "INSERT INTO stars (repository, stars) VALUES ($1, 1)
//!      ON CONFLICT (repository) DO UPDATE SET stars = stars.stars + 1",
//!     &["octo/hello".into()],
//! )?;
//! let all: Vec<Total> = sql::query("SELECT sum(stars)::bigint AS stars FROM stars", &[])?;
//! # Ok(()) }
//! ```

use std::fmt;

use serde::de::DeserializeOwned;

use crate::host;

/// A parameter, for `$1`, `$2` and so on. The database makes of it what the statement
/// wants at that place: a text can be a time, a UUID, an exact number or JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A truth.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a statement was not done. Nothing of it is kept; what was done before is, and the
/// call may go on. `?` makes a retry of it, and of a limit a rejection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The database says no.
    Refused {
        /// SQLSTATE: five characters to go by; `23505` is a key that is there.
        sqlstate: String,
        /// The database's words.
        message: String,
    },
    /// A limit of the host was hit; its words.
    Limit(String),
    /// A row is not what the handler reads it as.
    Misfit(serde_json::Error),
}

impl Error {
    /// Whether a key that must be unique is there already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Refused { sqlstate, message: _ } if sqlstate == "23505")
    }

    /// Whether the next attempt would meet it again.
    pub(crate) const fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Limit(_) | Self::Misfit(_) => true,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { sqlstate, message } => write!(f, "sql: {message} ({sqlstate})"),
            Self::Limit(which) => write!(f, "sql: {which}"),
            Self::Misfit(_) => f.write_str("sql: a row is not of the type it is read as"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { .. } | Self::Limit(_) => None,
            Self::Misfit(source) => Some(source),
        }
    }
}

/// Runs one statement; returns how many rows it changed.
pub fn execute(statement: &str, parameters: &[Value]) -> Result<u64, Error> {
    host::sql_execute(statement, parameters)
}

/// Runs one statement and reads each of its rows, an object with a member for each column.
pub fn query<T: DeserializeOwned>(statement: &str, parameters: &[Value]) -> Result<Vec<T>, Error> {
    let rows = host::sql_query(statement, parameters)?;
    let read = |row: &String| serde_json::from_str(row).map_err(Error::Misfit);
    rows.iter().map(read).collect()
}

/// The first row, if there is one.
pub fn query_one<T: DeserializeOwned>(
    statement: &str,
    parameters: &[Value],
) -> Result<Option<T>, Error> {
    Ok(query(statement, parameters)?.into_iter().next())
}

macro_rules! value_from {
    ($($from:ty => $case:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$case(value.into())
            }
        }
    )*};
}

value_from!(bool => Boolean, i64 => Integer, i32 => Integer, u32 => Integer, f64 => Number,
    &str => Text, String => Text, &String => Text, Vec<u8> => Bytes, &[u8] => Bytes);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

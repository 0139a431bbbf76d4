//! Which of the database's errors can pass: decided here, once, for both.
//!
//! Permanent is only what the data itself is refused for. A missing table, a
//! changed password, a full disk are an operator's to heal, and no event may be
//! given up for them: they are transient, and the caller waits.

use std::error::Error;
use std::time::Duration;

use qx_events::Fault;

/// Classes of SQLSTATE that refuse the data: cardinality, data exception,
/// integrity constraint, program limit.
const REFUSING_CLASSES: [&str; 4] = ["21", "22", "23", "54"];

/// Primary result codes of SQLite that refuse the data.
const REFUSING_CODES: [i32; 4] = [
    18, // SQLITE_TOOBIG
    19, // SQLITE_CONSTRAINT
    20, // SQLITE_MISMATCH
    25, // SQLITE_RANGE
];

/// No answer in time. What was asked may have happened.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the database within {} s", .0.as_secs())]
pub(crate) struct NoAnswer(pub(crate) Duration);

/// A stored value that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds `{value}`, which is not {expected}")]
pub(crate) struct Unreadable {
    pub(crate) column: &'static str,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}

impl Unreadable {
    /// As sqlx reports its own decoding errors, so that it is classified as one.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        sqlx::Error::Decode(Box::new(self))
    }
}

/// An error of PostgreSQL as a fault.
pub(crate) fn postgres(doing: &'static str, error: sqlx::Error) -> Fault {
    let refused = sqlstate(&error)
        .is_some_and(|code| REFUSING_CLASSES.iter().any(|class| code.starts_with(class)));
    classified(doing, error, refused)
}

/// An error of SQLite as a fault.
pub(crate) fn sqlite(doing: &'static str, error: sqlx::Error) -> Fault {
    let refused = primary_code(&error).is_some_and(|code| REFUSING_CODES.contains(&code));
    classified(doing, error, refused)
}

/// The SQLSTATE of an error that the server reported.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let reported = error.as_database_error()?;
    reported.code().map(std::borrow::Cow::into_owned)
}

/// SQLite's primary result code: the low byte of the extended one.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "sqlx::Error is non-exhaustive; what is unknown may pass"
)]
fn classified(doing: &'static str, error: sqlx::Error, refused: bool) -> Fault {
    let permanent = match &error {
        sqlx::Error::Database(_) => refused,
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::InvalidArgument(_) => true,
        _ => false,
    };
    let cause: Box<dyn Error + Send + Sync> = Box::new(error);
    if permanent {
        Fault::permanent(doing, cause)
    } else {
        Fault::transient(doing, cause)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    #[derive(Debug)]
    struct Reported(&'static str);

    impl fmt::Display for Reported {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Reported {}

    impl DatabaseError for Reported {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn reported(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Reported(code)))
    }

    #[test]
    fn only_what_refuses_the_data_is_permanent_on_postgresql() {
        for code in ["22P05", "22001", "23505", "23502", "54000"] {
            assert!(!postgres("x", reported(code)).is_transient(), "{code}");
        }
        for code in [
            "40001", "40P01", "57P01", "57014", "53100", "53300", "55P03", "08006", "25006",
            "28P01", "42P01", "42501", "XX000",
        ] {
            assert!(postgres("x", reported(code)).is_transient(), "{code}");
        }
    }

    #[test]
    fn only_what_refuses_the_data_is_permanent_on_sqlite() {
        // Extended codes: UNIQUE, NOT NULL; then BUSY_SNAPSHOT, IOERR_WRITE, FULL.
        for code in ["2067", "1299", "18"] {
            assert!(!sqlite("x", reported(code)).is_transient(), "{code}");
        }
        for code in ["5", "517", "778", "13", "14", "1"] {
            assert!(sqlite("x", reported(code)).is_transient(), "{code}");
        }
    }

    #[test]
    fn a_lost_connection_can_come_back() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(postgres("x", sqlx::Error::Io(broken)).is_transient());
        assert!(postgres("x", sqlx::Error::PoolTimedOut).is_transient());
        assert!(!postgres("x", sqlx::Error::Decode("odd".into())).is_transient());
    }
}

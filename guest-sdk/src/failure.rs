//! The two ways in which a handler can decline an event.
//!
//! Which of them an error means is decided here, once: see the `From` below.

use std::error::Error;
use std::fmt::{self, Display};
use std::time::Duration;

use crate::{emit, http, sql, state};

/// Why a handler did not do its work. Nothing that the call changed is kept.
///
/// `?` makes one of every error: usually a retry whose reason is the error with
/// its causes. An error of [`state`] or of [`emit`](mod@emit), such as a limit
/// that was hit, becomes a rejection, because the next attempt would hit it
/// again, and so does an [`http::Error`] that is lasting; also when it is the cause
/// of an error of your own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later. After the last attempt the event becomes a dead letter.
    Retry {
        /// Shown to the operator when the attempts run out.
        reason: String,
        /// Not sooner than this; absent, the host's backoff decides.
        after: Option<Duration>,
    },
    /// It will never work: a dead letter at once.
    Reject {
        /// Shown to the operator.
        reason: String,
    },
}

impl Failure {
    /// Asks to be called again with the same event.
    ///
    /// ```
    /// # use qx_guest::Failure;
    /// # use std::time::Duration;
    /// let failure = Failure::retry("the build is still running").after(Duration::from_secs(30));
    /// ```
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry {
            reason: reason.to_string(),
            after: None,
        }
    }

    /// Not sooner than this. A rejection stays as it is: it is not tried again.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        match self {
            Self::Retry { reason, after: _ } => Self::Retry {
                reason,
                after: Some(pause),
            },
            Self::Reject { reason } => Self::Reject { reason },
        }
    }

    /// Says that this event will never work.
    ///
    /// ```
    /// # use qx_guest::Failure;
    /// fn number(text: &str) -> Result<u32, Failure> {
    ///     text.parse().map_err(Failure::reject)
    /// }
    /// # assert!(number("x").is_err());
    /// ```
    pub fn reject(reason: impl Display) -> Self {
        Self::Reject {
            reason: reason.to_string(),
        }
    }

    /// The reason, of either kind.
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, after: _ } | Self::Reject { reason } => reason,
        }
    }
}

/// No `Error`, so that every error can become a `Failure`.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { reason, after: _ } => write!(f, "retry: {reason}"),
            Self::Reject { reason } => write!(f, "reject: {reason}"),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let reason = chain(&error);
        let after = causes(&error).find_map(asked_for);
        if causes(&error).any(is_lasting) {
            Self::Reject { reason }
        } else {
            Self::Retry { reason, after }
        }
    }
}

/// The error and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether the same call would meet the same error again.
fn is_lasting(error: &(dyn Error + 'static)) -> bool {
    let http = error.downcast_ref::<http::Error>();
    let sql = error.downcast_ref::<sql::Error>();
    error.is::<state::Error>()
        || error.is::<emit::Error>()
        || http.is_some_and(http::Error::is_lasting)
        || sql.is_some_and(sql::Error::is_lasting)
}

/// The pause that a server asked for.
fn asked_for(error: &(dyn Error + 'static)) -> Option<Duration> {
    error.downcast_ref::<http::Error>()?.after()
}

/// `outer: inner: innermost`.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

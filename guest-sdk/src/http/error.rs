//! Why there is no answer, or not the one that was wanted; and which of these the
//! next attempt would meet again.

use std::fmt;
use std::time::Duration;

use crate::host::Unanswered;

/// Statuses below 500 that may be others the next time.
const PASSING: [u16; 3] = [408, 425, 429];

/// Why a request came to nothing. `?` makes a rejection of what would be the same the
/// next time ([`Error::is_lasting`]) and a retry of everything else. The text names
/// the method and the host, and nothing behind it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The component may not send this there; the host's words, which say what to grant.
    Denied(String),
    /// It is no request: the URL, the method, a header or the body is not legal.
    Invalid(String),
    /// A limit of the host was hit; its words.
    Limit(String),
    /// No whole answer in time.
    Timeout(String),
    /// The name is not known, or nobody answers there.
    Connect(String),
    /// The server is not who it should be.
    Tls(String),
    /// What the server says is no HTTP, or it hung up.
    Protocol(String),
    /// The answer is not from 200 to 299, see [`Response::ensure_ok`](super::Response::ensure_ok).
    Status {
        /// Whose answer.
        place: String,
        /// The status.
        status: u16,
        /// When the server wants to be asked again.
        after: Option<Duration>,
    },
    /// The answer is not what the handler reads it as.
    Misfit {
        /// Whose answer.
        place: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is no text.
    NoText {
        /// Whose answer.
        place: String,
    },
}

impl Error {
    pub(super) fn of(unanswered: Unanswered, place: &str) -> Self {
        let at = |why: String| format!("{place}: {why}");
        match unanswered {
            Unanswered::Denied(why) => Self::Denied(at(why)),
            Unanswered::Invalid(why) => Self::Invalid(at(why)),
            Unanswered::Limit(why) => Self::Limit(at(why)),
            Unanswered::Timeout(why) => Self::Timeout(at(why)),
            Unanswered::Connect(why) => Self::Connect(at(why)),
            Unanswered::Tls(why) => Self::Tls(at(why)),
            Unanswered::Protocol(why) => Self::Protocol(at(why)),
        }
    }

    /// Whether the same request would meet the same error: what is not legal, a limit,
    /// and statuses from 400 to 499 but 408, 425 and 429.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Limit(_) | Self::Misfit { .. } | Self::NoText { .. } => true,
            Self::Status { status, .. } => *status < 500 && !PASSING.contains(status),
            Self::Denied(_)
            | Self::Timeout(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Protocol(_) => false,
        }
    }

    /// When the server wants to be asked again, if it said so.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => *after,
            Self::Denied(_)
            | Self::Invalid(_)
            | Self::Limit(_)
            | Self::Timeout(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Protocol(_)
            | Self::Misfit { .. }
            | Self::NoText { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why)
            | Self::Invalid(why)
            | Self::Limit(why)
            | Self::Timeout(why)
            | Self::Connect(why)
            | Self::Tls(why)
            | Self::Protocol(why) => f.write_str(why),
            Self::Status { place, status, .. } => write!(f, "{place} answered {status}"),
            Self::Misfit { place, source: _ } => {
                write!(f, "the answer of {place} is not of the type it is read as")
            }
            Self::NoText { place } => write!(f, "the answer of {place} is no text"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Misfit { place: _, source } => Some(source),
            Self::Denied(_)
            | Self::Invalid(_)
            | Self::Limit(_)
            | Self::Timeout(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Protocol(_)
            | Self::Status { .. }
            | Self::NoText { .. } => None,
        }
    }
}

/// Method and host: what is behind it may be a secret, and so may a user before it.
pub(super) fn place(method: &str, url: &str) -> String {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    format!("{method} {host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_method_and_the_host_and_nothing_of_the_rest() {
        for (url, host) in [
            (
                "https://api.example.com/planted?planted#planted",
                "api.example.com",
            ),
            ("http://me:planted@api.example.com:81", "api.example.com:81"),
            ("planted", ""),
        ] {
            assert_eq!(place("GET", url), format!("GET {host}"));
        }
    }
}

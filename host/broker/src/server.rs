//! What a server of a version can do. The rest of the crate asks here and never
//! compares versions itself.

use async_nats::ServerInfo;

/// A server's version; `0.0` when it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerVersion {
    major: u32,
    minor: u32,
}

impl ServerVersion {
    pub(crate) fn of(info: &ServerInfo) -> Self {
        Self::parse(&info.version)
    }

    /// Reads `2.12.0`, and also `2.12.0-RC.1`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            major: next(),
            minor: next(),
        }
    }

    /// Several filter subjects per consumer, and consumers that are created strictly.
    pub(crate) fn has_many_filters(self) -> bool {
        self >= Self::parse("2.10")
    }

    /// A reason behind a termination. Older ones take it for no answer at all.
    pub(crate) fn has_term_reasons(self) -> bool {
        self >= Self::parse("2.11")
    }

    /// Atomic batches of messages.
    pub(crate) fn has_atomic_batches(self) -> bool {
        self >= Self::parse("2.12")
    }

    /// One answer for many messages.
    pub(crate) fn has_fast_ingest(self) -> bool {
        self >= Self::parse("2.14")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_its_server_can_do() {
        for (text, filters, reasons, atomic, ingest) in [
            ("2.9.10", false, false, false, false),
            ("2.10.0-beta.1", true, false, false, false),
            ("2.11.3", true, true, false, false),
            ("2.12.0-RC.1", true, true, true, false),
            ("2.15.1", true, true, true, true),
            ("3.0.0", true, true, true, true),
            ("", false, false, false, false),
        ] {
            let version = ServerVersion::parse(text);
            assert_eq!(version.has_many_filters(), filters, "{text}");
            assert_eq!(version.has_term_reasons(), reasons, "{text}");
            assert_eq!(version.has_atomic_batches(), atomic, "{text}");
            assert_eq!(version.has_fast_ingest(), ingest, "{text}");
        }
    }
}

//! How long things are kept that are deleted by age, and why so long: a plain
//! function of the configuration.

use std::time::Duration;

use crate::config::{Config, StreamKind};

/// Marks are kept so much longer than an event can come again: for the clocks of
/// broker and database, which differ, for the cleaning, which comes late, and for
/// marks that are renewed once a day only.
const MARGIN: Duration = Duration::from_hours(48);

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Messages of the embedded stream.
    pub(crate) messages: Duration,
    /// Inbox marks; `None`: for ever, because messages are.
    pub(crate) marks: Option<Duration>,
    /// Dead letters; `None`: for ever.
    pub(crate) letters: Option<Duration>,
}

impl Retention {
    /// Of this configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let messages = match &config.stream.kind {
            StreamKind::Nats(nats) => nats.max_age,
            StreamKind::Embedded(embedded) => Some(embedded.retention),
        };
        Self {
            messages: messages.unwrap_or(Duration::MAX),
            marks: marks(messages, config.relay.retention),
            letters: config.dead_letters.retention,
        }
    }
}

/// How long an inbox mark is kept after its event came last; `None` is for ever.
///
/// A published row can be published again until its own retention is over, should
/// the stream lose its message; the new message is kept for as long as any. So an
/// event comes again for the sum of both, counted from its last publication, which
/// is before its last delivery. The wait of a retry and the duplicate window lie
/// within the age of the message; a mark whose event is a dead letter stays anyway.
pub(crate) fn marks(messages: Option<Duration>, rows: Duration) -> Option<Duration> {
    Some(messages?.saturating_add(rows).saturating_add(MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn marks_outlive_every_way_in_which_an_event_can_come_again() {
        for (messages, rows) in [(1, 1), (168, 72), (10, 500), (500, 10), (87_600, 87_600)] {
            let kept = marks(Some(messages * HOUR), rows * HOUR).unwrap();
            // Published, kept to its last hour, published again, kept to its last hour.
            assert!(kept > (rows + messages) * HOUR, "{messages} {rows}");
            assert!(kept >= MARGIN + messages * HOUR);
        }
        assert_eq!(
            marks(None, HOUR),
            None,
            "what is never deleted comes for ever"
        );
        assert_eq!(marks(Some(Duration::MAX), HOUR), Some(Duration::MAX));
    }

    #[test]
    fn each_retention_is_that_of_the_configuration() {
        let parsed = |text| {
            let config = Config::parse(std::path::Path::new("x"), text, [], &[]).unwrap();
            Retention::of(&config)
        };
        let own = parsed("[stream]\nretention_hours = 10\n[relay]\nretention_hours = 30\n");
        assert_eq!(own.messages, 10 * HOUR);
        assert_eq!(own.marks, Some(40 * HOUR + MARGIN));
        assert_eq!(
            own.letters, None,
            "a dead letter is kept for ever, unless told"
        );
        let nats = "[nats]\nservers = [\"nats://127.0.0.1:4222\"]\nmax_age_h = 0\n\
                    [dead_letters]\nretention_days = 90\n";
        let own = parsed(nats);
        assert_eq!((own.messages, own.marks), (Duration::MAX, None));
        assert_eq!(own.letters, Some(90 * 24 * HOUR));
    }
}

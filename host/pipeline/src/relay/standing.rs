//! What the relay knows of the stream it publishes to, and when that is in doubt:
//! a stream that lost what it had confirmed must be found out before more is
//! published, because its positions are given away a second time.
//!
//! Plain values; the time is a parameter.

use std::time::Duration;

use qx_events::ports::{Lease, PublishedRow, StreamState};
use tokio::time::Instant;

/// How often the stream is asked how far it goes, when nothing else says that it
/// may have lost something: one small request.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The stream as it was seen last.
#[derive(Debug, Default)]
pub(super) struct Standing {
    seen: Option<Seen>,
    /// It has lost its end and grown over it: what it was in between. Kept until the rows
    /// that were lost wait again, whatever else fails meanwhile: nothing else shows it.
    fell_back: Option<StreamState>,
}

#[derive(Debug)]
struct Seen {
    /// `last_seq` is raised by what is published.
    stream: StreamState,
    under: Lease,
    connection: u64,
    at: Instant,
}

impl Standing {
    /// Whether the stream must be looked at before anything is published: never
    /// seen under this lease, or over another connection, or a while ago.
    pub(super) fn is_due(&self, lease: Lease, connection: u64, now: Instant) -> bool {
        self.seen.as_ref().is_none_or(|seen| {
            seen.under != lease || seen.connection != connection || now >= seen.at + LOOK_EVERY
        })
    }

    /// It is like this, and every row waits again that it has lost. `connection` is from
    /// before it was asked.
    pub(super) fn saw(&mut self, stream: StreamState, under: Lease, connection: u64, at: Instant) {
        self.fell_back = None;
        self.seen = Some(Seen {
            stream,
            under,
            connection,
            at,
        });
    }

    /// What is certain to be there still, of a stream that says that it is like this.
    pub(super) fn kept(&self, stream: &StreamState) -> StreamState {
        let mut kept = stream.clone();
        if let Some(fell_back) = &self.fell_back
            && (&fell_back.name, fell_back.created_ns) == (&kept.name, kept.created_ns)
        {
            kept.last_seq = kept.last_seq.min(fell_back.last_seq);
        }
        kept
    }

    /// Whether it may still be what it was, as far as the connection tells.
    pub(super) fn is_connected(&self, connection: u64) -> bool {
        let seen = self.seen.as_ref();
        seen.is_some_and(|seen| seen.connection == connection)
    }

    /// It must be looked at.
    pub(super) fn doubt(&mut self) {
        self.seen = None;
    }

    /// What rows are marked with that are published now.
    pub(super) fn created_ns(&self) -> Option<i64> {
        self.seen.as_ref().map(|seen| seen.stream.created_ns)
    }

    /// Learns from the stream's answers, in the order of sending: positions only
    /// grow. One that was given away before means that the stream lost its end, and it
    /// must be looked at. `false`: that is so.
    #[must_use]
    pub(super) fn after(&mut self, stored: &[PublishedRow]) -> bool {
        let Some(seen) = self.seen.as_mut() else {
            return true;
        };
        let new = || stored.iter().filter(|row| !row.stored.duplicate);
        for sequence in new().map(|row| row.stored.sequence) {
            if sequence <= seen.stream.last_seq {
                let lowest = new().map(|row| row.stored.sequence).min();
                seen.stream.last_seq = lowest.unwrap_or(sequence).saturating_sub(1);
                self.fell_back = self.seen.take().map(|seen| seen.stream);
                return false;
            }
            seen.stream.last_seq = sequence;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use qx_events::ports::StoredAt;

    use super::*;

    const LEASE: Lease = Lease { token: 1 };

    fn stream(last_seq: u64) -> StreamState {
        StreamState {
            name: "QX".to_owned(),
            created_ns: 7,
            last_seq,
        }
    }

    fn rows(answers: &[(u64, bool)]) -> Vec<PublishedRow> {
        let row = |(sequence, duplicate): &(u64, bool)| PublishedRow {
            seq: 1,
            stored: StoredAt {
                stream: "QX".to_owned(),
                sequence: *sequence,
                duplicate: *duplicate,
            },
            stream_created_ns: Some(7),
        };
        answers.iter().map(row).collect()
    }

    #[test]
    fn a_position_that_is_given_away_again_shows_where_the_stream_fell_back_to() {
        let (new, old) = (false, true);
        for (last_seq, answers, fell_back_to) in [
            (0, &[(1, new), (2, new)][..], None),
            (10, &[(11, new), (14, new)], None),
            // What it had already says nothing of its end.
            (10, &[(3, old), (11, new), (4, old), (12, new)], None),
            (10, &[], None),
            (10, &[(6, new), (7, new)], Some(5)),
            (10, &[(10, new)], Some(9)),
            (10, &[(1, new)], Some(0)),
            // In the midst of the pass.
            (10, &[(11, new), (12, new), (6, new), (7, new)], Some(5)),
            (10, &[(11, new), (12, new), (12, new)], Some(10)),
        ] {
            let mut standing = Standing::default();
            standing.saw(stream(last_seq), LEASE, 0, Instant::now());
            let is_whole = standing.after(&rows(answers));
            assert_eq!(is_whole, fell_back_to.is_none(), "{last_seq} {answers:?}");
            assert_eq!(standing.is_connected(0), is_whole, "looked at");
            let kept = standing.kept(&stream(20));
            assert_eq!(kept, stream(fell_back_to.unwrap_or(20)), "{answers:?}");
        }
    }

    #[test]
    fn where_it_fell_back_to_is_kept_until_it_was_seen_again() {
        let mut standing = Standing::default();
        standing.saw(stream(10), LEASE, 0, Instant::now());
        assert!(!standing.after(&rows(&[(8, false)])));
        standing.doubt();
        assert_eq!(standing.kept(&stream(12)), stream(7));
        assert_eq!(standing.kept(&stream(3)), stream(3), "it lost more since");
        let anew = StreamState {
            created_ns: 8,
            ..stream(12)
        };
        assert_eq!(standing.kept(&anew), anew, "of another there is nothing");
        standing.saw(stream(12), LEASE, 0, Instant::now());
        assert_eq!(standing.kept(&stream(12)), stream(12));
    }

    #[test]
    fn the_stream_is_looked_at_first_now_and_then_and_whenever_something_changed() {
        let now = Instant::now();
        let mut standing = Standing::default();
        assert!(standing.is_due(LEASE, 0, now) && !standing.is_connected(0));
        standing.saw(stream(1), LEASE, 4, now);
        assert!(!standing.is_due(LEASE, 4, now) && standing.is_connected(4));
        assert!(standing.is_due(LEASE, 5, now) && !standing.is_connected(5));
        assert!(standing.is_due(Lease { token: 2 }, 4, now));
        assert!(standing.is_due(LEASE, 4, now + LOOK_EVERY));
        standing.doubt();
        assert!(standing.is_due(LEASE, 4, now) && standing.created_ns().is_none());
    }

    #[test]
    fn what_was_published_is_known_to_be_there() {
        let mut standing = Standing::default();
        standing.saw(stream(10), LEASE, 0, Instant::now());
        assert!(standing.after(&rows(&[(11, false)])));
        assert!(!standing.after(&rows(&[(11, false)])));
    }
}

//! When a new build that takes a share of its component's events comes into service
//! for all of them, and when it is taken back: a value that is told how calls
//! ended, with the time as a parameter. No clock, no effect.
//!
//! Only first calls of events are counted. What a canary does not handle is given
//! to the build in service, whatever the canary said of it, so a bad one costs
//! calls and no event.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::digest::Digest;
use crate::order::LaneKey;
use crate::outcome::Outcome;

/// How a new build of a component in service is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryPolicy {
    /// Of a hundred events, those that it gets; 0: it is not tried, but put in
    /// service at once.
    pub percent: u8,
    /// Events that it must have been given.
    pub events: u32,
    /// Time that must have passed.
    pub time: Duration,
    /// Of a hundred events, those that may trap or break a limit.
    pub failed_percent: u8,
    /// Of a hundred events, those that it may put off or reject beyond what the build
    /// in service does.
    pub declined_percent: u8,
}

impl Default for CanaryPolicy {
    fn default() -> Self {
        Self {
            percent: 0,
            // With one failure in a hundred allowed: fewer events would show nothing.
            events: 100,
            time: Duration::from_mins(1),
            failed_percent: 1,
            declined_percent: 5,
        }
    }
}

/// Which of the two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The build in service.
    Stable,
    /// The one that is tried.
    Canary,
}

/// First calls of one build, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub handled: u64,
    /// Those that trapped or broke a limit.
    pub failed: u64,
    /// Those that the handler put off or rejected.
    pub declined: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::HostFault(_) => return, // Says nothing of the build.
            Outcome::Done(_) => {}
            Outcome::Retry { .. } | Outcome::Rejected { .. } => self.declined += 1,
            Outcome::Failed { .. } => self.failed += 1,
        }
        self.handled += 1;
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on.
    Continue,
    /// It comes into service for all events.
    Promote,
    /// It gets no event any more.
    RollBack(Grounds),
}

/// Why it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grounds {
    /// Too many calls trapped or broke a limit.
    Failed {
        /// So many.
        calls: u64,
        /// Of so many.
        handled: u64,
    },
    /// Too many events were put off or rejected, compared with the build in service.
    Declined {
        /// So many.
        calls: u64,
        /// Of so many.
        handled: u64,
    },
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { calls, handled } => {
                write!(f, "{calls} of {handled} events trapped or broke a limit")
            }
            Self::Declined { calls, handled } => write!(
                f,
                "{calls} of {handled} events were put off or rejected, more than by the build in service"
            ),
        }
    }
}

/// A canary's calls so far, and those of the build in service beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Canary {
    /// The build that is tried.
    pub canary: Tally,
    /// The build in service.
    pub stable: Tally,
}

impl Canary {
    /// A first call of one of the two ended.
    pub fn on(&mut self, side: Side, outcome: &Outcome) {
        match side {
            Side::Stable => self.stable.count(outcome),
            Side::Canary => self.canary.count(outcome),
        }
    }

    /// The rule. A canary has as many failures as its first `events` events allow,
    /// and is taken back with the one too many, however few it was given by then.
    pub fn judge(&self, policy: &CanaryPolicy, since: Duration) -> Judgement {
        let Tally {
            handled,
            failed,
            declined,
        } = self.canary;
        let of = handled.max(u64::from(policy.events));
        let (calls, allowed) = (failed, u64::from(policy.failed_percent));
        if calls * 100 > of * allowed {
            return Judgement::RollBack(Grounds::Failed { calls, handled });
        }
        if self.declines_more(of, u64::from(policy.declined_percent)) {
            let calls = declined;
            return Judgement::RollBack(Grounds::Declined { calls, handled });
        }
        if handled >= u64::from(policy.events) && since >= policy.time {
            Judgement::Promote
        } else {
            Judgement::Continue
        }
    }

    /// Whether its share of declined events is over the other's and the margin.
    fn declines_more(&self, of: u64, margin: u64) -> bool {
        let (own, other) = (self.canary.declined, self.stable.declined);
        // Of none handled none was declined.
        let others = u128::from(self.stable.handled.max(1));
        let allowed = u128::from(other) * 100 + u128::from(margin) * others;
        u128::from(own) * 100 * others > u128::from(of) * allowed
    }
}

/// What decides to which of the two builds an event goes: the same for every
/// delivery of it, and for all events of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot(u64);

impl Lot {
    /// The lot of an event: of its key, where events of a key follow each other.
    pub fn of(event_id: Uuid, key: Option<&LaneKey>, canary: &Digest) -> Self {
        // With the digest: an event is not among the first of every canary.
        let hash = fold(SEED, canary.bytes());
        let hash = match key {
            Some(key) => fold(hash, key.as_str().as_bytes()),
            None => fold(hash, event_id.as_bytes()),
        };
        Self(spread(hash))
    }

    /// Whether it falls to a share of so many in a hundred.
    pub const fn is_within(self, percent: u8) -> bool {
        self.0 % 100 < percent as u64
    }
}

/// FNV-1a, of 64 bits: nobody gains from a collision here.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    bytes.iter().fold(hash, step)
}

/// Spreads what differs in a few bits over all of them.
const fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Effects;
    use crate::fault::Fault;
    use crate::outcome::Breach;

    const S: Duration = Duration::from_secs(1);

    const POLICY: CanaryPolicy = CanaryPolicy {
        percent: 10,
        events: 100,
        time: Duration::from_mins(1),
        failed_percent: 2,
        declined_percent: 5,
    };

    const fn tally(handled: u64, failed: u64, declined: u64) -> Tally {
        Tally {
            handled,
            failed,
            declined,
        }
    }

    const fn failed(calls: u64, handled: u64) -> Judgement {
        Judgement::RollBack(Grounds::Failed { calls, handled })
    }

    const fn declined(calls: u64, handled: u64) -> Judgement {
        Judgement::RollBack(Grounds::Declined { calls, handled })
    }

    #[test]
    fn events_failures_and_time_decide() {
        use Judgement::{Continue, Promote};
        let none = tally(0, 0, 0);
        for (canary, stable, since, expected) in [
            (none, none, S * 999, Continue),
            // Both are asked for: events, and time.
            (tally(99, 0, 0), none, S * 999, Continue),
            (tally(100, 0, 0), none, S * 59, Continue),
            (tally(100, 0, 0), none, S * 60, Promote),
            // Two of the first hundred may fail, whenever they do.
            (tally(2, 2, 0), none, S, Continue),
            (tally(3, 3, 0), none, S, failed(3, 3)),
            (tally(100, 2, 0), none, S * 60, Promote),
            (tally(100, 3, 0), none, S * 60, failed(3, 100)),
            (tally(150, 3, 0), none, S * 60, Promote),
            // Of what is declined more is allowed than the other declines.
            (tally(5, 0, 5), none, S, Continue),
            (tally(6, 0, 6), none, S, declined(6, 6)),
            (tally(20, 0, 15), tally(900, 0, 90), S, Continue),
            (tally(20, 0, 16), tally(900, 0, 90), S, declined(16, 20)),
            (tally(100, 0, 15), tally(900, 0, 90), S * 60, Promote),
            // The failures of the build in service excuse none.
            (tally(3, 3, 0), tally(900, 900, 0), S, failed(3, 3)),
            (tally(u64::MAX / 200, 0, 0), none, S * 60, Promote),
        ] {
            let seen = Canary { canary, stable }.judge(&POLICY, since);
            assert_eq!(seen, expected, "{canary:?} beside {stable:?}, {since:?}");
        }
    }

    #[test]
    fn where_nothing_is_allowed_the_first_failure_decides() {
        let strict = CanaryPolicy {
            failed_percent: 0,
            declined_percent: 0,
            ..POLICY
        };
        let judge = |canary| {
            let stable = Tally::default();
            Canary { canary, stable }.judge(&strict, S)
        };
        assert_eq!(judge(tally(1, 1, 0)), failed(1, 1));
        assert_eq!(judge(tally(1, 0, 1)), declined(1, 1));
        assert_eq!(judge(tally(1, 0, 0)), Judgement::Continue);
    }

    #[test]
    fn each_outcome_counts_as_what_it_says_of_the_build() {
        let reason = || "no".to_owned();
        let (after, breach) = (None, Breach::Trap);
        let mut seen = Canary::default();
        for outcome in [
            Outcome::Done(Effects::default()),
            Outcome::Retry {
                reason: reason(),
                after,
            },
            Outcome::Rejected { reason: reason() },
            Outcome::Failed {
                breach,
                detail: reason(),
            },
            Outcome::HostFault(Fault::refusal("gone")),
        ] {
            seen.on(Side::Canary, &outcome);
        }
        assert_eq!(seen.canary, tally(4, 1, 2));
        assert_eq!(seen.stable, Tally::default());
    }

    #[test]
    fn a_share_is_a_share_and_an_event_has_one_lot() {
        let (one, other) = (Digest::new([1; 32]), Digest::new([2; 32]));
        for percent in [0, 1, 10, 50, 100] {
            let within = |n: &u128| {
                let id = Uuid::from_u128(*n);
                assert_eq!(Lot::of(id, None, &one), Lot::of(id, None, &one));
                Lot::of(id, None, &one).is_within(percent)
            };
            let share = (0..10_000).filter(within).count();
            let expected = usize::from(percent) * 100;
            let near = share.abs_diff(expected) <= 200;
            assert!(near && (percent % 100 != 0 || share == expected), "{share}");
        }
        let key = LaneKey::new("a");
        let lots = [1, 2].map(|n| Lot::of(Uuid::from_u128(n), Some(&key), &one));
        assert_eq!(lots[0], lots[1], "events of one key");
        assert_ne!(lots[0], Lot::of(Uuid::from_u128(1), Some(&key), &other));
    }
}

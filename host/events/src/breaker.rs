//! When a component that fails again and again is left alone for a while, and how
//! it comes back: a value that is told how calls ended, with the time as a
//! parameter. No clock, no effect.

use std::time::Duration;

use crate::outcome::Outcome;

/// Calls that the share of failures is taken of: enough that a few bad events
/// among good ones do not count.
pub const WINDOW_CALLS: u32 = 64;
/// Failures among them that open the breaker: three in four, where they do not
/// come in a row.
pub const WINDOW_FAILURES: u32 = WINDOW_CALLS / 4 * 3;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Calls in a row that failed; 0: it never opens.
    pub failures: u32,
    /// First pause.
    pub pause: Duration,
    /// Longest pause; each is twice the one before it.
    pub pause_max: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            // Twice the attempts of one event: a single bad one does not open it.
            failures: 10,
            pause: Duration::from_secs(5),
            pause_max: Duration::from_mins(5),
        }
    }
}

/// How a call ended, as far as a breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The component works, whatever it said of the event.
    Sound,
    /// It trapped, or broke a limit.
    Failed,
}

impl CallEnd {
    /// What an outcome says of the component; `None`: nothing, the host could not
    /// serve the call.
    pub const fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Done(_) | Outcome::Retry { .. } | Outcome::Rejected { .. } => {
                Some(Self::Sound)
            }
            Outcome::Failed { .. } => Some(Self::Failed),
            Outcome::HostFault(_) => None,
        }
    }
}

/// What may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    All,
    /// One call, to see whether it works again.
    Probe,
    /// Nothing, until then.
    None {
        /// On the clock of the caller.
        until: Duration,
    },
}

/// What a call's end changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, for so long.
    Opened {
        /// The pause.
        pause: Duration,
    },
    /// The probe failed: it stays open, for so long.
    Reopened {
        /// The pause.
        pause: Duration,
    },
    /// The probe went well.
    Closed,
}

/// The breaker of one build of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        /// Failures in a row.
        row: u32,
        /// The last calls, one bit each, the latest lowest: 1 is a failure.
        last: u64,
    },
    Open {
        until: Duration,
        pause: Duration,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        let state = State::Closed { row: 0, last: 0 };
        Self { state }
    }
}

impl Breaker {
    /// What may begin at this time.
    pub const fn passage(&self, now: Duration) -> Passage {
        match self.state {
            State::Closed { .. } => Passage::All,
            State::Open { until, .. } if now.as_nanos() >= until.as_nanos() => Passage::Probe,
            State::Open { until, .. } => Passage::None { until },
        }
    }

    /// A call ended at this time.
    pub fn on(&mut self, end: CallEnd, policy: &BreakerPolicy, now: Duration) -> Option<Change> {
        match (self.state, end) {
            (State::Closed { last, .. }, CallEnd::Sound) => {
                let (row, last) = (0, last << 1);
                self.state = State::Closed { row, last };
                None
            }
            (State::Closed { row, last }, CallEnd::Failed) => {
                let (row, last) = (row.saturating_add(1), last << 1 | 1);
                self.state = State::Closed { row, last };
                let many = row >= policy.failures || last.count_ones() >= WINDOW_FAILURES;
                if policy.failures == 0 || !many {
                    return None;
                }
                let pause = policy.pause;
                self.open(pause, now);
                Some(Change::Opened { pause })
            }
            // Began before it opened: says nothing new.
            (State::Open { until, .. }, _) if now < until => None,
            (State::Open { .. }, CallEnd::Sound) => {
                *self = Self::default();
                Some(Change::Closed)
            }
            (State::Open { pause, .. }, CallEnd::Failed) => {
                let pause = pause.saturating_mul(2).min(policy.pause_max);
                self.open(pause, now);
                Some(Change::Reopened { pause })
            }
        }
    }

    fn open(&mut self, pause: Duration, now: Duration) {
        let until = now.saturating_add(pause);
        self.state = State::Open { until, pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Effects;
    use crate::fault::Fault;
    use crate::outcome::Breach;

    const S: Duration = Duration::from_secs(1);

    fn policy() -> BreakerPolicy {
        BreakerPolicy {
            failures: 3,
            pause: S,
            pause_max: S * 3,
        }
    }

    /// What each of these calls changed: `.` is sound, `x` failed.
    fn play(breaker: &mut Breaker, calls: &str, now: Duration) -> Vec<Change> {
        let end = |call| match call {
            'x' => CallEnd::Failed,
            _ => CallEnd::Sound,
        };
        let ends = calls.chars().map(end);
        ends.filter_map(|end| breaker.on(end, &policy(), now))
            .collect()
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        for (calls, opens) in [
            ("", false),
            ("xx.xx.xx", false),
            ("xxx", true),
            ("....xx.xxx", true),
        ] {
            let mut breaker = Breaker::default();
            let changes = play(&mut breaker, calls, S);
            assert_eq!(!changes.is_empty(), opens, "{calls}");
            let passage = if opens {
                Passage::None { until: S * 2 }
            } else {
                Passage::All
            };
            assert_eq!(breaker.passage(S), passage, "{calls}");
        }
    }

    #[test]
    fn three_failures_in_four_open_it_though_they_are_not_in_a_row() {
        let policy = BreakerPolicy {
            failures: 100,
            ..policy()
        };
        let mut breaker = Breaker::default();
        let mut calls = 0;
        while breaker.passage(S) == Passage::All {
            let end = if calls % 5 == 4 {
                CallEnd::Sound
            } else {
                CallEnd::Failed
            };
            breaker.on(end, &policy, S);
            calls += 1;
        }
        assert!((WINDOW_FAILURES..=WINDOW_CALLS).contains(&calls), "{calls}");
        let mut half = Breaker::default();
        for call in 0..1_000 {
            let end = if call % 2 == 0 {
                CallEnd::Sound
            } else {
                CallEnd::Failed
            };
            assert_eq!(half.on(end, &policy, S), None);
        }
    }

    #[test]
    fn after_the_pause_one_call_decides_and_the_pause_grows() {
        let mut breaker = Breaker::default();
        play(&mut breaker, "xxx", Duration::ZERO);
        assert_eq!(breaker.passage(S / 2), Passage::None { until: S });
        assert_eq!(play(&mut breaker, "x.", S / 2), [], "began before");
        assert_eq!(breaker.passage(S), Passage::Probe);
        let reopened = |pause| [Change::Reopened { pause }];
        assert_eq!(play(&mut breaker, "x", S), reopened(S * 2));
        assert_eq!(breaker.passage(S * 2), Passage::None { until: S * 3 });
        assert_eq!(play(&mut breaker, "x", S * 3), reopened(S * 3), "no longer");
        assert_eq!(play(&mut breaker, ".", S * 6), [Change::Closed]);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn one_that_is_switched_off_never_opens() {
        let policy = BreakerPolicy {
            failures: 0,
            ..policy()
        };
        let mut breaker = Breaker::default();
        for _ in 0..1_000 {
            assert_eq!(breaker.on(CallEnd::Failed, &policy, S), None);
        }
    }

    #[test]
    fn what_a_handler_says_of_an_event_is_no_failure_of_the_component() {
        let reason = || "no".to_owned();
        let retry = Outcome::Retry {
            reason: reason(),
            after: None,
        };
        let failed = Outcome::Failed {
            breach: Breach::Trap,
            detail: reason(),
        };
        for (outcome, end) in [
            (Outcome::Done(Effects::default()), Some(CallEnd::Sound)),
            (retry, Some(CallEnd::Sound)),
            (Outcome::Rejected { reason: reason() }, Some(CallEnd::Sound)),
            (failed, Some(CallEnd::Failed)),
            (Outcome::HostFault(Fault::refusal("gone")), None),
        ] {
            assert_eq!(CallEnd::of(&outcome), end, "{outcome:?}");
        }
    }
}

//! What is remembered of one component's attempts at one event, and what follows
//! for its next delivery: a total function of values.
//!
//! An attempt is a call that ended. A call that began and of which no end is known
//! is a death: the host died, or was stopped hard, while it ran. The two are
//! counted apart, so that deaths use up no attempt and attempts hide no death. The
//! broker's count of deliveries is a hint and no more: it can fall back.

use std::time::Duration;

/// Deaths in a row after which an event runs alone. One death accuses everything
/// that was in a call then; what was there twice is worth the wait of the others.
pub const ALONE_FROM: u32 = 2;

/// Deaths in a row after which an event is not called any more. The last three
/// found it alone in the host, so it is not condemned for a neighbour's doing; and
/// three, because a host is also killed for reasons of its own.
pub const DEATHS_MAX: u32 = ALONE_FROM + 3;

/// Longest that a record may hold a message back, whatever the clocks say: the
/// longest pause that a handler can ask for.
pub const WAIT_MAX: Duration = Duration::from_hours(24);

/// What the ledger knows of one event and one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was handled.
    Handled,
    /// It was attempted, or begun.
    Attempted(Record),
}

/// The attempts so far. There is none for an event whose first call succeeds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Calls that ended in a retry or a failure.
    pub attempts: u32,
    /// Calls that began since, and did not end.
    pub begun: u32,
    /// Until it may be called again, by the database's clock; zero: now.
    pub wait: Duration,
    /// Its dead letter was written: it is not called again unless a person asks.
    pub dead: bool,
}

/// How a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At once: the first delivery of an event that nobody knows.
    Unrecorded,
    /// The ledger is told first that so many calls have begun.
    Recorded {
        /// This one included.
        begun: u32,
    },
    /// The same, and no other call of this host runs meanwhile.
    Alone {
        /// This one included.
        begun: u32,
    },
}

impl Start {
    /// Calls that have begun, this one included, where the ledger is told.
    pub const fn begun(self) -> Option<u32> {
        match self {
            Self::Unrecorded => None,
            Self::Recorded { begun } | Self::Alone { begun } => Some(begun),
        }
    }
}

/// Whether the process has just begun: what it is given first may be what its
/// predecessor died of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// An event that nobody knows is called at once.
    Ordinary,
    /// Every call is recorded before it begins.
    Fresh,
}

/// What to do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Call the handler.
    Call {
        /// Which attempt it is, from 1.
        attempt: u32,
        /// How it begins.
        start: Start,
    },
    /// It came too soon: give it back for so long. No attempt is used up.
    Wait(Duration),
    /// Its dead letter is written: terminate it.
    Dead,
    /// It brought the host down too often: write the dead letter, without a call.
    Convict {
        /// Deaths in a row.
        deaths: u32,
    },
}

/// The rule. `delivered` is the broker's count, from 1.
pub fn admit(record: Option<&Record>, delivered: u32, care: Care) -> Admission {
    let Some(record) = record else {
        // Delivered before, and nobody knows why: it may have been in a call.
        let unknown = u32::from(delivered > 1);
        let start = match care {
            Care::Ordinary if unknown == 0 => Start::Unrecorded,
            Care::Ordinary | Care::Fresh => Start::Recorded { begun: unknown + 1 },
        };
        return Admission::Call { attempt: 1, start };
    };
    if record.dead {
        return Admission::Dead;
    }
    if !record.wait.is_zero() {
        return Admission::Wait(record.wait.min(WAIT_MAX));
    }
    if record.begun >= DEATHS_MAX {
        let deaths = record.begun;
        return Admission::Convict { deaths };
    }
    let begun = record.begun + 1;
    Admission::Call {
        attempt: record.attempts.saturating_add(1),
        start: if record.begun >= ALONE_FROM {
            Start::Alone { begun }
        } else {
            Start::Recorded { begun }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn call(attempt: u32, start: Start) -> Admission {
        Admission::Call { attempt, start }
    }

    const fn recorded(begun: u32) -> Start {
        Start::Recorded { begun }
    }

    const fn alone(begun: u32) -> Start {
        Start::Alone { begun }
    }

    #[test]
    fn an_event_that_nobody_knows_is_called_at_once_unless_it_may_have_killed() {
        for (delivered, care, start) in [
            (0, Care::Ordinary, Start::Unrecorded),
            (1, Care::Ordinary, Start::Unrecorded),
            (1, Care::Fresh, recorded(1)),
            (2, Care::Ordinary, recorded(2)),
            // The broker's count is no proof of so many calls.
            (u32::MAX, Care::Fresh, recorded(2)),
        ] {
            let admitted = admit(None, delivered, care);
            assert_eq!(admitted, call(1, start), "{delivered} {care:?}");
        }
    }

    #[test]
    fn attempts_and_deaths_are_counted_apart() {
        for (attempts, begun, expected) in [
            (1, 0, call(2, recorded(1))),
            (4, 0, call(5, recorded(1))),
            (0, 1, call(1, recorded(2))),
            (3, 1, call(4, recorded(2))),
            (0, 2, call(1, alone(3))),
            (2, 4, call(3, alone(5))),
            (0, 5, Admission::Convict { deaths: 5 }),
            (9, u32::MAX, Admission::Convict { deaths: u32::MAX }),
            (u32::MAX, 0, call(u32::MAX, recorded(1))),
        ] {
            let record = Record {
                attempts,
                begun,
                ..Record::default()
            };
            // Whatever the broker remembers.
            for delivered in [1, 2, u32::MAX] {
                let admitted = admit(Some(&record), delivered, Care::Ordinary);
                assert_eq!(admitted, expected, "{attempts} {begun}");
            }
        }
    }

    #[test]
    fn what_comes_too_soon_waits_for_the_rest_and_no_longer_than_a_day() {
        let at = |wait| Record {
            attempts: 1,
            begun: DEATHS_MAX,
            wait,
            dead: false,
        };
        let soon = at(Duration::from_millis(1));
        let admitted = admit(Some(&soon), 1, Care::Ordinary);
        assert_eq!(admitted, Admission::Wait(Duration::from_millis(1)));
        let never = at(Duration::MAX);
        assert_eq!(
            admit(Some(&never), 1, Care::Ordinary),
            Admission::Wait(WAIT_MAX)
        );
    }

    #[test]
    fn what_is_dead_stays_dead() {
        let record = Record {
            dead: true,
            ..Record::default()
        };
        assert_eq!(admit(Some(&record), 1, Care::Fresh), Admission::Dead);
    }
}

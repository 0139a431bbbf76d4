//! How soon the relay looks again: at once while rows keep coming, ever more
//! rarely while none do, carefully while the other side does not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::Turn;
use crate::backoff::Backoff;

/// Pause after a pass that moved something and left nothing: short, because rows
/// come in bursts, and long enough for a few of them to share a pass. With one millisecond
/// an event is on the stream 0.6 ms sooner, and takes 0.4 ms more of the processor at 200
/// events a second: on two cores it is handled no sooner (`docs/benchmark.md`).
const BUSY: Duration = Duration::from_millis(2);

/// The adaptive poll.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    standby: Duration,
    pause: Duration,
    backoff: Backoff,
    nudgeable: bool,
}

impl Pace {
    /// Polls a quiet outbox at least every `longest`, and asks for the lease every
    /// `standby`.
    pub(super) fn new(longest: Duration, standby: Duration) -> Self {
        Self {
            longest,
            standby,
            pause: Duration::ZERO,
            backoff: Backoff::default(),
            nudgeable: true,
        }
    }

    /// The pause before the next pass.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// Whether a nudge may cut the pause short: not while the stream is down, nor
    /// while the rows are another relay's business.
    pub(super) fn may_be_nudged(&self) -> bool {
        self.nudgeable
    }

    /// Learns from a pass.
    pub(super) fn after(&mut self, turn: Turn) {
        if turn != (Turn::Blocked { moved: false }) {
            self.backoff.reset();
        }
        self.nudgeable = matches!(turn, Turn::Moved { .. } | Turn::Quiet);
        self.pause = match turn {
            Turn::Moved { full: true } => Duration::ZERO,
            Turn::Moved { full: false } => BUSY.min(self.longest),
            Turn::Quiet => (self.pause * 2).clamp(BUSY, self.longest.max(BUSY)),
            Turn::Standby => self.standby,
            Turn::Blocked { .. } => self.backoff.pause(),
        };
    }
}

/// Waits for the pause, but not past any of these times that is still to come: the
/// time to renew the lease, the next due time.
pub(super) async fn rest(pause: Duration, times: [Option<Instant>; 2]) {
    if pause.is_zero() {
        // A timer would wait for its next tick.
        return tokio::task::yield_now().await;
    }
    let now = Instant::now();
    let to_come = times.into_iter().flatten().filter(|at| *at > now);
    let until = to_come.fold(now + pause, Instant::min);
    tokio::time::sleep_until(until).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(Duration::from_millis(100), Duration::from_secs(1))
    }

    #[test]
    fn a_quiet_outbox_is_polled_ever_more_rarely() {
        let mut pace = pace();
        let pauses: Vec<u128> = (0..8)
            .map(|_| {
                pace.after(Turn::Quiet);
                pace.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100]);
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_part_soon() {
        let mut pace = pace();
        pace.after(Turn::Moved { full: true });
        assert_eq!(pace.pause(), Duration::ZERO);
        pace.after(Turn::Moved { full: false });
        assert_eq!(pace.pause(), BUSY);
    }

    #[test]
    fn a_nudge_does_not_cut_a_backoff_short() {
        let mut pace = pace();
        pace.after(Turn::Blocked { moved: false });
        assert!(!pace.may_be_nudged());
        pace.after(Turn::Quiet);
        assert!(pace.may_be_nudged());
        pace.after(Turn::Standby);
        assert!(!pace.may_be_nudged());
    }

    #[test]
    fn a_pass_that_moved_something_does_not_lengthen_the_pause() {
        let mut pace = pace();
        for _ in 0..20 {
            pace.after(Turn::Blocked { moved: true });
        }
        assert!(pace.pause() <= Duration::from_millis(50));
    }
}

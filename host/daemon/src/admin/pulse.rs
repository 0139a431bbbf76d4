//! A tick of the event loop, so that `/livez` tells a loop that turns from one
//! that is stuck. Knows nothing of the database or the broker: restarting the
//! host does not bring those back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often it ticks.
const EVERY: Duration = Duration::from_secs(1);
/// A loop that is later than this is stuck: some task blocks its threads.
const LATE: Duration = Duration::from_secs(10);

/// When the event loop ticked last.
#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    /// Milliseconds from `begun` to the last tick.
    last: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// Ticks for ever.
    pub(super) async fn run(&self) {
        loop {
            self.last.store(self.elapsed(), Ordering::Relaxed);
            tokio::time::sleep(EVERY).await;
        }
    }

    /// How long there has been no tick, if that is too long.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        let since = self
            .elapsed()
            .saturating_sub(self.last.load(Ordering::Relaxed));
        let since = Duration::from_millis(since);
        (since > LATE).then_some(since)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ticks_is_alive_and_one_that_does_not_is_stuck() {
        let pulse = Pulse::new();
        let minute = tokio::time::timeout(Duration::from_mins(1), pulse.run());
        assert!(minute.await.is_err());
        assert_eq!(pulse.stuck_for(), None);
        tokio::time::advance(LATE + EVERY * 2).await;
        assert!(pulse.stuck_for().is_some());
    }
}

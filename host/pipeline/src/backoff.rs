//! Pauses after faults of the host: exponential with jitter, never giving up.

use std::time::Duration;

/// First pause.
const FIRST: Duration = Duration::from_millis(50);
/// Longest pause: how long after the end of an outage work may still stand still.
const LONGEST: Duration = Duration::from_secs(5);

/// How often something failed in a row.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: between half of the exponential value and the whole.
    pub fn pause(&mut self) -> Duration {
        let whole = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// It worked: begin anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_below_the_longest() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause() <= FIRST);
        let last = (0..100).map(|_| backoff.pause()).last().unwrap();
        assert!(last >= LONGEST / 2 && last <= LONGEST);
        backoff.reset();
        assert!(!backoff.is_failing() && backoff.pause() <= FIRST);
    }
}

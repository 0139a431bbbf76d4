//! How long a message waits for its next attempt: exponential, with jitter,
//! computed by the host. The broker's own backoff is not used: it would ignore a
//! negative acknowledgement and override the acknowledgement wait.

use std::time::Duration;

/// Attempts of one event and the pauses between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. At least 1.
    pub attempts_max: u32,
    /// Pause after the first attempt.
    pub initial: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            initial: Duration::from_secs(1),
            max: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// Pause after attempt number `attempt` (from 1). `dice` is uniform in
    /// `0.0..1.0`: the pause lies between half of the exponential value and the
    /// whole, so that messages which failed together do not return together.
    pub fn pause(&self, attempt: u32, dice: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(30);
        let whole = self
            .initial
            .saturating_mul(1_u32 << doublings)
            .min(self.max);
        whole.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy::default();
        let whole: Vec<u64> = (1..=12).map(|n| policy.pause(n, 1.0).as_secs()).collect();
        assert_eq!(whole, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(policy.pause(u32::MAX, 1.0), policy.max);
    }

    #[test]
    fn jitter_takes_away_up_to_half() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(1, 0.0), Duration::from_millis(500));
        assert_eq!(policy.pause(1, 0.5), Duration::from_millis(750));
    }
}

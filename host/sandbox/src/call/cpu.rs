//! Processor time of one call: what its turns on a thread took, host functions
//! included. What waits, or is kept waiting by others, uses none.
//!
//! Read at the end of each turn and at each tick of the epoch: a guest overruns its
//! budget by a tick, and by what one host function takes.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// No turn is running.
const AT_REST: u64 = u64::MAX;

/// What one call has used. Only the thread that runs the call looks at it.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    /// Nanoseconds of the turns that ended.
    used: AtomicU64,
    /// The thread's time when the turn began, in nanoseconds.
    since: AtomicU64,
}

impl Default for CpuMeter {
    fn default() -> Self {
        Self {
            used: AtomicU64::new(0),
            since: AtomicU64::new(AT_REST),
        }
    }
}

impl CpuMeter {
    /// Runs a future, and measures each of its turns.
    pub(crate) async fn measured<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            let began = thread_time();
            self.since.store(began, Ordering::Relaxed);
            let polled = future.as_mut().poll(cx);
            self.since.store(AT_REST, Ordering::Relaxed);
            let took = thread_time().saturating_sub(began);
            self.used.fetch_add(took, Ordering::Relaxed);
            polled
        })
        .await
    }

    /// What was used so far. To be asked from within the call.
    pub(crate) fn used(&self) -> Duration {
        let ended = self.used.load(Ordering::Relaxed);
        let running = match self.since.load(Ordering::Relaxed) {
            AT_REST => 0,
            began => thread_time().saturating_sub(began),
        };
        Duration::from_nanos(ended.saturating_add(running))
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    const PER_SECOND: u64 = 1_000_000_000;
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * PER_SECOND + part(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let meter = CpuMeter::default();
        let begun = thread_time();
        let work = async {
            // Long enough to be seen by a clock of any grain.
            while thread_time() - begun < 20_000_000 {
                std::hint::spin_loop();
            }
            meter.used()
        };
        let within = meter.measured(work).await;
        let after_work = meter.used();
        assert!(within >= Duration::from_millis(10) && after_work >= within);
        let wait = tokio::time::sleep(Duration::from_millis(200));
        meter.measured(wait).await;
        assert!(meter.used() < after_work + Duration::from_millis(100));
    }
}

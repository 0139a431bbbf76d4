//! Processor time of one call: what its turns on a thread took, host functions
//! included. What waits, or is kept waiting by others, uses none.
//!
//! The thread's own clock costs a way into the kernel, so a turn that is over within
//! microseconds is measured by the wall: nobody else ran meanwhile. After the first that
//! was longer every turn is measured exactly. A guest overruns its budget by a tick of the
//! epoch, and by what one host function takes; its first long turn may be counted for
//! what it took in all, but for no more than two ticks. Whether it was the guest's is
//! in doubt then, and the next call of its component is measured exactly from the start.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A turn within this time had the processor for all of it: whoever is made to wait
/// for others waits for longer.
const SHORT: Duration = Duration::from_micros(200);

/// Most that a turn counts for which was measured by the wall.
const BY_THE_WALL_MAX: Duration = Duration::from_millis(20);

/// A turn that began within this time does not end at a tick of the epoch: ticks come
/// when they come, also a moment after a short call has begun.
const YOUNG: Duration = Duration::from_millis(1);

/// No turn is running, or its beginning was not measured.
const NOT_MEASURED: u64 = u64::MAX;

/// What one call has used. Only the thread that runs the call looks at it.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    /// When the call began.
    born: Instant,
    /// Nanoseconds of the turns that ended.
    used: AtomicU64,
    /// When the turn began, in nanoseconds since the call did.
    turn: AtomicU64,
    /// The thread's time when the turn began, in nanoseconds.
    since: AtomicU64,
    /// Whether turns are measured by the thread's clock.
    exact: AtomicBool,
    /// Whether a turn was long by the wall: perhaps others ran meanwhile.
    doubtful: AtomicBool,
    /// The call gave its turn up, and waits for nothing but the next.
    is_over: AtomicBool,
}

impl Default for CpuMeter {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            used: AtomicU64::new(0),
            turn: AtomicU64::new(NOT_MEASURED),
            since: AtomicU64::new(NOT_MEASURED),
            exact: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

impl CpuMeter {
    /// Another call of the same instance begins.
    pub(crate) fn renew(&self) {
        self.used.store(0, Ordering::Relaxed);
        self.exact.store(false, Ordering::Relaxed);
        self.doubtful.store(false, Ordering::Relaxed);
    }

    /// Every turn is measured exactly, also the first.
    pub(crate) fn measure_exactly(&self) {
        self.exact.store(true, Ordering::Relaxed);
    }

    /// Whether what was used was used by the call, and by nobody else.
    pub(crate) fn is_sure(&self) -> bool {
        !self.doubtful.load(Ordering::Relaxed)
    }

    /// Runs a future, and measures each of its turns.
    pub(crate) async fn measured<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            self.begin();
            let polled = future.as_mut().poll(cx);
            self.end();
            polled
        })
        .await
    }

    fn begin(&self) {
        if self.exact.load(Ordering::Relaxed) {
            self.since.store(thread_time(), Ordering::Relaxed);
        } else {
            self.turn.store(self.age(), Ordering::Relaxed);
        }
    }

    fn end(&self) {
        let took = self.running();
        self.turn.store(NOT_MEASURED, Ordering::Relaxed);
        self.since.store(NOT_MEASURED, Ordering::Relaxed);
        self.used.fetch_add(took, Ordering::Relaxed);
    }

    /// Nanoseconds of the turn that runs.
    fn running(&self) -> u64 {
        match self.since.load(Ordering::Relaxed) {
            NOT_MEASURED => match self.turn.load(Ordering::Relaxed) {
                NOT_MEASURED => 0,
                began => self.by_the_wall(self.age().saturating_sub(began)),
            },
            began => thread_time().saturating_sub(began),
        }
    }

    fn by_the_wall(&self, took: u64) -> u64 {
        if took > nanos(SHORT) {
            self.exact.store(true, Ordering::Relaxed);
            self.doubtful.store(true, Ordering::Relaxed);
        }
        took.min(nanos(BY_THE_WALL_MAX))
    }

    /// Whether the turn that runs has only just begun.
    pub(crate) fn turn_is_young(&self) -> bool {
        self.running() < nanos(YOUNG)
    }

    /// The call's turn ends here. Whoever runs it gives it the next one.
    pub(crate) async fn next_turn(meter: Arc<Self>) {
        let mut has_ended = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut has_ended, true) {
                return Poll::Ready(());
            }
            meter.end_turn();
            Poll::Pending // Nobody is woken: see `turn_is_over`.
        })
        .await;
    }

    pub(crate) fn end_turn(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether a call that is not ready waits for its next turn only. Asked once for
    /// each turn.
    pub(crate) fn turn_is_over(&self) -> bool {
        self.is_over.swap(false, Ordering::Relaxed)
    }

    /// What was used so far. To be asked from within the call, or
    /// when it has ended.
    pub(crate) fn used(&self) -> Duration {
        let running = self.running();
        if running > 0 && self.since.load(Ordering::Relaxed) == NOT_MEASURED {
            // From here on by the thread's clock.
            self.used.fetch_add(running, Ordering::Relaxed);
            self.since.store(thread_time(), Ordering::Relaxed);
            return Duration::from_nanos(self.used.load(Ordering::Relaxed));
        }
        let ended = self.used.load(Ordering::Relaxed);
        Duration::from_nanos(ended.saturating_add(running))
    }

    fn age(&self) -> u64 {
        nanos(self.born.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NOT_MEASURED - 1)
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

    #[tokio::test]
    async fn a_turn_is_young_until_it_has_taken_a_millisecond() {
        let meter = CpuMeter::default();
        meter.measure_exactly();
        let begun = thread_time();
        let turn = async {
            let at_first = meter.turn_is_young();
            while thread_time() - begun < nanos(YOUNG) * 2 {
                std::hint::spin_loop();
            }
            (at_first, meter.turn_is_young())
        };
        assert_eq!(meter.measured(turn).await, (true, false));
        assert!(meter.is_sure());
    }
}

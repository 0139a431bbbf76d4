//! The clock that interrupts guests: a thread of its own, because guests that spin can
//! occupy every thread of the runtime. It rests while no guest runs, so that an idle host
//! does not wake a hundred times a second for nobody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// How often a running guest is asked to let others run. Shorter costs nothing
/// measurable and makes the clock of a deadline finer.
const TICK: Duration = Duration::from_millis(10);

/// Ticks without a guest, after which it rests: waking it costs more than a few of them,
/// so that events which come one after the other must not each wake it.
const REST_AFTER: u32 = 50;

/// Resting, it looks this often whether it is needed at all.
const REST: Duration = Duration::from_secs(1);

/// The clock, as those see it who run guests.
#[derive(Debug)]
pub(crate) struct Ticker {
    thread: Thread,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Guests that run.
    running: AtomicUsize,
    /// The next who runs a guest has to wake it.
    rests: AtomicBool,
}

/// A guest runs for as long as this is there.
pub(crate) struct Running<'t>(&'t State);

impl Ticker {
    /// Starts it. It ends when `tick` says that there is nothing to interrupt any more.
    pub(crate) fn start(tick: impl FnMut() -> bool + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("qx-epoch".to_owned())
            .spawn(move || own.run(tick))?;
        Ok(Self {
            thread: thread.thread().clone(),
            state,
        })
    }

    /// To be asked before a guest is entered.
    pub(crate) fn running(&self) -> Running<'_> {
        // Both sides write before they read, in one order for all: either the clock sees
        // this guest and does not rest, or it is seen to rest and woken.
        self.state.running.fetch_add(1, Ordering::SeqCst);
        let rests = &self.state.rests;
        if rests.load(Ordering::SeqCst) && rests.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl State {
    fn run(&self, mut tick: impl FnMut() -> bool) {
        let mut quiet = 0;
        while tick() {
            quiet = if self.is_quiet() { quiet + 1 } else { 0 };
            if quiet < REST_AFTER {
                #[expect(clippy::disallowed_methods, reason = "this thread is a clock")]
                std::thread::sleep(TICK);
            } else if self.rest() {
                quiet = 0;
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    /// Whether somebody woke it.
    fn rest(&self) -> bool {
        self.rests.store(true, Ordering::SeqCst);
        if self.is_quiet() {
            std::thread::park_timeout(REST);
        }
        !self.rests.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Waits for what must become true.
    fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_rests_while_nothing_runs_and_ticks_for_who_does() {
        let (sender, ticks) = mpsc::channel();
        let ticker = Ticker::start(move || sender.send(()).is_ok()).unwrap();
        for _ in 0..3 {
            until(|| ticker.state.rests.load(Ordering::SeqCst));
            let running = ticker.running();
            while ticks.try_recv().is_ok() {}
            // More than it makes before it rests.
            assert_eq!(ticks.iter().take(REST_AFTER as usize * 2).count(), 100);
            assert!(!ticker.state.rests.load(Ordering::SeqCst));
            drop(running);
        }
        assert!(ticker.state.is_quiet());
    }

    /// Else each of many short calls, one after the other, would wake it.
    #[test]
    fn woken_for_a_moment_it_goes_on_for_a_while() {
        let (sender, ticks) = mpsc::channel();
        let ticker = Ticker::start(move || sender.send(()).is_ok()).unwrap();
        let rests = || ticker.state.rests.load(Ordering::SeqCst);
        until(rests);
        while ticks.try_recv().is_ok() {}
        // As `running` does for a call that is over before the clock has looked.
        assert!(ticker.state.rests.swap(false, Ordering::SeqCst));
        ticker.thread.unpark();
        until(rests);
        assert!(ticks.try_iter().count() >= REST_AFTER as usize);
    }
}

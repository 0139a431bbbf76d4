//! The guests' own threads, so that the host's are never behind a guest.
//!
//! A call begins where it was made, and most end there within their first turn. One
//! that still computes when its turn is over goes to these threads, and comes back
//! to wait for what it asks of the host; the calls after one that was long begin
//! there. A busy machine lets a short call look long by the wall: so one that looks
//! long has the next one measured exactly, and that one tells. There every component has its turn after
//! the other, whatever the number of its calls. The threads have a lower priority
//! than the host's.
//!
//! Never: knows what a call does; a future that says that its turn is over is all.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::call::cpu::CpuMeter;
use crate::slots::Owner;

/// A call that used more than this is long: the next ones of its component begin on
/// the guests' threads, if it is certain. Less than what going there costs is not worth it.
const SHORT: Duration = Duration::from_millis(1);

/// How many calls begin there after a long one: a component that is long now and
/// then takes the host's time once in so many calls.
const LONG_CALLS: u32 = 64;

/// By how much the threads are nicer than the host's.
const NICER_BY: i32 = 5;

/// What a call comes to, wherever it runs.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Whether the calls of a component are long.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// So many more begin on the guests' threads.
    long: AtomicU32,
    /// One has looked long, and it is not certain that it was.
    in_doubt: AtomicBool,
}

impl Pace {
    /// Where the next call begins; `true`: on the guests' threads.
    fn is_long(&self) -> bool {
        let less = |calls: u32| calls.checked_sub(1);
        let less = self
            .long
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        less.is_ok()
    }

    /// Whether the next call is to be measured exactly.
    fn is_in_doubt(&self) -> bool {
        let doubt = &self.in_doubt;
        doubt.load(Ordering::Relaxed) && doubt.swap(false, Ordering::Relaxed)
    }

    /// What a call has used, and whether that is certain.
    fn saw(&self, used: Duration, is_sure: bool) {
        match (used > SHORT, is_sure) {
            (true, true) => self.long.store(LONG_CALLS, Ordering::Relaxed),
            (true, false) => self.in_doubt.store(true, Ordering::Relaxed),
            (false, _) => {}
        }
    }
}

/// The threads. They end with this.
pub(crate) struct Threads<T: Send + 'static>(Arc<Queue<T>>);

impl<T: Send + 'static> Threads<T> {
    /// Starts so many.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            ring: Mutex::default(),
            filled: Condvar::new(),
        });
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("qx-guest-{number}"))
                .spawn(move || {
                    if let Err(error) = rustix::process::nice(NICER_BY) {
                        tracing::debug!(%error, "guests have the host's own priority");
                    }
                    while let Some(job) = queue.next() {
                        job.turn(&queue);
                    }
                })?;
        }
        Ok(Self(queue))
    }

    /// Runs a call to its end.
    pub(crate) fn run(
        &self,
        work: Work<T>,
        owner: Owner,
        (pace, cpu): (&Arc<Pace>, &Arc<CpuMeter>),
    ) -> Call<T> {
        if pace.is_in_doubt() {
            cpu.measure_exactly();
        }
        Call {
            here: Some(work),
            job: None,
            begins_away: pace.is_long(),
            queue: Arc::clone(&self.0),
            owner,
            pace: Arc::clone(pace),
            cpu: Arc::clone(cpu),
        }
    }
}

impl<T: Send + 'static> Drop for Threads<T> {
    fn drop(&mut self) {
        self.0.ring().closed = true;
        self.0.filled.notify_all();
    }
}

/// One call, as its caller waits for it.
pub(crate) struct Call<T: Send + 'static> {
    here: Option<Work<T>>,
    /// On the guests' threads, or on its way back.
    job: Option<Arc<Job<T>>>,
    begins_away: bool,
    queue: Arc<Queue<T>>,
    owner: Owner,
    pace: Arc<Pace>,
    cpu: Arc<CpuMeter>,
}

impl<T: Send + 'static> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Some(job) = &this.job {
            match job.come_back(cx.waker()) {
                Back::NotYet => return Poll::Pending,
                Back::Done(output) => {
                    this.job = None;
                    return this.done(output);
                }
                Back::Waits(work) => {
                    this.job = None;
                    this.here = Some(work);
                }
            }
        }
        let Some(mut work) = this.here.take() else {
            return Poll::Pending; // It has ended: nobody polls it again.
        };
        if std::mem::take(&mut this.begins_away) {
            this.send(work, cx.waker());
            return Poll::Pending;
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(output) => this.done(output),
            Poll::Pending if this.cpu.turn_is_over() => {
                this.send(work, cx.waker());
                Poll::Pending
            }
            Poll::Pending => {
                this.here = Some(work);
                Poll::Pending
            }
        }
    }
}

impl<T: Send + 'static> Call<T> {
    fn done(&self, output: T) -> Poll<T> {
        self.pace.saw(self.cpu.used(), self.cpu.is_sure());
        Poll::Ready(output)
    }

    fn send(&mut self, work: Work<T>, waker: &Waker) {
        let job = Arc::new(Job {
            cell: Mutex::new(Cell {
                state: State::Queued(work),
                waker: waker.clone(),
            }),
            owner: self.owner,
            cpu: Arc::clone(&self.cpu),
            runtime: Handle::try_current().ok(),
            span: tracing::Span::current(),
        });
        self.job = Some(Arc::clone(&job));
        self.queue.push(job);
    }
}

impl<T: Send + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            let state = std::mem::replace(&mut job.cell().state, State::Dropped);
            drop(state); // What runs at this moment goes at the end of its turn.
        }
    }
}

/// A call that computes.
struct Job<T> {
    cell: Mutex<Cell<T>>,
    owner: Owner,
    cpu: Arc<CpuMeter>,
    /// The host's: what the call asks of the host belongs there.
    runtime: Option<Handle>,
    span: tracing::Span,
}

struct Cell<T> {
    state: State<T>,
    waker: Waker,
}

enum State<T> {
    Queued(Work<T>),
    Running,
    /// It waits for something, and not for a turn.
    Waits(Work<T>),
    Done(T),
    /// It came back, or nobody waits for it any longer.
    Dropped,
}

enum Back<T> {
    NotYet,
    Waits(Work<T>),
    Done(T),
}

impl<T: Send + 'static> Job<T> {
    fn cell(&self) -> MutexGuard<'_, Cell<T>> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn on a thread of the guests.
    fn turn(self: Arc<Self>, queue: &Queue<T>) {
        let state = std::mem::replace(&mut self.cell().state, State::Running);
        let State::Queued(mut work) = state else {
            self.cell().state = State::Dropped; // Nobody waits for it any longer.
            return;
        };
        let polled = {
            let _runtime = self.runtime.as_ref().map(Handle::enter);
            let _span = self.span.enter();
            // Whoever waits for it polls it again, whatever it waits for.
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        let next = match polled {
            Poll::Ready(output) => State::Done(output),
            Poll::Pending if self.cpu.turn_is_over() => State::Queued(work),
            Poll::Pending => State::Waits(work),
        };
        let is_queued = matches!(next, State::Queued(_));
        let (dropped, waker) = {
            let mut cell = self.cell();
            if matches!(cell.state, State::Dropped) {
                (Some(next), None)
            } else {
                cell.state = next;
                (None, (!is_queued).then(|| cell.waker.clone()))
            }
        };
        match (dropped, waker) {
            (Some(dropped), _) => drop(dropped),
            (None, Some(waker)) => waker.wake(),
            (None, None) => queue.push(self),
        }
    }

    fn come_back(&self, waker: &Waker) -> Back<T> {
        let mut cell = self.cell();
        match std::mem::replace(&mut cell.state, State::Dropped) {
            State::Done(output) => Back::Done(output),
            State::Waits(work) => Back::Waits(work),
            away @ (State::Queued(_) | State::Running | State::Dropped) => {
                cell.state = away;
                cell.waker.clone_from(waker);
                Back::NotYet
            }
        }
    }
}

/// Calls that want a turn, by component.
struct Queue<T> {
    ring: Mutex<Ring<Arc<Job<T>>>>,
    filled: Condvar,
}

struct Ring<J> {
    /// Components that have calls here, in the order of their turns.
    order: VecDeque<Owner>,
    jobs: HashMap<Owner, VecDeque<J>>,
    closed: bool,
}

impl<J> Default for Ring<J> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            jobs: HashMap::new(),
            closed: false,
        }
    }
}

impl<J> Ring<J> {
    fn push(&mut self, owner: Owner, job: J) {
        let jobs = self.jobs.entry(owner).or_default();
        if jobs.is_empty() {
            self.order.push_back(owner);
        }
        jobs.push_back(job);
    }

    /// The next call of the next component.
    fn pop(&mut self) -> Option<J> {
        let owner = self.order.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&owner);
        } else {
            self.order.push_back(owner);
        }
        job
    }
}

impl<T> Queue<T> {
    fn ring(&self) -> MutexGuard<'_, Ring<Arc<Job<T>>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Arc<Job<T>>) {
        self.ring().push(job.owner, job);
        self.filled.notify_one();
    }

    /// Waits for a call; `None`: there will be no more.
    fn next(&self) -> Option<Arc<Job<T>>> {
        let mut ring = self.ring();
        loop {
            if let Some(job) = ring.pop() {
                return Some(job);
            }
            if ring.closed {
                return None;
            }
            ring = self
                .filled
                .wait(ring)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests;

//! Every task of the host has a name and a declared failure; nothing is spawned
//! anywhere else.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause before a task that failed is started anew, so that one that fails at
/// once does not spin.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The tasks of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Outbox to stream.
    Relay,
    /// Stream to ledger, for the component of this name.
    Consumer(String),
    /// The transaction that deliveries share.
    GroupCommit,
    /// Retries of dead letters.
    Replay,
    /// The folder of components.
    Catalog,
    /// Health, metrics and listings over HTTP.
    Admin,
    /// Figures that are sampled.
    Sampler,
    /// What operators have paused.
    Pauses,
    /// What is past its retention is deleted.
    Housekeeping,
}

/// What the failure of a task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Restart,
    Shutdown,
}

impl Task {
    const fn on_failure(&self) -> OnFailure {
        match self {
            Self::Relay
            | Self::Consumer(_)
            | Self::Replay
            | Self::Catalog
            | Self::Sampler
            | Self::Pauses
            | Self::Housekeeping => OnFailure::Restart,
            // Nothing can be committed without the group commit, whose queue cannot be
            // made anew; and blind is worse than down.
            Self::GroupCommit | Self::Admin => OnFailure::Shutdown,
        }
    }
}

/// How the drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// Everything that was taken is finished.
    Clean,
    /// The grace was over first; what was cut off is delivered again.
    Abandoned {
        /// Tasks that did not finish.
        tasks: usize,
    },
}

/// Starts tasks, watches them, and stops them together.
#[derive(Clone)]
pub struct Supervisor {
    stop: CancellationToken,
    loops: TaskTracker,
    deliveries: TaskTracker,
    fatal: Arc<Notify>,
    settled: CancellationToken,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            stop: CancellationToken::new(),
            loops: TaskTracker::new(),
            deliveries: TaskTracker::new(),
            fatal: Arc::new(Notify::new()),
            settled: CancellationToken::new(),
        }
    }
}

impl Supervisor {
    /// Cancelled when the host stops.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Cancelled when the host stops and every delivery has ended.
    pub fn settled(&self) -> CancellationToken {
        self.settled.clone()
    }

    /// Where deliveries run: they are waited for, not cancelled.
    pub fn deliveries(&self) -> TaskTracker {
        self.deliveries.clone()
    }

    /// Returns when a task has failed that the host cannot do without.
    pub async fn failed(&self) {
        self.fatal.notified().await;
    }

    /// Runs what `make` makes until it returns. A panic is what the task says it is.
    pub fn spawn<F>(&self, task: Task, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, fatal) = (self.stop.clone(), Arc::clone(&self.fatal));
        let inner = self.loops.clone();
        self.loops.spawn(async move {
            loop {
                let Err(panic) = inner.spawn(make()).await else {
                    return; // It ended by itself: it was told to.
                };
                tracing::error!(task = ?task, error = %panic, "task failed");
                match task.on_failure() {
                    OnFailure::Restart => {
                        tokio::select! {
                            biased;
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(RESTART_PAUSE) => {}
                        }
                    }
                    OnFailure::Shutdown => {
                        fatal.notify_one();
                        return;
                    }
                }
            }
        });
    }

    /// Runs a task that cannot be made anew: its failure ends the host.
    pub fn spawn_once(&self, task: Task, future: impl Future<Output = ()> + Send + 'static) {
        let once = Mutex::new(Some(future));
        self.spawn(task, move || {
            let future = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                if let Some(future) = future {
                    future.await;
                }
            }
        });
    }

    /// Takes no more work, lets what was taken finish, gives up after `grace`.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.stop.cancel();
        self.loops.close();
        self.deliveries.close();
        let finished = async {
            self.deliveries.wait().await;
            self.settled.cancel();
            self.loops.wait().await;
        };
        match tokio::time::timeout(grace, finished).await {
            Ok(()) => Drained::Clean,
            Err(_elapsed) => Drained::Abandoned {
                tasks: self.deliveries.len() + self.loops.len(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let supervisor = Supervisor::default();
        let starts = Arc::new(AtomicU32::new(0));
        let (counted, stop) = (Arc::clone(&starts), supervisor.stop());
        supervisor.spawn(Task::Relay, move || {
            let (counted, stop) = (Arc::clone(&counted), stop.clone());
            async move {
                assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "first start");
                stop.cancelled().await;
            }
        });
        while starts.load(Ordering::SeqCst) < 2 {
            tokio::time::advance(RESTART_PAUSE).await;
        }
        assert_eq!(
            supervisor.drain(Duration::from_secs(1)).await,
            Drained::Clean
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_the_host_cannot_do_without_brings_it_down() {
        let supervisor = Supervisor::default();
        supervisor.spawn(Task::GroupCommit, || async { panic!("queue is gone") });
        supervisor.failed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_that_does_not_end_is_abandoned_and_counted() {
        let supervisor = Supervisor::default();
        supervisor.deliveries().spawn(std::future::pending::<()>());
        let drained = supervisor.drain(Duration::from_secs(1)).await;
        assert_eq!(drained, Drained::Abandoned { tasks: 1 });
    }
}

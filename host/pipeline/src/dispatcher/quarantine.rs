//! How many calls of handlers run at once in this process, and which one runs
//! alone.
//!
//! A call that may bring the process down runs with no other beside it, so that it
//! is known which one it was. The queue is fair: what came before it is let in
//! before it, and what comes later waits until it has ended.

use qx_events::Start;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The room for calls.
pub(super) struct Quarantine {
    room: Semaphore,
    all: u32,
}

impl Quarantine {
    /// Room for so many calls.
    pub(super) fn new(calls_max: usize) -> Self {
        Self {
            room: Semaphore::new(calls_max),
            all: calls_max.try_into().unwrap_or(u32::MAX),
        }
    }

    /// Room for a call that begins like this, for as long as it is held.
    pub(super) async fn enter(&self, start: Start) -> Option<SemaphorePermit<'_>> {
        let share = match start {
            Start::Unrecorded | Start::Recorded { .. } => 1,
            Start::Alone { .. } => self.all,
        };
        self.room.acquire_many(share).await.ok()
    }
}

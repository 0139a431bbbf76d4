//! How many calls of handlers run at once in this process, and which one runs
//! alone.
//!
//! A call that may bring the process down runs with no other beside it, so that it
//! is known which one it was. It is alone until its end is written down: an innocent
//! whose call has ended must not die unheard with the next. The queue is fair: what
//! came before it is let in before it, and what comes later waits.

use std::sync::{Arc, Mutex, PoisonError};

use qx_events::Start;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room for calls.
pub(super) struct Quarantine {
    room: Arc<Semaphore>,
    all: u32,
}

impl Quarantine {
    /// Room for so many calls.
    pub(super) fn new(calls_max: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(calls_max)),
            all: calls_max.try_into().unwrap_or(u32::MAX),
        }
    }

    /// Room for a call that begins like this, for as long as it is held.
    pub(super) async fn enter(&self, start: Start) -> Option<OwnedSemaphorePermit> {
        let share = match start {
            Start::Unrecorded | Start::Recorded { .. } => 1,
            Start::Alone { .. } => self.all,
        };
        Arc::clone(&self.room).acquire_many_owned(share).await.ok()
    }
}

/// The room that a call alone keeps until its end is written down: with its task.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<OwnedSemaphorePermit>>);

impl Kept {
    /// Keeps the room, if the call is one that runs alone.
    pub(super) fn keep(&self, start: Start, room: Option<OwnedSemaphorePermit>) {
        match start {
            Start::Alone { .. } => *self.0.lock().unwrap_or_else(PoisonError::into_inner) = room,
            Start::Unrecorded | Start::Recorded { .. } => drop(room),
        }
    }

    /// Lets others in before the call is made again.
    pub(super) fn leave(&self) {
        let room = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(room);
    }
}

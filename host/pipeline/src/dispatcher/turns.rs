//! Takes turns where calls get in each other's way.
//!
//! Calls of one component run side by side and commit optimistically. One whose
//! reads were overtaken runs again, and then alone among its kind, so that a key
//! which every event changes does not cost each of them one call for each other.
//! One that is overtaken even then, because it is slow and new calls are quick,
//! runs again with no other call of its component beside it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use qx_events::ComponentName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often a call runs again beside first calls before it runs alone. Alone
/// costs the others a wait of one call, so not at once.
const BESIDE_MAX: u32 = 2;

/// Shares of a lane: a call that runs beside others holds one, a call that runs
/// alone holds all. More than calls can ever run at once.
const SHARES: u32 = 1 << 20;

/// The calls of one component.
#[derive(Clone)]
struct Lane {
    queue: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Lane {
    fn new() -> Self {
        Self {
            queue: Arc::new(Semaphore::new(1)),
            room: Arc::new(Semaphore::new(SHARES as usize)),
        }
    }
}

/// The right to call, for as long as it is held. Empty while nobody of this
/// component ever had a conflict, which is the ordinary case.
#[derive(Default)]
pub(super) struct Turn {
    queue: Option<OwnedSemaphorePermit>,
    room: Option<OwnedSemaphorePermit>,
}

/// One lane for each component that ever had a conflict.
#[derive(Default)]
pub(super) struct Turns {
    lanes: Mutex<HashMap<ComponentName, Lane>>,
}

impl Turns {
    /// The turn of a first call: beside all others, but for one that runs alone.
    pub(super) async fn first(&self, component: &ComponentName) -> Turn {
        let lane = {
            let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.get(component).cloned()
        };
        let Some(lane) = lane else {
            return Turn::default();
        };
        Turn {
            queue: None,
            room: lane.room.acquire_owned().await.ok(),
        }
    }

    /// The turn of a call that runs again, for the `rerun`th time.
    pub(super) async fn again(&self, component: &ComponentName, rerun: u32, turn: Turn) -> Turn {
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let lane = lanes.entry(component.clone()).or_insert_with(Lane::new);
            lane.clone()
        };
        let Turn { queue, room } = turn;
        drop(room); // Who waits for all shares must not hold one.
        let queue = match queue {
            Some(queue) => Some(queue),
            None => lane.queue.acquire_owned().await.ok(),
        };
        let shares = if rerun <= BESIDE_MAX { 1 } else { SHARES };
        Turn {
            queue,
            room: lane.room.acquire_many_owned(shares).await.ok(),
        }
    }
}

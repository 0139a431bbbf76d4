//! Takes turns where calls get in each other's way.
//!
//! Calls of one component run side by side and commit optimistically. One whose
//! reads were overtaken runs again, and then alone among its kind: so a key that
//! every event changes costs each of them one more call, not one for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use qx_events::ComponentName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One queue for each component that ever had a conflict.
#[derive(Default)]
pub(super) struct Turns {
    queues: Mutex<HashMap<ComponentName, Arc<Semaphore>>>,
}

impl Turns {
    /// Waits until no other call of this component is running again. `None` never
    /// happens in practice: the queues are not closed.
    pub(super) async fn take(&self, component: &ComponentName) -> Option<OwnedSemaphorePermit> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = queues
                .entry(component.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(1)));
            Arc::clone(queue)
        };
        queue.acquire_owned().await.ok()
    }
}

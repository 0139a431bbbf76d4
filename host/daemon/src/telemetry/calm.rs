//! Remembers what is missing, so that it is said once and not on every retry.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use qx_events::ComponentName;

/// What is known to be missing.
#[derive(Debug, Default)]
pub(super) struct Calm {
    missing: Mutex<Missing>,
}

#[derive(Debug, Default)]
struct Missing {
    /// Components that wait. No more than the catalog has.
    held: HashSet<ComponentName>,
    /// Components that are paused, and by whom.
    paused: HashSet<(ComponentName, &'static str)>,
    relay: bool,
}

impl Calm {
    /// The component waits. `true`: that is news.
    pub(super) fn held(&self, component: &ComponentName) -> bool {
        self.with(|missing| {
            !missing.held.contains(component) && missing.held.insert(component.clone())
        })
    }

    /// The component goes on. `true`: that is news.
    pub(super) fn resumed(&self, component: &ComponentName) -> bool {
        self.with(|missing| missing.held.remove(component))
    }

    /// The component is paused. `true`: that is news.
    pub(super) fn paused(&self, component: &ComponentName, by: &'static str) -> bool {
        self.with(|missing| missing.paused.insert((component.clone(), by)))
    }

    /// It is not paused any more. `true`: that is news.
    pub(super) fn unpaused(&self, component: &ComponentName, by: &'static str) -> bool {
        self.with(|missing| missing.paused.remove(&(component.clone(), by)))
    }

    /// The relay waits. `true`: that is news.
    pub(super) fn relay_blocked(&self) -> bool {
        self.with(|missing| !std::mem::replace(&mut missing.relay, true))
    }

    /// The relay goes on. `true`: that is news.
    pub(super) fn relay_moved(&self) -> bool {
        self.with(|missing| std::mem::replace(&mut missing.relay, false))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Missing) -> T) -> T {
        ask(&mut self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

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
    /// Rows wait for the transaction of this session; 0 of one that was prepared.
    held_back: Option<i32>,
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

    /// Rows wait for a transaction of this session. `true`: that is news.
    pub(super) fn held_back(&self, pid: Option<i32>) -> bool {
        let pid = pid.unwrap_or_default();
        self.with(|missing| missing.held_back.replace(pid) != Some(pid))
    }

    /// They do no more. `true`: that is news.
    pub(super) fn let_go(&self) -> bool {
        self.with(|missing| missing.held_back.take().is_some())
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Missing) -> T) -> T {
        ask(&mut self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

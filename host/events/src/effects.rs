//! What a handler's call wants to change, collected while it runs and committed
//! afterwards: never applied one by one.

use crate::row::NewEvent;

/// Everything one call changes. Committed with the inbox mark, or not at all.
#[derive(Debug, Default, Clone)]
pub struct Effects {
    /// Keys the call read, with the version it saw: the commit checks that they
    /// are still current.
    pub reads: Vec<StateRead>,
    /// Keys the call wrote; the last write of a key only.
    pub writes: Vec<StateWrite>,
    /// Events that leave with the commit.
    pub emitted: Vec<NewEvent>,
}

impl Effects {
    /// Whether the call changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.emitted.is_empty()
    }
}

/// A key of a component's state, as a call found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRead {
    /// The key.
    pub key: String,
    /// Version that was read; `None` when there was no value.
    pub version: Option<i64>,
}

/// A key of a component's state, as a call left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: String,
    /// New value; `None` deletes.
    pub value: Option<String>,
}

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
    /// The value that was read; `None` when there was none.
    pub seen: Option<StateSeen>,
}

/// What is remembered of a value that a call has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSeen {
    /// Its version.
    pub version: i64,
    /// Its size.
    pub bytes: usize,
}

impl StateRead {
    /// The version that was read.
    pub fn version(&self) -> Option<i64> {
        self.seen.map(|seen| seen.version)
    }
}

/// A key of a component's state, as a call left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: String,
    /// New value; `None` deletes.
    pub value: Option<String>,
}

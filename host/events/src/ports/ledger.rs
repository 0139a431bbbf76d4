//! The ledger: inbox marks, handler state and emitted events, in one commit.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::attempts::Known;
use crate::digest::Digest;
use crate::effects::{Effects, StateSeen};
use crate::fault::Fault;
use crate::name::ComponentName;
use crate::ports::Fence;
use crate::state::{Overfull, StateBounds, StateSize};

/// What one delivery wants to commit.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Whose.
    pub component: ComponentName,
    /// The build that did it, recorded with the mark.
    pub digest: Digest,
    /// The event that was handled: with the component, the inbox mark.
    pub event_id: Uuid,
    /// The event's tenant; state is kept apart by it.
    pub tenant_id: Option<Uuid>,
    /// What to change.
    pub effects: Effects,
    /// How much state the component may have afterwards.
    pub bounds: StateBounds,
    /// A dead letter that was handled at last: removed in the same commit.
    pub replayed: Option<Uuid>,
    /// The lease that must still be held for it. `None`: none is needed.
    pub fence: Option<Fence>,
    /// The event has a record of its attempts: removed in the same commit.
    pub recorded: bool,
}

/// What is to be remembered of the attempts at an event that is not handled yet.
/// Absolute, so that writing it twice is writing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whose.
    pub component: ComponentName,
    /// The event.
    pub event_id: Uuid,
    /// Calls that ended in a retry or a failure.
    pub attempts: u32,
    /// Calls that began since, and did not end.
    pub begun: u32,
    /// Not to be called before this time has passed.
    pub wait: Duration,
    /// Written only while this is the newest of its lease; a note of somebody who was
    /// fenced off is dropped, as what it commits will be refused.
    pub fence: Option<Fence>,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is committed.
    Committed,
    /// The event was handled before; nothing of this was written.
    Duplicate,
    /// A key was changed since the call read it; nothing of this was written.
    /// Call the handler again.
    Conflict,
    /// The lease that it needs was taken by somebody else; nothing of this was
    /// written.
    Fenced,
    /// The component would have more state than it may; nothing of this was written.
    Overfull(Overfull),
}

/// A value of a component's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateValue {
    /// The value.
    pub value: String,
    /// Grows with every write.
    pub version: i64,
}

impl StateValue {
    /// What a call remembers of it.
    pub const fn seen(&self) -> StateSeen {
        StateSeen {
            version: self.version,
            bytes: self.value.len(),
        }
    }
}

/// Where a value of state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateAt {
    /// Whose.
    pub component: ComponentName,
    /// For which tenant.
    pub tenant_id: Option<Uuid>,
    /// Under which key.
    pub key: String,
}

/// The ledger.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// What is known of these events and this component: one request for all of
    /// them. Of what nobody knows there is no entry.
    async fn known(
        &self,
        component: &ComponentName,
        events: &[Uuid],
    ) -> Result<HashMap<Uuid, Known>, Fault>;

    /// Writes all of them down, the last one where there are several of one event.
    /// A number of attempts never falls. A transient fault means that nothing of it
    /// was written, or everything: write it again.
    async fn note(&self, notes: &[Note]) -> Result<(), Fault>;

    /// A value of the component's state, as committed.
    async fn read_state(
        &self,
        component: &ComponentName,
        tenant_id: Option<Uuid>,
        key: &str,
    ) -> Result<Option<StateValue>, Fault>;

    /// The committed values at all of these places, in their order: one way to the
    /// database for all of them, where it is a long one.
    async fn read_states(&self, all: &[StateAt]) -> Result<Vec<Option<StateValue>>, Fault> {
        let mut values = Vec::with_capacity(all.len());
        for at in all {
            let read = self.read_state(&at.component, at.tenant_id, &at.key);
            values.push(read.await?);
        }
        Ok(values)
    }

    /// Commits all of them in one transaction. The answer at index i belongs to
    /// settlement i. One that is a duplicate or in conflict (also with one earlier
    /// in the group), whose lease is lost, or that would leave more state than there may
    /// be, is left out; the others are committed.
    /// A lease that is needed cannot be taken while the transaction lasts. On a fault
    /// nothing is committed, or, if it is transient, perhaps everything.
    async fn settle(&self, group: &[Settlement]) -> Result<Vec<Settled>, Fault>;

    /// How much state each component has, by the count that the commits keep.
    async fn state_sizes(&self) -> Result<Vec<(ComponentName, StateSize)>, Fault>;

    /// Groups whose commits do not get in each other's way. One, where everything is
    /// written through one connection.
    fn commits_at_once(&self) -> usize {
        1
    }
}

//! Components that an operator has paused. Kept where all hosts see it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::fault::Fault;
use crate::name::ComponentName;

/// One component, paused by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Which.
    pub component: ComponentName,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// By whom, as they called themselves.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
}

/// The table `qx_pauses`.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// All that are paused.
    async fn paused(&self) -> Result<Vec<Pause>, Fault>;

    /// Pauses a component. One that is paused already keeps its time and gets the
    /// new words.
    async fn pause(&self, component: &ComponentName, by: &str, reason: &str) -> Result<(), Fault>;

    /// Resumes it; `false`: it was not paused.
    async fn resume(&self, component: &ComponentName) -> Result<bool, Fault>;
}

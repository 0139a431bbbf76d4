//! What an operator can change through the admin address, and how it is refused.

use async_trait::async_trait;
use qx_events::{ComponentName, Fault};
use serde::{Deserialize, Serialize};

use crate::catalog::{Announcement, TooMany};

/// Who asks, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// How they call themselves.
    pub by: String,
    /// Their words; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Whether a resume changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It was paused.
    Now,
    /// It was not.
    Already,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such component.
    #[error("no component `{0}` in the catalog; `qx-host handlers list` shows those there are")]
    Unknown(ComponentName),
    /// The announcement of a build is not taken.
    #[error(transparent)]
    Announced(#[from] TooMany),
    /// It runs no components.
    #[error("this host runs no components: ask one that does")]
    NoComponents,
    /// The database does not do it now.
    #[error("the database does not answer, and nothing was changed; try again: {}", .0.chain())]
    Database(Fault),
}

/// The host, as an operator changes it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Gives a component no more messages, on every host, until it is resumed.
    async fn pause(&self, component: &ComponentName, request: &Request) -> Result<(), Refusal>;

    /// A build of it is about to be put into the folder of components. Takes no code:
    /// what counts is the file.
    async fn announce(
        &self,
        component: &ComponentName,
        build: &Announcement,
    ) -> Result<(), Refusal>;

    /// Gives it messages again, also when its breaker on this host is open.
    async fn resume(&self, component: &ComponentName) -> Result<Resumed, Refusal>;
}

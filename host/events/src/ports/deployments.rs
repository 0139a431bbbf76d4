//! The history of builds: which came into service where, when and by whom. Kept
//! where all hosts see it, with the builds that no host is to take again.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::digest::Digest;
use crate::fault::Fault;
use crate::name::ComponentName;

/// Lines of history that are kept of each component: more than anybody reads, and
/// as many builds as a folder is given in a year.
pub const HISTORY_MAX: u32 = 200;

/// What happened to a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It came into service where nothing was.
    Load,
    /// It came into service in the place of another build.
    Swap,
    /// An earlier build came into service again.
    Rollback,
    /// It is tried beside the build in service.
    CanaryStart,
    /// It was tried, and is now in service.
    CanaryPromote,
    /// It was tried, and is refused from now on.
    CanaryRollback,
    /// Its trial ended without a judgement: another file came.
    CanaryEnd,
    /// It could not be loaded, or was refused.
    Refuse,
    /// Its component is out of service: the file is gone.
    Remove,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Load,
        Self::Swap,
        Self::Rollback,
        Self::CanaryStart,
        Self::CanaryPromote,
        Self::CanaryRollback,
        Self::CanaryEnd,
        Self::Refuse,
        Self::Remove,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
            Self::CanaryStart => "canary-start",
            Self::CanaryPromote => "canary-promote",
            Self::CanaryRollback => "canary-rollback",
            Self::CanaryEnd => "canary-end",
            Self::Refuse => "refuse",
            Self::Remove => "remove",
        }
    }

    /// What has this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Whether the build is in service for all events after it.
    pub const fn serves(self) -> bool {
        match self {
            Self::Load | Self::Swap | Self::Rollback | Self::CanaryPromote => true,
            Self::CanaryStart
            | Self::CanaryRollback
            | Self::CanaryEnd
            | Self::Refuse
            | Self::Remove => false,
        }
    }
}

/// One line of the history, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Whose build.
    pub component: ComponentName,
    /// Which; `None` when its file could not be read.
    pub digest: Option<Digest>,
    /// What happened to it.
    pub action: Action,
    /// By whom, as they called themselves.
    pub by: String,
    /// On which machine.
    pub host: String,
    /// In which folder of it.
    pub folder: String,
    /// Why; may be empty.
    pub reason: String,
}

/// One line of the history, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// What.
    pub deployment: Deployment,
}

/// A build that was tried and found unfit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub digest: Digest,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// On which machine.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// The tables `qx_deployments` and `qx_refusals`.
#[async_trait]
pub trait Deployments: Send + Sync {
    /// Writes a line. With a [`Action::CanaryRollback`] the build is refused from now
    /// on, in the same commit.
    async fn record(&self, deployment: &Deployment) -> Result<(), Fault>;

    /// The lines of a component, newest first.
    async fn history(&self, component: &ComponentName) -> Result<Vec<Deployed>, Fault>;

    /// The builds of a component that no host is to take.
    async fn refused(&self, component: &ComponentName) -> Result<Vec<Refusal>, Fault>;

    /// Takes a refusal back; `false`: there was none.
    async fn allow(&self, component: &ComponentName, digest: Digest) -> Result<bool, Fault>;
}

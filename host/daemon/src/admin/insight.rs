//! What the admin pages ask of the host, and the shapes of the answers.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rights::RightsView;
use super::stored::StoredView;

/// The host, as the admin pages see it.
#[async_trait]
pub trait Insight: Send + Sync {
    /// Every place of the catalog.
    async fn handlers(&self) -> Vec<HandlerView>;

    /// Whether the host can do its work now.
    async fn readiness(&self) -> Readiness;
}

/// A component as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerView {
    /// Name of the component, or of a file that can be none.
    pub component: String,
    /// SHA-256 of the build in service; none when nothing is.
    pub digest: Option<String>,
    /// `serving`, `broken`, or `degraded`: the file is broken and the build before
    /// it is still in service. `paused`: a build is in service and gets no messages.
    /// `loading`: the first build was announced.
    pub state: String,
    /// Patterns it takes.
    pub events: Vec<String>,
    /// The versions of each, in the same order.
    pub versions: Vec<String>,
    /// Of the build in service: `signed`, `unsigned`, or `unchecked` when it carries a
    /// signature and the host trusts no key.
    #[serde(default)]
    pub signature: Option<String>,
    /// Name of the key that signed it.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// What its events follow each other by: a key's word; none when they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Who consumes it at present, alone among all hosts, when its events follow each
    /// other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed_by: Option<String>,
    /// What the build in service may do; none when nothing is in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<RightsView>,
    /// Its state; none when nothing is in service, or the database did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredView>,
    /// The build that was announced and is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loading: Option<String>,
    /// The build that is tried beside the one in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// SHA-256 of the file that cannot be loaded, when it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_digest: Option<String>,
    /// The step at which the file was found not to be loadable: `read`, `verify`,
    /// `check`, `compile` or `instantiate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Deliveries that builds have still in hand which were replaced.
    #[serde(default)]
    pub draining: usize,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// Of a build in service: events that do not fit its types, with an example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Since when it is so, ISO 8601.
    pub since: String,
}

/// A build that is tried, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryView {
    /// SHA-256 of the build.
    pub digest: String,
    /// Its share of the events, in percent.
    pub percent: u8,
    /// Events that it was given and that ended.
    pub events: u64,
    /// Events that it must have been given.
    pub events_wanted: u32,
    /// Of its events, those that trapped or broke a limit.
    pub failed: u64,
    /// Of its events, those that it put off or rejected.
    pub declined: u64,
}

impl HandlerView {
    /// A component of which a build was announced, and nothing is there yet.
    pub fn loading(component: &str, now: DateTime<Utc>) -> Self {
        Self {
            component: component.to_owned(),
            digest: None,
            state: "loading".to_owned(),
            events: Vec::new(),
            versions: Vec::new(),
            signature: None,
            signed_by: None,
            order: None,
            consumed_by: None,
            rights: None,
            stored: None,
            loading: None,
            canary: None,
            file_digest: None,
            step: None,
            draining: 0,
            reason: None,
            warning: None,
            since: now.to_rfc3339(),
        }
    }
}

/// Whether the host can do its work: it can when every check passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that the host needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// For instance `database`.
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// In words. Never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Check {
    /// It is there.
    pub fn passed(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            detail: None,
        }
    }

    /// It is not there, and why.
    pub fn failed(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: false,
            detail: Some(detail.into()),
        }
    }
}

impl Readiness {
    /// Whether every check passes.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

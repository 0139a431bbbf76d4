//! Writes down what happens to builds, and remembers what was decided of them.
//!
//! The folder is the truth, this is its history: a database that is away delays a
//! line and stops no build from coming into service.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qx_events::ports::{Action, Deployment, Deployments};
use qx_events::{ComponentName, Digest};
use tokio::sync::Semaphore;

use crate::telemetry::Metrics;

/// Lines that wait for the database. More, and the oldest are given up: they are
/// history, not state.
const PENDING_MAX: usize = 256;
/// How long a build waits for its line.
const WAIT: Duration = Duration::from_secs(1);
/// Where Linux says what the machine is called.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Who does what no person asked for.
pub const BY_FOLDER: &str = "folder";
/// Who judges a trial.
pub const BY_CANARY: &str = "canary";

/// The history of this host's builds.
pub(super) struct Chronicle {
    table: Arc<dyn Deployments>,
    metrics: Option<Metrics>,
    host: String,
    folder: String,
    pending: Mutex<Pending>,
    /// Held by who writes what waits: a line is written once, and in its turn.
    writing: Semaphore,
}

#[derive(Default)]
struct Pending {
    lines: VecDeque<Deployment>,
    /// Refused by a line that is not written yet, with the reason.
    refused: BTreeMap<(ComponentName, Digest), String>,
}

/// The name of this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// The folder as it is told apart from others of the same machine.
pub fn folder_name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.to_string_lossy().into_owned()
}

impl Chronicle {
    pub(super) fn new(table: Arc<dyn Deployments>, metrics: Option<Metrics>, dir: &Path) -> Self {
        Self {
            table,
            metrics,
            host: host_name(),
            folder: folder_name(dir),
            pending: Mutex::default(),
            writing: Semaphore::new(1),
        }
    }

    /// Something happened to a build.
    pub(super) async fn record(
        &self,
        (component, digest): (&ComponentName, Option<Digest>),
        action: Action,
        by: &str,
        reason: &str,
    ) {
        if let Some(metrics) = &self.metrics {
            metrics.deployed(component, action);
        }
        {
            let mut pending = self.pending();
            if let (Action::CanaryRollback, Some(digest)) = (action, digest) {
                let refused = (component.clone(), digest);
                pending.refused.insert(refused, reason.to_owned());
            }
            pending.lines.push_back(Deployment {
                component: component.clone(),
                digest,
                action,
                by: by.to_owned(),
                host: self.host.clone(),
                folder: self.folder.clone(),
                reason: reason.to_owned(),
            });
            if pending.lines.len() > PENDING_MAX {
                pending.lines.pop_front();
            }
        }
        self.flush().await;
    }

    /// Writes what waits, as far as the database takes it.
    pub(super) async fn flush(&self) {
        // It is never closed.
        let _writing = self.writing.acquire().await;
        loop {
            let Some(line) = self.pending().lines.front().cloned() else {
                return;
            };
            match tokio::time::timeout(WAIT, self.table.record(&line)).await {
                Ok(Ok(())) => {
                    let mut pending = self.pending();
                    pending.lines.pop_front();
                    if let Some(digest) = line.digest {
                        pending.refused.remove(&(line.component, digest));
                    }
                }
                Ok(Err(fault)) => {
                    return tracing::debug!(error = fault.chain(), "a line of history waits");
                }
                // Whether it is written nobody knows: a line may stand there twice.
                Err(_elapsed) => return tracing::debug!("a line of history waits"),
            }
        }
    }

    /// Why no host is to take this build, if that is so. What cannot be asked now is
    /// not known to be refused.
    pub(super) async fn refusal(&self, name: &ComponentName, digest: Digest) -> Option<String> {
        if let Some(reason) = self.pending().refused.get(&(name.clone(), digest)) {
            return Some(reason.clone());
        }
        let refused = match tokio::time::timeout(WAIT, self.table.refused(name)).await {
            Ok(Ok(refused)) => refused,
            Ok(Err(fault)) => {
                tracing::warn!(component = %name, error = fault.chain(), "which builds are refused cannot be read for now");
                return None;
            }
            Err(_elapsed) => return None,
        };
        let own = refused.iter().find(|refusal| refusal.digest == digest)?;
        let (host, since) = (&own.host, own.since.format("%F %T UTC"));
        Some(format!("{} (on {host}, {since})", own.reason))
    }

    /// The build that was last in service here, by the history.
    pub(super) async fn last_served(&self, name: &ComponentName) -> Option<Digest> {
        let history = tokio::time::timeout(WAIT, self.table.history(name)).await;
        let history = history.ok()?.ok()?;
        let here = history.iter().map(|line| &line.deployment);
        let mut here = here.filter(|line| line.host == self.host && line.folder == self.folder);
        let last = here.find(|line| line.action.serves() || line.action == Action::Remove)?;
        last.digest.filter(|_| last.action.serves())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use qx_events::Fault;
    use qx_events::ports::{Deployed, Refusal};

    use super::*;

    /// Keeps the lines, and is slow to.
    #[derive(Default)]
    struct Table(Mutex<Vec<Deployment>>);

    #[async_trait::async_trait]
    impl Deployments for Table {
        async fn record(&self, deployment: &Deployment) -> Result<(), Fault> {
            tokio::task::yield_now().await;
            self.0.lock().unwrap().push(deployment.clone());
            tokio::task::yield_now().await;
            Ok(())
        }

        async fn history(&self, _: &ComponentName) -> Result<Vec<Deployed>, Fault> {
            Ok(Vec::new())
        }

        async fn refused(&self, _: &ComponentName) -> Result<Vec<Refusal>, Fault> {
            Ok(Vec::new())
        }

        async fn allow(&self, _: &ComponentName, _: Digest) -> Result<bool, Fault> {
            Ok(false)
        }
    }

    #[tokio::test]
    async fn lines_of_many_at_once_are_each_written_once() {
        let table = Arc::new(Table::default());
        let chronicle = Chronicle::new(Arc::clone(&table) as _, None, Path::new("."));
        let names = ["a", "b", "c", "d"].map(|name| ComponentName::parse(name).unwrap());
        let record = |name| {
            let build = (name, Some(Digest::new([1; 32])));
            chronicle.record(build, Action::Load, BY_FOLDER, "")
        };
        futures::future::join_all(names.iter().map(record)).await;
        let lines = table.0.lock().unwrap();
        let written: Vec<_> = lines.iter().map(|line| line.component.clone()).collect();
        assert_eq!(written, names);
    }
}

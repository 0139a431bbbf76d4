//! Wakes the catalog when the system reports a change in the folder. Only a
//! nudge: what has changed is found by looking.

use std::path::Path;
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A watch on one folder, for as long as it lives.
pub struct Watch {
    changed: Arc<Notify>,
    /// Kept alive; `None` where the system cannot watch, and looking must do.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches a folder, not what lies below it.
    pub fn new(dir: &Path) -> Self {
        Self::with_mode(&[dir], RecursiveMode::NonRecursive)
    }

    /// Watches folders and everything below them.
    pub fn trees(dirs: &[&Path]) -> Self {
        Self::with_mode(dirs, RecursiveMode::Recursive)
    }

    fn with_mode(dirs: &[&Path], mode: RecursiveMode) -> Self {
        let changed = Arc::new(Notify::new());
        let nudge = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is reported too, and would wake us for our own looks.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                nudge.notify_one();
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for dir in dirs {
                watcher.watch(dir, mode)?;
            }
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(error = %error, "folder cannot be watched; it is looked at every two seconds");
        }
        Self {
            changed,
            _watcher: watcher.ok(),
        }
    }

    /// Returns when something may have changed since the last time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

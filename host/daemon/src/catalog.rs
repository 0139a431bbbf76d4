//! The folder of components, and what of it is in service.
//!
//! A file that appears is loaded, one that changes replaces the build in service,
//! one that disappears takes its component out of service. Loading has steps: read,
//! verify, check, compile, instantiate; what fails at one of them leaves what is in
//! service where it is, and is shown with its step and reason; a few components take
//! their steps side by side. Then the build is put
//! in service in one step, or tried beside the other first; the build that it
//! replaces ends what it began. Each of that is a line of the history.

mod announced;
mod builds;
mod chronicle;
mod fit;
mod folder;
mod known;
mod load;
mod moves;
mod parts;
mod place;
mod read;
mod slot;
mod trials;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use qx_events::ComponentName;
use qx_events::ports::{Action, Clock, Deployments, Outbox};
use qx_pipeline::Mediator;
use qx_sandbox::Sandbox;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::HandlerView;
use crate::config::ComponentsConfig;
use crate::fleet::Fleet;
use crate::reach::Reach;
use crate::telemetry::Metrics;
pub use announced::{Announcement, TooMany};
use announced::{Intent, Intents};
pub use builds::{Builds, NoBuild};
use chronicle::Chronicle;
pub use chronicle::{BY_CANARY, BY_FOLDER, folder_name, host_name};
use folder::{Files, Folder};
use known::{Known, Looked};
pub(crate) use load::manifest;
pub use parts::{Parts, digest_of};
pub use slot::{NotLoaded, Served, Slot};
pub use watch::Watch;

/// How often the folder is read even if the system reported no change: not every
/// file system reports.
const RESCAN: Duration = Duration::from_secs(2);

/// Components that are on their way into service at once: each waits for files and for
/// the database, and holds its bytes meanwhile. Of these one is compiled at a time.
const LOADED_AT_ONCE: usize = 4;

/// The catalog.
pub struct Catalog {
    config: ComponentsConfig,
    services: Services,
    builds: Builds,
    chronicle: Chronicle,
    intents: Intents,
    outbox: Option<Arc<dyn Outbox>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Components whose missing signature the log has named. One of each is enough.
    told: Mutex<BTreeSet<ComponentName>>,
    looked: AtomicBool,
}

/// What a catalog works with.
pub struct Services {
    /// Loads components.
    pub sandbox: Arc<Sandbox>,
    /// The routes in service.
    pub mediator: Arc<Mediator>,
    /// Without a fleet components are loaded and routed, and nothing is consumed.
    pub fleet: Option<Arc<Fleet>>,
    /// What components reach outside the host.
    pub reach: Reach,
    /// The history of builds.
    pub deployments: Arc<dyn Deployments>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Counts, if somebody looks.
    pub metrics: Option<Metrics>,
}

impl Catalog {
    /// A catalog of the folder that the configuration names.
    pub fn new(config: ComponentsConfig, services: Services) -> Self {
        let (table, metrics) = (Arc::clone(&services.deployments), services.metrics.clone());
        Self {
            builds: Builds::new(config.builds_dir.clone(), config.builds_max),
            chronicle: Chronicle::new(table, metrics, &config.dir),
            intents: Intents::default(),
            outbox: None,
            config,
            services,
            slots: Mutex::default(),
            told: Mutex::default(),
            looked: AtomicBool::new(false),
        }
    }

    /// The same, and what it loads is held against the newest events of this outbox.
    #[must_use]
    pub fn beside(mut self, outbox: Arc<dyn Outbox>) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// Follows the folder until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let watch = Watch::new(&self.config.dir);
        let (folder, mut known) = (Folder::new(self.config.dir.clone()), Known::default());
        let mut scanned = Instant::now();
        loop {
            let pause = self.follow(&folder, &mut known).await;
            let is_scan = scanned.elapsed() >= RESCAN;
            if is_scan {
                scanned = Instant::now();
                self.chronicle.flush().await;
            }
            self.look_at_trials(is_scan).await;
            tokio::select! {
                biased; // Stop wins over one more look.
                () = stop.cancelled() => return,
                () = self.intents.woken() => {}
                () = self.services.mediator.judged() => {}
                () = watch.changed() => {}
                () = tokio::time::sleep(pause.unwrap_or(RESCAN)) => {}
            }
        }
    }

    /// Brings what is in service in line with the folder, once. `Some`: something in it
    /// is not settled, and is to be looked at again after this pause.
    async fn follow(&self, folder: &Folder, known: &mut Known) -> Option<Duration> {
        let seen = match folder.look() {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(error = %error, "components cannot be read");
                return None;
            }
        };
        let (new, gone) = known.strangers(&seen);
        for stranger in new {
            tracing::warn!(file = %stranger.file, reason = stranger.reason, "file is left out");
            let slot = Slot::stranger(stranger.reason, self.services.clock.now());
            self.slots().insert(stranger.file, slot);
        }
        for file in gone {
            self.slots().remove(&file);
        }
        for (stem, intent) in self.intents.all() {
            if let Some(files) = known.changed(&seen, &stem) {
                self.meet(&stem, (files, &intent), known).await;
            }
        }
        let Looked { settled, again } = known.settled(&seen, Instant::now());
        let dealt_with = stream::iter(settled).map(async |(stem, files)| {
            self.deal_with(&stem, files.as_ref()).await;
            (stem, files)
        });
        let mut dealt_with = pin!(dealt_with.buffer_unordered(LOADED_AT_ONCE));
        while let Some((stem, files)) = dealt_with.next().await {
            known.remember(stem, files);
        }
        if again.is_none() {
            self.looked.store(true, Ordering::Release);
        }
        again
    }

    async fn deal_with(&self, stem: &str, files: Option<&Files>) {
        match files {
            Some(files) => {
                let parts = self.read(files).await;
                self.take_in(stem, parts, None).await;
            }
            None => self.remove(stem).await,
        }
    }

    /// Takes the very build that was announced, if it is there: it is known by its
    /// digest, and need not settle.
    async fn meet(&self, stem: &str, (files, intent): (Files, &Intent), known: &mut Known) {
        match self.read(&files).await {
            Ok(parts) if parts.digest() == intent.digest => {
                self.intents.hold(stem, intent.digest);
                self.take_in(stem, Ok(parts), Some(intent)).await;
                self.intents.met(stem, intent.digest);
                known.remember(stem.to_owned(), Some(files));
            }
            Ok(_) => {} // It settles like any other file.
            Err(_) => self.intents.met(stem, intent.digest), // The same, with its reason.
        }
    }

    /// Whether what lay in the folder at the start has been dealt with.
    pub fn has_looked(&self) -> bool {
        self.looked.load(Ordering::Acquire)
    }

    /// A build is about to be put into the folder, by whom and how it is to come into
    /// service. It is taken as soon as it is there.
    pub fn announce(&self, name: &ComponentName, what: &Announcement) -> Result<(), TooMany> {
        self.intents.announce(name.as_str(), what)
    }

    /// What is in service and what is not, by name.
    pub fn views(&self) -> Vec<HandlerView> {
        let intents = self.intents.all();
        let slots = self.slots();
        let mut views: Vec<HandlerView> =
            slots.iter().map(|(name, slot)| slot.view(name)).collect();
        for (stem, intent) in intents {
            let view = if let Some(at) = views.iter().position(|view| view.component == stem) {
                views.get_mut(at)
            } else {
                views.push(HandlerView::loading(&stem, self.services.clock.now()));
                views.last_mut()
            };
            if let Some(view) = view {
                view.loading = Some(intent.digest.to_string());
            }
        }
        views
    }

    async fn remove(&self, stem: &str) {
        let Some(slot) = self.slots().remove(stem) else {
            return;
        };
        let Some(served) = slot.serving() else { return };
        let name = &served.component.name;
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        tracing::info!(component = %name, "component is out of service");
        self.services.mediator.remove(name);
        if let Some(fleet) = &self.services.fleet {
            fleet.retire(name);
        }
        let build = (name, Some(served.component.digest));
        self.chronicle
            .record(build, Action::Remove, BY_FOLDER, "")
            .await;
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

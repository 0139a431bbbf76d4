//! The folder of components, and what of it is in service.
//!
//! A file that appears is loaded, one that changes replaces the build in service
//! in one step, one that disappears takes its component out of service. A file
//! that cannot be loaded leaves what is in service where it is, and is shown with
//! its reason. Events in flight finish on the build they began with.
//!
//! What is verified is what is compiled: a component is read once, judged by its
//! signature, and the same bytes go to the sandbox.

mod fit;
mod folder;
mod read;
mod slot;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qx_events::ports::{Clock, Outbox};
use qx_events::{Component, ComponentName};
use qx_pipeline::Mediator;
use qx_sandbox::{LoadStep, Manifest, ManifestRoute, Sandbox};
use tokio_util::sync::CancellationToken;

use crate::admin::HandlerView;
use crate::cli::chain;
use crate::config::{ComponentsConfig, Sidecar};
use crate::fleet::Fleet;
use crate::signing::{Standing, TEXT_BYTES_MAX, Unsigned};
use folder::{Files, Folder};
use read::read;
pub use slot::{NotLoaded, Served, Slot};
pub use watch::Watch;

/// A file is loaded once it has stayed the same for so long: whoever copies it
/// into the folder may not be done yet.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the folder is read even if the system reported no change: not every
/// file system reports.
const RESCAN: Duration = Duration::from_secs(2);

/// Largest file of a component's settings, in bytes: written by hand, so far smaller.
const SIDECAR_BYTES_MAX: u64 = 1 << 20;

/// The catalog.
pub struct Catalog {
    config: ComponentsConfig,
    sandbox: Arc<Sandbox>,
    mediator: Arc<Mediator>,
    fleet: Option<Arc<Fleet>>,
    clock: Arc<dyn Clock>,
    outbox: Option<Arc<dyn Outbox>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Components whose missing signature the log has named. One of each is enough.
    told: Mutex<BTreeSet<ComponentName>>,
    looked: AtomicBool,
}

impl Catalog {
    /// A catalog of this folder. Without a fleet components are loaded and routed,
    /// and nothing is consumed.
    pub fn new(
        config: ComponentsConfig,
        sandbox: Arc<Sandbox>,
        mediator: Arc<Mediator>,
        fleet: Option<Arc<Fleet>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            config,
            sandbox,
            mediator,
            fleet,
            clock,
            outbox: None,
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
        let mut folder = Folder::new(self.config.dir.clone());
        loop {
            self.follow(&mut folder).await;
            tokio::select! {
                biased; // Stop wins over one more look.
                () = stop.cancelled() => return,
                () = watch.changed() => {}
                () = tokio::time::sleep(RESCAN) => {}
            }
        }
    }

    /// Brings what is in service in line with the folder, once.
    pub async fn follow(&self, folder: &mut Folder) {
        let mut seen = match folder.look() {
            Ok(seen) => seen,
            Err(error) => return tracing::warn!(error = %error, "components cannot be read"),
        };
        while !folder.is_settled(&seen) {
            tokio::time::sleep(SETTLE).await;
            match folder.look() {
                Ok(again) => seen = again,
                Err(_) => return, // Said at the next look.
            }
        }
        for stranger in folder.new_strangers(&seen) {
            tracing::warn!(file = %stranger.file, reason = stranger.reason, "file is left out");
            let slot = Slot::stranger(stranger.reason.clone(), self.clock.now());
            self.put(&stranger.file, slot);
        }
        for gone in folder.gone(&seen) {
            self.remove(&gone);
        }
        for (stem, files) in folder.changed(&seen) {
            self.load(&stem, &files).await;
        }
        folder.remember(seen);
        self.looked.store(true, Ordering::Release);
    }

    /// Whether what lay in the folder at the start has been dealt with.
    pub fn has_looked(&self) -> bool {
        self.looked.load(Ordering::Acquire)
    }

    /// What is in service and what is not, by name.
    pub fn slots(&self) -> Vec<HandlerView> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(|(name, slot)| slot.view(name)).collect()
    }

    async fn load(&self, stem: &str, files: &Files) {
        let loaded = self.build(stem, files).await;
        let before = self.take(stem);
        let now = self.clock.now();
        let slot = match loaded {
            Ok(served) => {
                let component = &served.component;
                let replaced = before
                    .as_ref()
                    .and_then(Slot::serving)
                    .map(|old| old.component.digest.short());
                tracing::info!(
                    component = %component.name,
                    digest = component.digest.short(),
                    replaced,
                    signature = served.standing.as_str(),
                    signed_by = served.standing.by().map(tracing::field::display),
                    "component is in service"
                );
                if let Some(warning) = &served.warning {
                    tracing::warn!(component = %component.name, warning, "events do not fit the component");
                }
                // From here on nothing new begins on the old build.
                self.mediator.install(component);
                if let Some(fleet) = &self.fleet {
                    fleet.serve(component);
                }
                self.warn_of_unsigned(&served);
                Slot::Serving { served, since: now }
            }
            Err(fault) => {
                let still = before.and_then(Slot::into_serving);
                tracing::error!(
                    component = stem,
                    step = fault.step.as_str(),
                    reason = fault.reason,
                    still_serving = still.as_ref().map(|old| old.component.digest.short()),
                    "component cannot be loaded"
                );
                Slot::Broken {
                    fault,
                    since: now,
                    still,
                }
            }
        };
        self.put(stem, slot);
    }

    /// Everything that can be wrong with the files is found here, before anything
    /// in service is touched.
    async fn build(&self, stem: &str, files: &Files) -> Result<Served, NotLoaded> {
        let name = ComponentName::parse(stem).map_err(|error| error.to_string())?;
        if let Some(refused) = &files.refused {
            return Err(refused.clone().into());
        }
        let trusted = self.trusted(&name, files).await;
        let (bytes, standing) =
            trusted.map_err(|reason| NotLoaded::at(LoadStep::Verify, reason))?;
        let sidecar = self.sidecar(stem, files).await?;
        let settings = sidecar.settings.clone();
        let manifest = manifest(name.clone(), sidecar);
        let loaded = self.sandbox.load(bytes, manifest).await;
        let loaded = loaded.map_err(|error| NotLoaded::at(error.step(), chain(&error)))?;
        let component = Component::new(
            name,
            loaded.digest,
            settings,
            loaded.handler,
            loaded.bindings,
        )
        .map_err(|clash| NotLoaded::at(LoadStep::Check, clash.to_string()))?;
        let component = Arc::new(component);
        let warning = match &self.outbox {
            Some(outbox) => fit::misfits(&component, outbox.as_ref()).await,
            None => None,
        };
        Ok(Served {
            component,
            standing,
            warning,
        })
    }

    /// The component's bytes, read once and judged by the signature beside them.
    async fn trusted(
        &self,
        name: &ComponentName,
        files: &Files,
    ) -> Result<(Vec<u8>, Standing), String> {
        let larger = "raise [components] max_component_mb if it is meant to be";
        let bytes = read(&files.wasm, self.config.component_bytes_max, larger).await;
        let bytes = bytes.map_err(|unread| chain(&unread))?;
        let signature = match &files.signature {
            Some(path) => {
                let read = read(path, TEXT_BYTES_MAX, "sign the component again").await;
                Some(read.map_err(|unread| chain(&unread))?)
            }
            None => None,
        };
        let (trust, name) = (self.config.trust.clone(), name.clone());
        // A large component's sum takes a while.
        let judge = move || {
            let judged = trust.judge(&name, &bytes, signature.as_deref());
            judged.map(|standing| (bytes, standing))
        };
        let judged = tokio::task::spawn_blocking(judge).await;
        judged
            .map_err(|panic| format!("the signature was not checked: {panic}"))?
            .map_err(|distrust| chain(&distrust))
    }

    async fn sidecar(&self, stem: &str, files: &Files) -> Result<Sidecar, String> {
        let Some(path) = &files.sidecar else {
            return Ok(Sidecar::of_defaults(stem, &self.config));
        };
        let read = read(path, SIDECAR_BYTES_MAX, "is it the right file?").await;
        let text = String::from_utf8(read.map_err(|unread| chain(&unread))?)
            .map_err(|_not_utf8| format!("{} is no text: save it as UTF-8", path.display()))?;
        Sidecar::parse(path, &text, &self.config).map_err(|faults| faults.to_string())
    }

    /// Says once for each component that nobody knows who made it.
    fn warn_of_unsigned(&self, served: &Served) {
        let trust = &self.config.trust;
        let (name, standing) = (&served.component.name, served.standing);
        if trust.unsigned != Unsigned::Warn || matches!(standing, Standing::Signed(_)) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.insert(name.clone()) {
            return;
        }
        let remedy = if trust.keys.is_empty() {
            "make a key with `qx-host keygen` and name it in [components] trusted_keys, or set unsigned = \"allow\" there"
        } else {
            "sign it with `qx-host sign`, or set [components] unsigned = \"allow\""
        };
        tracing::warn!(component = %name, signature = standing.as_str(), remedy, "nobody vouches for the component");
    }

    fn remove(&self, stem: &str) {
        let Some(slot) = self.take(stem) else { return };
        if let Some(Served { component, .. }) = slot.into_serving() {
            self.told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&component.name);
            tracing::info!(component = %component.name, "component is out of service");
            self.mediator.remove(&component.name);
            if let Some(fleet) = &self.fleet {
                fleet.retire(&component.name);
            }
        }
    }

    fn put(&self, stem: &str, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(stem.to_owned(), slot);
    }

    fn take(&self, stem: &str) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(stem)
    }
}

/// What the sandbox is told beside the bytes.
pub(crate) fn manifest(name: ComponentName, sidecar: Sidecar) -> Manifest {
    let routes = sidecar.routes.map(|routes| {
        let route = |route: crate::config::SidecarRoute| ManifestRoute {
            patterns: route.patterns,
            versions: route.versions,
            export: route.export,
        };
        routes.into_iter().map(route).collect()
    });
    Manifest {
        name,
        settings: sidecar.settings,
        routes,
    }
}

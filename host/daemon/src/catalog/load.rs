//! The steps before a build is in service: everything that can be wrong with its
//! files is found here, and nothing in service is touched.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use qx_events::{Component, ComponentName};
use qx_sandbox::{LoadStep, Manifest, ManifestRoute};

use super::Catalog;
use super::fit;
use super::folder::Files;
use super::parts::{Parts, digest_of};
use super::read;
use super::slot::{NotLoaded, Served};
use crate::cli::chain;
use crate::config::Sidecar;
use crate::signing::{Standing, TEXT_BYTES_MAX, Unsigned};

/// Largest file of a component's settings, in bytes: written by hand, so far smaller.
const SIDECAR_BYTES_MAX: u64 = 1 << 20;

impl Catalog {
    /// Reads a component and what lies beside it, once: what is verified is what is
    /// compiled, and what is kept.
    pub(super) async fn read(&self, files: &Files) -> Result<Parts, NotLoaded> {
        if let Some(refused) = &files.refused {
            return Err(refused.clone().into());
        }
        let larger = "raise [components] max_component_mb if it is meant to be";
        let wasm = whole(&files.wasm, self.config.component_bytes_max, larger).await?;
        let sidecar = match &files.sidecar {
            Some(path) => Some(whole(path, SIDECAR_BYTES_MAX, "is it the right file?").await?),
            None => None,
        };
        let signature = match &files.signature {
            Some(path) => Some(whole(path, TEXT_BYTES_MAX, "sign the component again").await?),
            None => None,
        };
        Ok(Parts {
            wasm,
            sidecar,
            signature,
        })
    }

    /// Makes of them what can be put in service.
    pub(super) async fn build(
        &self,
        name: &ComponentName,
        parts: &Parts,
    ) -> Result<Served, NotLoaded> {
        let built = self.built(name, parts).await;
        built.map_err(|fault| fault.of(digest_of(&parts.wasm)))
    }

    async fn built(&self, name: &ComponentName, parts: &Parts) -> Result<Served, NotLoaded> {
        let standing = self.verify(name, parts).await?;
        let sidecar = self.sidecar(name, parts)?;
        let settings = sidecar.settings.clone();
        let outside = self.services.reach.outside(name, &settings.rights);
        let manifest = Manifest {
            outside,
            ..manifest(name.clone(), sidecar)
        };
        let sandbox = &self.services.sandbox;
        let loaded = sandbox.load(parts.wasm.clone(), manifest).await;
        let loaded = loaded.map_err(|error| NotLoaded::at(error.step(), chain(&error)))?;
        let (digest, handler) = (loaded.digest, loaded.handler);
        let component = Component::new(name.clone(), digest, settings, handler, loaded.bindings);
        let clash = |clash: qx_events::Clash| NotLoaded::at(LoadStep::Check, clash.to_string());
        let component = Arc::new(component.map_err(clash)?);
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

    /// Judges a component by the signature beside it.
    async fn verify(&self, name: &ComponentName, parts: &Parts) -> Result<Standing, NotLoaded> {
        let (trust, name, parts) = (self.config.trust.clone(), name.clone(), parts.clone());
        // A large component's sum takes a while.
        let judge = move || trust.judge(&name, &parts.wasm, parts.signature.as_deref());
        let judged = tokio::task::spawn_blocking(judge).await;
        let judged = judged
            .map_err(|panic| format!("the signature was not checked: {panic}"))
            .and_then(|judged| judged.map_err(|distrust| chain(&distrust)));
        judged.map_err(|reason| NotLoaded::at(LoadStep::Verify, reason))
    }

    fn sidecar(&self, name: &ComponentName, parts: &Parts) -> Result<Sidecar, NotLoaded> {
        let Some(bytes) = &parts.sidecar else {
            return Ok(Sidecar::of_defaults(name.as_str(), &self.config));
        };
        let path = self.config.dir.join(format!("{name}.toml"));
        let Ok(text) = std::str::from_utf8(bytes) else {
            let reason = format!("{} is no text: save it as UTF-8", path.display());
            return Err(reason.into());
        };
        let sidecar = Sidecar::parse(&path, text, &self.config);
        sidecar.map_err(|faults| faults.to_string().into())
    }

    /// Says once for each component that nobody knows who made it.
    pub(super) fn warn_of_unsigned(&self, served: &Served) {
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
}

async fn whole(path: &Path, bytes_max: u64, remedy: &'static str) -> Result<Vec<u8>, NotLoaded> {
    let read = read::read(path, bytes_max, remedy).await;
    read.map_err(|unread| chain(&unread).into())
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
        settings: sidecar.settings,
        routes,
        ..Manifest::new(name)
    }
}

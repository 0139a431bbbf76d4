//! Puts builds into service: what the rule decides, done, shown and written down.

use qx_events::ports::Action;
use qx_events::{Component, ComponentName, Digest};
use qx_pipeline::crash;
use qx_sandbox::LoadStep;

use super::announced::Intent;
use super::moves::{Found, Move, Way, decide};
use super::parts::Parts;
use super::slot::{NotLoaded, Served, Slot};
use super::{BY_FOLDER, Catalog};
use crate::cli::chain;

/// Who wants a build in service, and how.
struct Wanted<'a> {
    by: &'a str,
    asked: Option<Action>,
    way: Way,
}

impl<'a> Wanted<'a> {
    fn of(intent: Option<&'a Intent>, component: &Component) -> Self {
        let way = match component.settings.canary.percent {
            0 => Way::AtOnce,
            _ => Way::Tried,
        };
        match intent {
            None => Self {
                by: BY_FOLDER,
                asked: None,
                way,
            },
            Some(intent) => Self {
                by: &intent.by,
                asked: intent.asked,
                way: if intent.way == Way::AtOnce {
                    Way::AtOnce
                } else {
                    way
                },
            },
        }
    }
}

impl Catalog {
    /// Brings a component's place in line with what lies in the folder.
    pub(super) async fn take_in(
        &self,
        stem: &str,
        parts: Result<Parts, NotLoaded>,
        intent: Option<&Intent>,
    ) {
        let name = match ComponentName::parse(stem) {
            Ok(name) => name,
            Err(error) => return self.leave(stem, error.to_string().into()),
        };
        let built = match parts {
            Ok(parts) => {
                let built = self.build(&name, &parts).await;
                built.map(|served| (parts, served))
            }
            Err(fault) => Err(fault),
        };
        match built {
            Ok((parts, served)) => self.place(&name, (&parts, served), intent).await,
            Err(fault) => {
                self.serve_what_was(&name, fault.digest).await;
                self.refuse(&name, fault, intent).await;
            }
        }
    }

    async fn place(
        &self,
        name: &ComponentName,
        (parts, served): (&Parts, Served),
        intent: Option<&Intent>,
    ) {
        let new = served.component.digest;
        let wanted = Wanted::of(intent, &served.component);
        let refusal = self.chronicle.refusal(name, new).await;
        let can_try = self.services.fleet.is_some();
        let way = if can_try { wanted.way } else { Way::AtOnce };
        if refusal.is_some() || way == Way::Tried {
            self.serve_what_was(name, Some(new)).await;
        }
        let found = self.found(name, &served, (way, wanted.asked), refusal.is_some());
        match decide(&found) {
            Move::Stay => {
                if let Some(slot) = self.slots().get_mut(name.as_str()) {
                    slot.mended();
                }
            }
            Move::Serve(action) => {
                self.keep(name, parts.clone(), &[]).await;
                self.put_in_service(served, (action, &found), wanted.by)
                    .await;
            }
            Move::Try => {
                let needed: Vec<Digest> = found.stable.into_iter().collect();
                self.keep(name, parts.clone(), &needed).await;
                self.try_out(served, wanted.by).await;
            }
            Move::EndTrial(action) => self.end_trial(name, served, (action, wanted.by)).await,
            Move::Refuse => {
                let why = refusal.unwrap_or_default();
                let reason = format!(
                    "this build was tried and taken back: {why}; `qx-host handlers load --force` has it tried again"
                );
                let fault = NotLoaded::at(LoadStep::Check, reason.clone()).of(new);
                self.refuse(name, fault, intent).await;
                if let Some(slot) = self.slots().get_mut(name.as_str()) {
                    slot.note(reason);
                }
                self.put_back(name).await;
            }
        }
    }

    /// Puts a build in service, and writes it down.
    async fn put_in_service(&self, served: Served, (action, found): (Action, &Found), by: &str) {
        let (name, new) = (served.component.name.clone(), found.new);
        let last = match found.stable {
            Some(_) => None,
            None => self.chronicle.last_served(&name).await,
        };
        self.serve(served);
        // CRASH WINDOW deploy-2: in service, not yet in the history. After the next
        // start it is written as what was found in the folder.
        crash::point(crash::Window::Deploy2);
        // After a restart the same is in service as before it: nothing happened.
        if last == Some(new) && found.asked.is_none() {
            return;
        }
        let action = match (action, last) {
            (Action::Load, Some(_)) => Action::Swap,
            (action, _) => action,
        };
        self.chronicle
            .record((&name, Some(new)), action, by, "")
            .await;
    }

    fn found(
        &self,
        name: &ComponentName,
        new: &Served,
        (way, asked): (Way, Option<Action>),
        refused: bool,
    ) -> Found {
        let slots = self.slots();
        let slot = slots.get(name.as_str());
        let stable = slot.and_then(Slot::serving);
        let canary = slot.and_then(Slot::canary).map(|(served, _)| served);
        let mut both = stable.into_iter().chain(canary);
        let digest = |served: &Served| served.component.digest;
        Found {
            new: digest(new),
            stable: stable.map(digest),
            canary: canary.map(digest),
            same: both.any(|old| old.is_same(new)),
            refused,
            way,
            asked,
        }
    }

    /// Puts a build in service for all events, in one step.
    pub(super) fn serve(&self, served: Served) {
        let component = &served.component;
        let (name, now) = (component.name.clone(), self.services.clock.now());
        let mut slots = self.slots();
        let before = slots.get(name.as_str()).and_then(Slot::serving);
        let replaced = before.map(|old| old.component.digest.short());
        // From here on nothing new begins on the old build.
        self.services.mediator.install(component);
        if let Some(fleet) = &self.services.fleet {
            fleet.serve(component);
        }
        tracing::info!(
            component = %name,
            digest = component.digest.short(),
            replaced,
            signature = served.standing.as_str(),
            signed_by = served.standing.by().map(tracing::field::display),
            "component is in service"
        );
        if let Some(warning) = &served.warning {
            tracing::warn!(component = %name, warning, "events do not fit the component");
        }
        self.warn_of_unsigned(&served);
        slots.insert(name.to_string(), Slot::of(served, now));
    }

    /// What lies in the folder is not taken; what is in service goes on.
    async fn refuse(&self, name: &ComponentName, fault: NotLoaded, intent: Option<&Intent>) {
        let by = intent.map_or(BY_FOLDER, |intent| &intent.by);
        let reason = format!("{}: {}", fault.step.as_str(), fault.reason);
        let digest = fault.digest;
        self.leave(name.as_str(), fault);
        let build = (name, digest);
        self.chronicle
            .record(build, Action::Refuse, by, &reason)
            .await;
    }

    fn leave(&self, stem: &str, fault: NotLoaded) {
        let mut slots = self.slots();
        let before = slots.remove(stem);
        let still = before.as_ref().and_then(Slot::serving);
        tracing::error!(
            component = stem,
            step = fault.step.as_str(),
            reason = fault.reason,
            still_serving = still.map(|old| old.component.digest.short()),
            "component cannot be loaded"
        );
        let slot = Slot::broken(before, fault, self.services.clock.now());
        slots.insert(stem.to_owned(), slot);
    }

    /// After a start, with another build in the folder than was in service before:
    /// the one before, if it is kept, so that a restart changes nothing by itself.
    async fn serve_what_was(&self, name: &ComponentName, new: Option<Digest>) {
        if self.slots().contains_key(name.as_str()) {
            return;
        }
        let Some(last) = self.chronicle.last_served(name).await else {
            return;
        };
        if Some(last) == new {
            return;
        }
        let built = match self.kept(name, last).await {
            Ok(parts) => self.build(name, &parts).await.map_err(|fault| fault.reason),
            Err(reason) => Err(reason),
        };
        match built {
            Ok(served) => self.serve(served),
            Err(reason) => {
                tracing::warn!(component = %name, digest = last.short(), reason, "the build that was in service before is not to be had");
            }
        }
    }

    /// Keeps a build for those who want to go back to it.
    async fn keep(&self, name: &ComponentName, parts: Parts, needed: &[Digest]) {
        let (builds, own, needed) = (self.builds.clone(), name.clone(), needed.to_vec());
        let keep = move || builds.keep(&own, &parts, &needed);
        match tokio::task::spawn_blocking(keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = chain(&error);
                tracing::warn!(component = %name, error, "the build is not kept: one cannot go back to it");
            }
            Err(panic) => tracing::warn!(component = %name, %panic, "the build is not kept"),
        }
    }

    /// A build that is kept.
    pub(super) async fn kept(&self, name: &ComponentName, digest: Digest) -> Result<Parts, String> {
        let (builds, own) = (self.builds.clone(), name.clone());
        let read = tokio::task::spawn_blocking(move || builds.read(&own, digest));
        let read = read.await.map_err(|panic| panic.to_string())?;
        read.map_err(|error| chain(&error))
    }

    /// Puts the build in service back into the folder, in the place of one that was
    /// taken back: a restart serves the same.
    pub(super) async fn put_back(&self, name: &ComponentName) {
        let digest = {
            let slots = self.slots();
            let serving = slots.get(name.as_str()).and_then(Slot::serving);
            serving.map(|served| served.component.digest)
        };
        let Some(digest) = digest else { return };
        let put = match self.kept(name, digest).await {
            Ok(parts) => {
                let (dir, own) = (self.config.dir.clone(), name.clone());
                let put = tokio::task::spawn_blocking(move || parts.put(&dir, &own));
                let put = put.await.map_err(|panic| panic.to_string());
                put.and_then(|put| put.map_err(|error| error.to_string()))
            }
            Err(reason) => Err(reason),
        };
        let digest = digest.short();
        match put {
            Ok(()) => {
                tracing::info!(component = %name, digest, "the build in service is back in the folder");
            }
            Err(reason) => {
                tracing::error!(component = %name, digest, reason, "the build in service cannot be put back into the folder: put it there, or the next start has to find it");
            }
        }
    }
}

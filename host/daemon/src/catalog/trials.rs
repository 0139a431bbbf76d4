//! New builds that are tried: begun, judged, and brought to their end.
//!
//! The rule is a value of `qx-events`, the calls are counted where they end. What a
//! trial has decided outlives the process: a build that was taken back is refused
//! by every host of the database, until a person has it loaded all the same.

use std::sync::Arc;

use qx_events::ComponentName;
use qx_events::canary::Judgement;
use qx_events::ports::Action;
use qx_pipeline::{Trial, crash};

use super::slot::{Served, Slot};
use super::{BY_CANARY, Catalog};

impl Catalog {
    /// Tries a build beside the one in service.
    pub(super) async fn try_out(&self, canary: Served, by: &str) {
        let component = Arc::clone(&canary.component);
        let (name, digest) = (component.name.clone(), component.digest);
        let Some(trial) = self.services.mediator.try_out(&component) else {
            return; // Nothing is in service that it could be tried beside.
        };
        let percent = component.settings.canary.percent;
        tracing::info!(component = %name, digest = digest.short(), percent, "a new build is tried");
        self.swap_slot(&name, |stable, now| {
            Slot::trying(stable, canary, trial, now)
        });
        let build = (&name, Some(digest));
        self.chronicle
            .record(
                build,
                Action::CanaryStart,
                by,
                &format!("{percent} % of its events"),
            )
            .await;
    }

    /// Brings those to their end that are judged. With a scan: also those that another
    /// host has judged.
    pub(super) async fn look_at_trials(&self, is_scan: bool) {
        let trials: Vec<(Served, Arc<Trial>)> = {
            let slots = self.slots();
            let trials = slots.values().filter_map(Slot::canary);
            trials
                .map(|(canary, trial)| (canary.clone(), Arc::clone(trial)))
                .collect()
        };
        for (canary, trial) in trials {
            let (name, digest) = (&canary.component.name, canary.component.digest);
            match trial.judge() {
                Judgement::Promote => self.promote(canary).await,
                Judgement::RollBack(grounds) => {
                    self.take_back(name, (BY_CANARY, &grounds.to_string()))
                        .await;
                }
                Judgement::Continue if is_scan => {
                    if let Some(reason) = self.chronicle.refusal(name, digest).await {
                        self.take_back(name, (BY_CANARY, &reason)).await;
                    }
                }
                Judgement::Continue => {}
            }
        }
    }

    async fn promote(&self, canary: Served) {
        let component = Arc::clone(&canary.component);
        let (name, digest) = (&component.name, component.digest);
        tracing::info!(component = %name, digest = digest.short(), "the new build has proved itself");
        self.serve(canary);
        let build = (name, Some(digest));
        self.chronicle
            .record(build, Action::CanaryPromote, BY_CANARY, "")
            .await;
    }

    /// Takes a canary back, and puts the build in service back into the folder.
    async fn take_back(&self, name: &ComponentName, (by, reason): (&str, &str)) {
        self.withdraw(name, (Action::CanaryRollback, by), reason)
            .await;
        // CRASH WINDOW deploy-3: taken back, and refused by every host; its file lies in
        // the folder yet. The next start refuses it, serves the build before it from those
        // that are kept, and puts that back.
        crash::point(crash::Window::Deploy3);
        self.put_back(name).await;
    }

    /// The folder has the build in service again: its canary gets no more events.
    pub(super) async fn end_trial(
        &self,
        name: &ComponentName,
        stable: Served,
        (action, by): (Action, &str),
    ) {
        let reason = format!("{by} put the build in service back into the folder");
        self.withdraw(name, (action, by), &reason).await;
        let same = {
            let slots = self.slots();
            let serving = slots.get(name.as_str()).and_then(Slot::serving);
            serving.is_some_and(|old| old.is_same(&stable))
        };
        if !same {
            self.serve(stable);
        }
    }

    async fn withdraw(&self, name: &ComponentName, (action, by): (Action, &str), reason: &str) {
        let canary = {
            let slots = self.slots();
            let canary = slots.get(name.as_str()).and_then(Slot::canary);
            canary.map(|(canary, _)| Arc::clone(&canary.component))
        };
        let Some(canary) = canary else { return };
        // It has gone already, if its own calls have judged it.
        self.services.mediator.withdraw(&canary);
        let digest = canary.digest.short();
        tracing::warn!(component = %name, digest, reason, "the new build is taken back");
        let note = format!("build {digest} was tried and taken back: {reason}");
        self.swap_slot(name, |stable, now| Slot::of(stable, now).noting(note));
        let build = (name, Some(canary.digest));
        self.chronicle.record(build, action, by, reason).await;
    }

    /// Another state of a component's place, around the build in service.
    fn swap_slot(
        &self,
        name: &ComponentName,
        make: impl FnOnce(Served, chrono::DateTime<chrono::Utc>) -> Slot,
    ) {
        let mut slots = self.slots();
        let serving = slots.get(name.as_str()).and_then(Slot::serving).cloned();
        if let Some(stable) = serving {
            let slot = make(stable, self.services.clock.now());
            slots.insert(name.to_string(), slot);
        }
    }
}

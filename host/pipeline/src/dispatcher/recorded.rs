//! What is written down of an attempt, beside its effects: that it begins, where
//! it may bring the host down, and that it ended without success.

use std::sync::Arc;
use std::time::Duration;

use qx_events::attempts::WAIT_MAX;
use qx_events::breaker::{Change, Passage};
use qx_events::canary::Judgement;
use qx_events::ports::Note;
use qx_events::{ComponentName, Fault, Outcome};
use uuid::Uuid;

use super::attempt::reason_of;
use super::{Dispatcher, Task};
use crate::consumer::Place;
use crate::gates::PausedBy;
use crate::mediator::Stay;
use crate::witness::Sight;

impl Dispatcher {
    /// Says that a call begins, if that is to be said and was not yet.
    pub(super) async fn begin(&self, task: &Task, begun: &mut bool) -> Result<(), Fault> {
        let Some(calls) = task.start.begun().filter(|_| !*begun) else {
            return Ok(());
        };
        let note = note(task, task.attempt.saturating_sub(1), calls, Duration::ZERO);
        let noted = self.services.settler.note(note).await;
        noted.map_err(|fault| Fault::transient("record that a call begins", fault.chain()))?;
        *begun = true;
        Ok(())
    }

    /// Takes it back: the host stops, and has not died of it. Once only; if it is
    /// not taken, the call counts as one of those that did not end.
    pub(super) async fn withdraw(&self, task: &Task) {
        let Some(calls) = task.start.begun() else {
            return;
        };
        let (attempts, begun) = (task.attempt.saturating_sub(1), calls.saturating_sub(1));
        let note = note(task, attempts, begun, Duration::ZERO);
        if let Err(fault) = self.services.settler.note(note).await {
            tracing::debug!(error = fault.chain(), "a stopped call counts as not ended");
        }
    }

    /// Says that so many attempts have ended, and when the next may begin. Waits for
    /// the database for as long as it takes; `false`: the host is stopping.
    pub(crate) async fn ended(&self, task: &Task, attempts: u32, wait: Duration) -> bool {
        let write = || async {
            let note = note(task, attempts, 0, wait);
            let noted = self.services.settler.note(note).await;
            noted.map_err(|fault| Fault::transient("record an attempt", fault.chain()))
        };
        let written = self.insist(&task.component.name, write).await;
        written.is_some()
    }
}

impl Dispatcher {
    /// Says that the retry of a dead letter is over: no call of it is open.
    pub(crate) async fn note_dead(
        &self,
        component: &ComponentName,
        event_id: Uuid,
    ) -> Result<(), Fault> {
        let note = Note {
            component: component.clone(),
            event_id,
            attempts: 0,
            begun: 0,
            wait: Duration::ZERO,
            fence: None,
        };
        let noted = self.services.settler.note(note).await;
        noted.map_err(|fault| Fault::transient("record an attempt", fault.chain()))
    }
}

impl Dispatcher {
    /// Tells the trial of a new build, if there is one, how a first call ended. One that
    /// is found too bad gets no event from here on.
    fn tally(&self, stay: &Stay, outcome: &Outcome) {
        let Some((trial, judgement)) = stay.ended(outcome) else {
            return;
        };
        let mediator = &self.services.mediator;
        if let Judgement::RollBack(_) = judgement {
            mediator.withdraw(trial.canary());
        }
        mediator.note_judged();
    }

    /// Whether a message may be called that has a place among the component's calls. It
    /// may have waited for it while the component was paused. Whoever has no such place
    /// was asked to.
    pub(crate) fn lets_in(&self, component: &ComponentName, place: Option<&Arc<Place>>) -> bool {
        let Some(place) = place else {
            return true;
        };
        match self.gates.passage(component, self.mediator()) {
            Passage::All => true,
            Passage::Probe => place.is_probe(),
            Passage::None { .. } => false,
        }
    }

    /// Tells the component's breaker how a call ended. Returns the shortest pause of
    /// its message: the event of a probe that failed is not the next probe, so that
    /// one bad event does not keep a component shut that works.
    pub(super) fn watch(&self, task: &Task, stay: Option<&Stay>, outcome: &Outcome) -> Duration {
        if let Some(stay) = stay.filter(|_| task.attempt == 1) {
            self.tally(stay, outcome);
        }
        if stay.is_some_and(Stay::is_trial) {
            return Duration::ZERO; // It has a judge of its own.
        }
        let component = &task.component.name;
        let in_words = || reason_of(outcome);
        let Some((change, reason)) = self.gates.ended(&task.component, outcome, in_words) else {
            return Duration::ZERO;
        };
        let by = PausedBy::Breaker;
        self.services.witness.saw(&match change {
            Change::Opened { .. } | Change::Reopened { .. } => Sight::Paused {
                component,
                by,
                reason: &reason,
            },
            Change::Closed => Sight::Unpaused { component, by },
        });
        match change {
            Change::Opened { .. } | Change::Reopened { .. } => task.component.handler.rest(),
            Change::Closed => {}
        }
        match change {
            Change::Reopened { pause } => pause.saturating_mul(2).min(WAIT_MAX),
            Change::Opened { .. } | Change::Closed => Duration::ZERO,
        }
    }
}

fn note(task: &Task, attempts: u32, begun: u32, wait: Duration) -> Note {
    Note {
        component: task.component.name.clone(),
        event_id: task.envelope.event_id,
        attempts,
        begun,
        wait,
        fence: task.fence.clone(),
    }
}

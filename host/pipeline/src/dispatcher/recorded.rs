//! What is written down of an attempt, beside its effects: that it begins, where
//! it may bring the host down, and that it ended without success.

use std::time::Duration;

use qx_events::ports::Note;
use qx_events::{ComponentName, Fault};
use uuid::Uuid;

use super::{Dispatcher, Task};

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
        };
        let noted = self.services.settler.note(note).await;
        noted.map_err(|fault| Fault::transient("record an attempt", fault.chain()))
    }
}

fn note(task: &Task, attempts: u32, begun: u32, wait: Duration) -> Note {
    Note {
        component: task.component.name.clone(),
        event_id: task.envelope.event_id,
        attempts,
        begun,
        wait,
    }
}

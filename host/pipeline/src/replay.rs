//! Calls a component again with its dead letters, when an operator asks for it.
//!
//! A retry goes to the one component that failed, through the same attempt as any
//! delivery: the letter is removed in the commit of its effects. It is one
//! attempt; if that fails the letter stays, with the new reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use qx_events::ports::DeadLetters;
use qx_events::{
    ComponentName, DeadLetter, DeadReason, DeadReasonKind, Digest, Envelope, Fault, Known,
    LetterFilter, Record, Resolution, Start,
};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::crash;
use crate::dispatcher::{Conclusion, Dispatcher, Kept, Task};
use crate::grace::within_grace;
use crate::witness::Sight;

/// How often requests are looked for: a person waits for the answer.
const POLL: Duration = Duration::from_millis(500);
/// Letters taken at once. A crash leaves no more than these to be taken again.
const TAKE_MAX: u32 = 32;

/// The loop that serves `dlq retry`.
pub struct Replay {
    dead_letters: Arc<dyn DeadLetters>,
    dispatcher: Arc<Dispatcher>,
}

impl Replay {
    /// A loop over these letters.
    pub fn new(dead_letters: Arc<dyn DeadLetters>, dispatcher: Arc<Dispatcher>) -> Self {
        Self {
            dead_letters,
            dispatcher,
        }
    }

    /// Serves requests until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let Some(passed) = within_grace(&stop, self.pass(&stop)).await else {
                return;
            };
            let pause = match passed {
                Ok(taken) => {
                    backoff.reset();
                    if taken == 0 { POLL } else { Duration::ZERO }
                }
                Err(fault) => {
                    tracing::debug!(error = fault.chain(), "dead letters cannot be read for now");
                    backoff.pause()
                }
            };
            tokio::select! {
                biased; // Stop wins over the next pass.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes some requests and serves them, those of one component in their order
    /// and those of several side by side; returns how many.
    async fn pass(&self, stop: &CancellationToken) -> Result<usize, Fault> {
        let letters = self.dead_letters.take_requested(TAKE_MAX).await?;
        if !letters.is_empty() {
            crash::point(crash::Window::Retry1);
        }
        let mut queues: BTreeMap<&ComponentName, Vec<&DeadLetter>> = BTreeMap::new();
        for letter in &letters {
            queues.entry(&letter.component).or_default().push(letter);
        }
        let queues = queues.into_values().map(async |queue| {
            for letter in queue {
                // What is left stays taken, and is handed out again after a while.
                if stop.is_cancelled() {
                    return;
                }
                self.serve(letter).await;
            }
        });
        join_all(queues).await;
        Ok(letters.len())
    }

    async fn serve(&self, letter: &DeadLetter) {
        let Some(known) = self.known(letter).await else {
            return; // Stopping: the request is handed out again after a while.
        };
        let start = match known {
            Some(Known::Handled) => return self.drop_letter(letter).await,
            Some(Known::Attempted(Record { begun, .. })) if begun > 0 => {
                return self.killed(letter).await;
            }
            Some(Known::Attempted(_)) | None if letter.reason.kind == DeadReasonKind::CrashLoop => {
                Start::Alone { begun: 1 }
            }
            Some(Known::Attempted(_)) | None => Start::Recorded { begun: 1 },
        };
        let (task, conclusion) = loop {
            let task = match self.task(letter, start) {
                Ok(task) => task,
                Err(reason) => return self.failed(letter, None, &reason).await,
            };
            match self.dispatcher.attempt(&task).await {
                Ok(Conclusion::Elsewhere) | Err(_) => {} // Its build is gone: the next one.
                Ok(conclusion) => break (task, conclusion),
            }
        };
        let component = &task.component.name;
        let digest = Some(task.component.digest);
        match conclusion {
            // Handled before, by a delivery that overtook the letter.
            Conclusion::Duplicate => self.drop_letter(letter).await,
            Conclusion::Dead(reason) => {
                self.dispatcher.services().witness.saw(&Sight::Buried {
                    component,
                    event_name: &letter.event_name,
                    attempts: letter.attempts.saturating_add(1),
                    reason: &reason,
                });
                self.failed(letter, digest, &reason).await;
            }
            Conclusion::Redeliver { .. } => {
                let text = "overtaken by other commits again and again; retry it later".to_owned();
                let reason = DeadReason {
                    kind: DeadReasonKind::Exhausted,
                    text,
                };
                self.failed(letter, digest, &reason).await;
            }
            // Done: removed in the commit. Stopped: the request stays taken, and is handed
            // out again after a while.
            Conclusion::Done { .. }
            | Conclusion::Elsewhere
            | Conclusion::Fenced
            | Conclusion::Stopped => {}
        }
    }

    /// What the ledger knows of the letter's event. `None`: the host is stopping.
    async fn known(&self, letter: &DeadLetter) -> Option<Option<Known>> {
        let Some(event_id) = letter.event_id else {
            return Some(None);
        };
        let ledger = &self.dispatcher.services().ledger;
        let ids = [event_id];
        let ask = || ledger.known(&letter.component, &ids);
        let known = self.dispatcher.insist(&letter.component, ask).await?;
        Some(known.get(&event_id).copied())
    }

    /// The host died in an earlier call for this request: it is not made again.
    async fn killed(&self, letter: &DeadLetter) {
        let reason = DeadReason {
            kind: DeadReasonKind::CrashLoop,
            text: "the host died while it retried this event".to_owned(),
        };
        self.failed(letter, None, &reason).await;
    }

    async fn drop_letter(&self, letter: &DeadLetter) {
        let only = LetterFilter::only(letter.id);
        let ask = || self.dead_letters.drop_letters(&only);
        self.insist(letter, ask).await;
    }

    /// Notes that the retry has ended, then why it failed: a host that dies between
    /// the two tries it once more.
    async fn failed(&self, letter: &DeadLetter, digest: Option<Digest>, reason: &DeadReason) {
        if let Some(event_id) = letter.event_id {
            let ended = || self.dispatcher.note_dead(&letter.component, event_id);
            self.insist(letter, ended).await;
        }
        let ask = || self.dead_letters.retry_failed(letter.id, digest, reason);
        self.insist(letter, ask).await;
    }

    /// Waits for the database for as long as it takes, but not for a report that
    /// it refuses: the letter is still there, and the request is handed out again.
    async fn insist<T, F>(&self, letter: &DeadLetter, mut ask: impl FnMut() -> F)
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let ask = || {
            let asked = ask();
            async {
                match asked.await {
                    Err(fault) if !fault.is_transient() => Ok(Some(fault)),
                    answer => answer.map(|_| None),
                }
            }
        };
        if let Some(Some(fault)) = self.dispatcher.insist(&letter.component, ask).await {
            tracing::warn!(
                letter = %letter.id,
                error = fault.chain(),
                "the end of a retry could not be written down"
            );
        }
    }

    /// What the letter asks for now, or why it cannot be served.
    fn task(&self, letter: &DeadLetter, start: Start) -> Result<Task, DeadReason> {
        let envelope =
            Envelope::of_message(&letter.body, &letter.headers).map_err(|error| DeadReason {
                kind: DeadReasonKind::Malformed,
                text: error.to_string(),
            })?;
        let unserved = |text: String| DeadReason {
            kind: letter.reason.kind,
            text,
        };
        let name = &letter.component;
        let component = self.dispatcher.mediator().component(name).ok_or_else(|| {
            let unserved_now = format!("component {name} is not in service; last reason: ");
            let last = &letter.reason.text;
            let last = last.strip_prefix(&unserved_now).unwrap_or(last);
            unserved(format!("{unserved_now}{last}"))
        })?;
        match component.export_for(&envelope.event_name, envelope.event_version) {
            Resolution::Bound(export) => Ok(Task {
                export,
                envelope: Arc::new(envelope),
                // The last one: a failure is a dead letter again, not a redelivery.
                attempt: letter
                    .attempts
                    .saturating_add(1)
                    .max(component.settings.retry.attempts_max),
                start,
                kept: Kept::default(),
                replayed: Some(letter.id),
                fence: None,
                place: None,
                component,
            }),
            Resolution::UnknownVersion | Resolution::NotSubscribed => Err(DeadReason {
                kind: DeadReasonKind::UnknownVersion,
                text: format!(
                    "component {name} does not take version {} of {}",
                    envelope.event_version, envelope.event_name
                ),
            }),
        }
    }
}

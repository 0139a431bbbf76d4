//! One attempt: call, verdict, commit.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Fence, Invocation, Settlement, SqlTransaction};
use qx_events::{
    Component, DeadReason, DeadReasonKind, Effects, Envelope, ExportIndex, Outcome, Start, Verdict,
    decide,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::commit::Committed;
use super::quarantine::Kept;
use super::statements::CallSql;
use super::{BoundState, Conclusion, Context, Dispatcher};
use crate::backoff::Backoff;
use crate::consumer::Place;
use crate::crash;
use crate::mediator::Stay;
use crate::trace;
use crate::witness::{Attempt, Sight};

/// How often a call may run again because its reads were overtaken, before its
/// message is given back: enough for a key that every event changes.
const CONFLICT_RERUNS_MAX: u32 = 32;

/// One event for one export of one build.
pub(crate) struct Task {
    /// The build. Held for as long as the attempt lasts.
    pub(crate) component: Arc<Component>,
    /// Its export.
    pub(crate) export: ExportIndex,
    /// The event.
    pub(crate) envelope: Arc<Envelope>,
    /// From 1.
    pub(crate) attempt: u32,
    /// How its call begins.
    pub(crate) start: Start,
    /// The room it has to itself, if it runs alone.
    pub(crate) kept: Kept,
    /// The dead letter that goes with the commit, if it is there.
    pub(crate) replayed: Option<Uuid>,
    /// The lease that must still be held when it commits.
    pub(crate) fence: Option<Fence>,
    /// Its place among the component's calls, if it has to wait for one.
    pub(crate) place: Option<Arc<Place>>,
}

impl Task {
    /// Whether there is something to commit: a mark at least, unless the operator
    /// asked for none where nothing changed. With it goes what the ledger was told of
    /// earlier calls.
    fn needs_commit(&self, effects: &Effects) -> bool {
        let marks = self.component.settings.inbox.marks(effects);
        let is_known = self.start != Start::Unrecorded || self.replayed.is_some();
        marks || is_known || self.fence.is_some()
    }

    /// What is to be committed.
    pub(super) fn settlement(&self, effects: Effects) -> Settlement {
        Settlement {
            component: self.component.name.clone(),
            digest: self.component.digest,
            event_id: self.envelope.event_id,
            tenant_id: self.envelope.tenant_id,
            effects,
            bounds: self.component.settings.limits.state,
            replayed: self.replayed,
            fence: self.fence.clone(),
            recorded: self.start.begun().is_some(),
        }
    }
}

/// Another build came into service, or this one went out of it, or the component
/// was paused, before the handler was called: ask again.
#[derive(Debug)]
pub(crate) struct Superseded;

/// What a call came to.
enum Called {
    /// With the transaction of its SQL, if it ran any and is done.
    Outcome(Outcome, Option<Box<dyn SqlTransaction>>),
    Superseded,
    /// Its build was replaced, and the call has not ended in time.
    Cut,
    Stopping,
}

impl Dispatcher {
    /// Calls the handler and commits what it did.
    ///
    /// What the host lacks (the database, say) is waited for and uses up no
    /// attempt; a call whose reads were overtaken by another commit runs again, on
    /// the build it began on.
    pub(crate) async fn attempt(&self, task: &Task) -> Result<Conclusion, Superseded> {
        let envelope = &task.envelope;
        let span = tracing::info_span!(
            target: trace::TARGET,
            "process",
            otel.name = format_args!("process {}", envelope.event_name),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = %envelope.event_name,
            messaging.consumer.group.name = %task.component.name,
            messaging.message.id = %envelope.event_id,
            messaging.message.conversation_id = envelope.correlation_id.map(tracing::field::display),
            qx.attempt = task.attempt,
            qx.component.digest = %task.component.digest,
            qx.outcome = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        let context = self
            .services()
            .propagation
            .enter(&span, envelope.trace.as_ref());
        let concluded = {
            let attempt = pin!(self.attempt_within(task, context));
            attempt.instrument(span).await
        };
        if matches!(concluded, Ok(Conclusion::Stopped)) {
            self.withdraw(task).await;
        }
        concluded
    }

    async fn attempt_within(
        &self,
        task: &Task,
        context: Context,
    ) -> Result<Conclusion, Superseded> {
        let name = &task.component.name;
        let mut turn = self.turns.first(name).await;
        let mut stay = None;
        for rerun in 0..=CONFLICT_RERUNS_MAX {
            if rerun > 0 {
                task.kept.leave(); // Who waits for a turn must not keep the others out.
                turn = self.turns.again(name, rerun, turn).await;
            }
            let begun = Instant::now();
            let called = match self.call(task, &context, &mut stay).await {
                Called::Outcome(outcome, sql) => (outcome, sql),
                Called::Superseded => return Err(Superseded),
                Called::Cut => return Ok(self.cut(task, begun)),
                Called::Stopping => return Ok(Conclusion::Stopped),
            };
            let build = stay.as_ref();
            if let Some(conclusion) = self.conclude(task, called, (begun, build)).await {
                return Ok(conclusion);
            }
        }
        let after = task.component.settings.retry.pause(1, fastrand::f64());
        self.saw(&Sight::Redelivered {
            attempt: attempt_of(task, Instant::now()),
            after,
            outcome: "conflict",
            reason: "overtaken by other commits again and again",
        });
        let attempts = task.attempt.saturating_sub(1);
        Ok(Conclusion::Redeliver { after, attempts })
    }

    /// What an outcome comes to. `None`: its reads were overtaken, nothing is
    /// committed, and it is to be called again.
    async fn conclude(
        &self,
        task: &Task,
        (outcome, sql): (Outcome, Option<Box<dyn SqlTransaction>>),
        (begun, stay): (Instant, Option<&Stay>),
    ) -> Option<Conclusion> {
        let at_least = self.watch(task, stay, &outcome);
        let is_trial = stay.is_some_and(Stay::is_trial);
        let word = outcome.as_str();
        let span = tracing::Span::current();
        span.record("qx.outcome", word);
        let policy = &task.component.settings.retry;
        let verdict = decide(&outcome, task.attempt, policy, fastrand::f64());
        Some(match (verdict, outcome) {
            (Verdict::Settle, Outcome::Done(effects)) => {
                return match self.settle(task, (effects, sql), begun).await {
                    // Of a build that is tried nothing is condemned.
                    Some(Conclusion::Dead(_)) if is_trial => Some(Conclusion::Elsewhere),
                    conclusion => conclusion,
                };
            }
            (Verdict::Settle, other) => unreachable_settle(&other),
            (Verdict::Redeliver { .. } | Verdict::DeadLetter(_), outcome) if is_trial => {
                span.record("error.type", word);
                self.saw(&Sight::Redelivered {
                    attempt: attempt_of(task, begun),
                    after: Duration::ZERO,
                    outcome: word,
                    reason: &reason_of(&outcome),
                });
                Conclusion::Elsewhere
            }
            (Verdict::Redeliver { after }, outcome) => {
                let after = after.max(at_least);
                span.record("error.type", word);
                self.saw(&Sight::Redelivered {
                    attempt: attempt_of(task, begun),
                    after,
                    outcome: word,
                    reason: &reason_of(&outcome),
                });
                let attempts = match &outcome {
                    Outcome::HostFault(_) => task.attempt.saturating_sub(1),
                    Outcome::Done(_)
                    | Outcome::Retry { .. }
                    | Outcome::Rejected { .. }
                    | Outcome::Failed { .. } => task.attempt,
                };
                Conclusion::Redeliver { after, attempts }
            }
            (Verdict::DeadLetter(reason), _) => {
                span.record("error.type", word);
                Conclusion::Dead(reason)
            }
        })
    }

    async fn settle(
        &self,
        task: &Task,
        (effects, sql): (Effects, Option<Box<dyn SqlTransaction>>),
        begun: Instant,
    ) -> Option<Conclusion> {
        let emitted = effects.emitted.len();
        let committed = match sql {
            Some(sql) => self.commit_with(task, effects, sql).await,
            None if task.needs_commit(&effects) => self.commit(task, effects).await,
            None => Committed::Done,
        };
        match committed {
            Committed::Done => {
                let attempt = attempt_of(task, begun);
                self.saw(&Sight::Done { attempt, emitted });
                Some(Conclusion::Done { emitted })
            }
            Committed::Duplicate => {
                self.saw(&Sight::Duplicate {
                    component: &task.component.name,
                    envelope: &task.envelope,
                });
                Some(Conclusion::Duplicate)
            }
            Committed::Overtaken => None,
            Committed::Refused(reason) => Some(Conclusion::Dead(reason)),
            Committed::Fenced => Some(Conclusion::Fenced),
            Committed::Stopped => Some(Conclusion::Stopped),
        }
    }

    /// What ran on a replaced build for too long: nothing of it counts.
    fn cut(&self, task: &Task, begun: Instant) -> Conclusion {
        self.saw(&Sight::Redelivered {
            attempt: attempt_of(task, begun),
            after: Duration::ZERO,
            outcome: "cut",
            reason: "its build was replaced, and the call did not end in time (components.drain_ms)",
        });
        Conclusion::Elsewhere
    }

    /// Calls, and calls again while it is the host that cannot serve the call.
    /// What has not begun yet does not begin on a build that is out of service; what
    /// runs again, as `stay` tells, goes on where it was.
    async fn call(&self, task: &Task, context: &Context, stay: &mut Option<Stay>) -> Called {
        let services = self.services();
        let component = &task.component.name;
        let mut backoff = Backoff::default();
        let is_first = stay.is_none();
        let mut begun = !is_first;
        loop {
            let sql = Arc::new(CallSql::of(&task.component, services.sql.as_ref()));
            let invocation = self.invocation(task, context, Arc::clone(&sql));
            let outcome = {
                let _call = match &task.place {
                    Some(place) => place.call().await,
                    None => None,
                };
                let sharers = services.mediator.components();
                let room = self.calls.enter(&task.component, task.start, sharers).await;
                let may_begin = services.mediator.serves(&task.component)
                    && self.lets_in(component, task.place.as_ref());
                if is_first && !may_begin {
                    return Called::Superseded;
                }
                let mut took = Duration::ZERO;
                let outcome = match self.begin(task, &mut begun).await {
                    Ok(()) => {
                        if is_first {
                            *stay = services.mediator.enter(&task.component);
                        }
                        let Some(stay) = stay else {
                            // Replaced while that was written down.
                            self.withdraw(task).await;
                            return Called::Superseded;
                        };
                        crash::point(crash::Window::ConsumerTaken);
                        crash::handling(&task.envelope);
                        let called = Instant::now();
                        let outcome = tokio::select! {
                            biased; // What has ended is not cut off.
                            outcome = task.component.handler.call(task.export, invocation) => outcome,
                            () = stay.overdue() => return Called::Cut,
                        };
                        took = called.elapsed();
                        outcome
                    }
                    Err(fault) => Outcome::HostFault(fault),
                };
                if !matches!(outcome, Outcome::HostFault(_)) {
                    task.kept.keep(task.start, room);
                    if let Some(place) = &task.place {
                        place.called(took);
                    }
                }
                outcome
            };
            crash::point(crash::Window::ConsumerCalled);
            let (outcome, transaction) = sql.end(outcome).await;
            let Outcome::HostFault(fault) = &outcome else {
                if backoff.is_failing() {
                    self.saw(&Sight::Resumed { component });
                }
                return Called::Outcome(outcome, transaction);
            };
            if !self.hold(component, fault, &mut backoff).await {
                return Called::Stopping;
            }
        }
    }

    fn invocation(&self, task: &Task, context: &Context, sql: Arc<CallSql>) -> Invocation {
        Invocation {
            envelope: Arc::clone(&task.envelope),
            attempt: task.attempt,
            sql,
            trace: context.clone(),
            state: Arc::new(BoundState {
                reads: Arc::clone(&self.reads),
                component: task.component.name.clone(),
                tenant_id: task.envelope.tenant_id,
            }),
        }
    }

    pub(super) fn saw(&self, sight: &Sight<'_>) {
        self.services().witness.saw(sight);
    }
}

/// What a witness is told of a call that began then.
fn attempt_of(task: &Task, begun: Instant) -> Attempt<'_> {
    Attempt {
        component: &task.component.name,
        digest: task.component.digest,
        envelope: &task.envelope,
        number: task.attempt,
        took: begun.elapsed(),
    }
}

/// `decide` gives `Settle` to `Done` alone; should that ever change, the message
/// is kept as a dead letter rather than lost.
fn unreachable_settle(outcome: &Outcome) -> Conclusion {
    Conclusion::Dead(DeadReason {
        kind: DeadReasonKind::Unsettleable,
        text: format!("outcome {} cannot be settled", outcome.as_str()),
    })
}

pub(super) fn reason_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => String::new(),
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason } => reason.clone(),
        Outcome::Failed { breach, detail } => format!("{breach}: {detail}"),
        Outcome::HostFault(fault) => fault.chain(),
    }
}

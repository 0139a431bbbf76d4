//! One attempt: call, verdict, commit.

use std::sync::Arc;
use std::time::Instant;

use qx_events::ports::{Invocation, Settled, Settlement};
use qx_events::{
    Component, DeadReason, DeadReasonKind, Effects, Envelope, ExportIndex, Outcome, Verdict, decide,
};
use tracing::Instrument;
use uuid::Uuid;

use super::{BoundState, Conclusion, Context, Dispatcher};
use crate::backoff::Backoff;
use crate::trace;
use crate::witness::{Attempt, Sight};

/// How often a call may run again because its reads were overtaken, before its
/// message is given back: enough for a key that every event changes.
const CONFLICT_RERUNS_MAX: u32 = 32;

/// One event for one export of one build.
pub struct Task {
    /// The build. Held for as long as the attempt lasts.
    pub component: Arc<Component>,
    /// Its export.
    pub export: ExportIndex,
    /// The event.
    pub envelope: Arc<Envelope>,
    /// From 1.
    pub attempt: u32,
    /// The dead letter that is retried.
    pub replayed: Option<Uuid>,
}

/// What a commit came to.
enum Committed {
    Done,
    Duplicate,
    Overtaken,
    Refused(DeadReason),
    Stopped,
}

impl Dispatcher {
    /// Calls the handler and commits what it did.
    ///
    /// What the host lacks (the database, say) is waited for and uses up no
    /// attempt; a call whose reads were overtaken by another commit runs again.
    pub async fn attempt(&self, task: &Task) -> Conclusion {
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
        self.attempt_within(task, context).instrument(span).await
    }

    async fn attempt_within(&self, task: &Task, context: Context) -> Conclusion {
        let mut turn = None;
        for _ in 0..CONFLICT_RERUNS_MAX {
            let begun = Instant::now();
            let Some(outcome) = self.call(task, &context).await else {
                return Conclusion::Stopped;
            };
            let word = outcome.as_str();
            let span = tracing::Span::current();
            span.record("qx.outcome", word);
            let policy = &task.component.settings.retry;
            let verdict = decide(&outcome, task.attempt, policy, fastrand::f64());
            let attempt = Attempt {
                component: &task.component.name,
                digest: task.component.digest,
                envelope: &task.envelope,
                number: task.attempt,
                took: begun.elapsed(),
            };
            match (verdict, outcome) {
                (Verdict::Settle, Outcome::Done(effects)) => {
                    let emitted = effects.emitted.len();
                    match self.commit(task, effects).await {
                        Committed::Done => {
                            let took = begun.elapsed();
                            self.saw(&Sight::Done {
                                attempt: Attempt { took, ..attempt },
                                emitted,
                            });
                            return Conclusion::Done { emitted };
                        }
                        Committed::Duplicate => {
                            let (component, envelope) = (attempt.component, attempt.envelope);
                            self.saw(&Sight::Duplicate {
                                component,
                                envelope,
                            });
                            return Conclusion::Duplicate;
                        }
                        Committed::Overtaken => {}
                        Committed::Refused(reason) => return Conclusion::Dead(reason),
                        Committed::Stopped => return Conclusion::Stopped,
                    }
                }
                (Verdict::Settle, other) => return unreachable_settle(&other),
                (Verdict::Redeliver { after }, outcome) => {
                    span.record("error.type", word);
                    let reason = &reason_of(&outcome);
                    self.saw(&Sight::Redelivered {
                        attempt,
                        after,
                        outcome: word,
                        reason,
                    });
                    return Conclusion::Redeliver { after };
                }
                (Verdict::DeadLetter(reason), _) => {
                    span.record("error.type", word);
                    return Conclusion::Dead(reason);
                }
            }
            if turn.is_none() {
                turn = self.turns.take(&task.component.name).await;
            }
        }
        let pause = task.component.settings.retry.pause(1, fastrand::f64());
        Conclusion::Redeliver { after: pause }
    }

    /// Calls, and calls again while it is the host that cannot serve the call.
    /// `None`: the host is stopping.
    async fn call(&self, task: &Task, context: &Context) -> Option<Outcome> {
        let services = self.services();
        let component = &task.component.name;
        let mut backoff = Backoff::default();
        loop {
            let invocation = Invocation {
                envelope: Arc::clone(&task.envelope),
                attempt: task.attempt,
                trace: context.clone(),
                state: Arc::new(BoundState {
                    ledger: Arc::clone(&services.ledger),
                    component: component.clone(),
                    tenant_id: task.envelope.tenant_id,
                }),
            };
            let outcome = {
                let _permit = self.calls.acquire().await.ok()?;
                task.component.handler.call(task.export, invocation).await
            };
            let Outcome::HostFault(fault) = &outcome else {
                if backoff.is_failing() {
                    self.saw(&Sight::Resumed { component });
                }
                return Some(outcome);
            };
            if !self.hold(component, fault, &mut backoff).await {
                return None;
            }
        }
    }

    /// Commits, waiting for the database for as long as it takes.
    async fn commit(&self, task: &Task, effects: Effects) -> Committed {
        let services = self.services();
        let emits = !effects.emitted.is_empty();
        let settlement = Settlement {
            component: task.component.name.clone(),
            digest: task.component.digest,
            event_id: task.envelope.event_id,
            tenant_id: task.envelope.tenant_id,
            effects,
            replayed: task.replayed,
        };
        let mut backoff = Backoff::default();
        let mut unknown = false;
        loop {
            match services.settler.settle(settlement.clone()).await {
                Ok(Settled::Committed) => {
                    if emits {
                        services.nudge.notify_one();
                    }
                    return Committed::Done;
                }
                // An earlier try whose answer was lost has committed after all.
                Ok(Settled::Duplicate) if unknown => return Committed::Done,
                Ok(Settled::Duplicate) => return Committed::Duplicate,
                Ok(Settled::Conflict) => return Committed::Overtaken,
                Err(fault) if fault.is_transient() => {
                    unknown = true;
                    if !self.hold(&task.component.name, &fault, &mut backoff).await {
                        return Committed::Stopped;
                    }
                }
                Err(fault) => {
                    return Committed::Refused(DeadReason {
                        kind: DeadReasonKind::Unsettleable,
                        text: fault.chain(),
                    });
                }
            }
        }
    }

    fn saw(&self, sight: &Sight<'_>) {
        self.services().witness.saw(sight);
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

fn reason_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => String::new(),
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason } => reason.clone(),
        Outcome::Failed { breach, detail } => format!("{breach}: {detail}"),
        Outcome::HostFault(fault) => fault.chain(),
    }
}

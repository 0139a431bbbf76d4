//! One delivery, from the message to its acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::Delivery;
use qx_events::{
    Component, DeadLetter, DeadReason, DeadReasonKind, Envelope, EventName, Malformed, Resolution,
    Routes,
};
use uuid::Uuid;

use super::{Consumer, Taken};
use crate::crash;
use crate::dispatcher::{Burial, Conclusion, Task, letter_of};
use crate::heartbeat::with_heartbeat;
use crate::witness::Sight;

/// Deliveries without any outcome, on top of the attempts, after which a message
/// is taken to bring the host down. The count is the broker's: it also grows when
/// the host is killed for other reasons, so not too few.
const CRASHES_MAX: u32 = 10;

/// Pause before a message comes again whose component is not in service.
const UNSERVED_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a message comes again whose dead letter the database refuses: it
/// must not be lost, and must not hold a permit that the others could use.
const UNBURIED_PAUSE: Duration = Duration::from_mins(1);

/// What is told to the stream in the end.
enum Reply {
    Ack,
    Nak(Duration),
    Term(&'static str),
    /// Nothing: the acknowledgement wait brings it back.
    Silence,
}

/// What a message asks for, decided without an effect.
enum Plan {
    Run(Task),
    /// Not for this component: somebody else takes it, or nobody subscribed.
    Pass,
    /// The component went out of service meanwhile.
    Unserved,
    Park(DeadReason),
}

impl Consumer {
    /// Brings one delivery to its end. `known`: the inbox has it.
    pub(super) async fn deliver(&self, taken: Taken, known: bool) {
        let Taken {
            delivery,
            envelope,
            permit,
        } = taken;
        let receipt = &*delivery.receipt;
        let work = self.work(&delivery, envelope, known);
        let reply = with_heartbeat(&[receipt], self.heartbeat(), work).await;
        let sent = match reply {
            Reply::Ack => receipt.ack().await,
            Reply::Nak(after) => receipt.nak(after).await,
            Reply::Term(reason) => receipt.term(reason).await,
            Reply::Silence => Ok(()),
        };
        if let Err(fault) = sent {
            // It comes again, and the inbox or the dead letter knows it.
            tracing::debug!(error = fault.chain(), "settling was not taken");
        }
        drop(permit);
    }

    async fn work(
        &self,
        delivery: &Delivery,
        envelope: Result<Arc<Envelope>, Malformed>,
        known: bool,
    ) -> Reply {
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(malformed) => return self.park_malformed(delivery, &malformed).await,
        };
        if known {
            let (component, envelope) = (self.name(), &*envelope);
            self.saw(&Sight::Duplicate {
                component,
                envelope,
            });
            return Reply::Ack;
        }
        loop {
            let routes = self.dispatcher.mediator().routes();
            let component = routes.get(self.name());
            match plan(&routes, component, &envelope, delivery.delivered) {
                Plan::Run(task) => {
                    if let Ok(conclusion) = self.dispatcher.attempt(&task).await {
                        return self.reply(delivery, &task, conclusion).await;
                    }
                    // Replaced before it began: see what its successor says.
                }
                Plan::Pass => return Reply::Ack,
                Plan::Unserved => return Reply::Nak(UNSERVED_PAUSE),
                Plan::Park(reason) => {
                    let letter = self.letter(delivery, Some(&envelope), reason);
                    return self.bury(letter).await;
                }
            }
        }
    }

    async fn reply(&self, delivery: &Delivery, task: &Task, conclusion: Conclusion) -> Reply {
        match conclusion {
            Conclusion::Done { .. } | Conclusion::Duplicate => {
                // CRASH WINDOW consumer-1: committed, not yet acknowledged. The message
                // comes again, and the inbox mark says that it is done.
                crash::point(crash::Window::Consumer1);
                Reply::Ack
            }
            Conclusion::Redeliver { after } => Reply::Nak(after),
            Conclusion::Dead(reason) => {
                let message = (delivery.subject.as_str(), &delivery.headers, &delivery.body);
                let letter = letter_of(task, reason, message, self.dispatcher.services());
                self.bury(letter).await
            }
            Conclusion::Fenced | Conclusion::Stopped => Reply::Silence,
        }
    }

    async fn park_malformed(&self, delivery: &Delivery, malformed: &Malformed) -> Reply {
        let reason = DeadReason {
            kind: DeadReasonKind::Malformed,
            text: malformed.to_string(),
        };
        let letter = self.letter(delivery, None, reason);
        self.bury(letter).await
    }

    async fn bury(&self, letter: DeadLetter) -> Reply {
        match self.dispatcher.bury(&letter, None).await {
            Burial::Written => {}
            Burial::Refused => return Reply::Nak(UNBURIED_PAUSE),
            Burial::Fenced | Burial::Stopped => return Reply::Silence,
        }
        // CRASH WINDOW consumer-2: dead letter written, message not yet terminated. It
        // comes again, fails again, and brings the same letter up to date.
        crash::point(crash::Window::Consumer2);
        Reply::Term(letter.reason.kind.as_str())
    }

    /// The event name in a subject: the longest end of it that the component takes.
    /// The prefix before it is the stream's affair.
    fn name_in(&self, subject: &str) -> Option<String> {
        let patterns = &self.config.subscription.patterns;
        let ends = subject
            .match_indices('.')
            .filter_map(|(dot, _)| subject.get(dot + 1..));
        ends.filter_map(|end| EventName::parse(end).ok())
            .find(|name| patterns.iter().any(|pattern| pattern.matches(name)))
            .map(|name| name.to_string())
    }

    /// A dead letter of a message whose handler was not called this time.
    fn letter(
        &self,
        delivery: &Delivery,
        envelope: Option<&Envelope>,
        reason: DeadReason,
    ) -> DeadLetter {
        let event_id = envelope.map(|envelope| envelope.event_id);
        let header = |name| delivery.headers.get(name).map(ToOwned::to_owned);
        let name_on_message = || {
            header(qx_events::wire::EVENT_NAME)
                .or_else(|| self.name_in(&delivery.subject))
                .unwrap_or_else(|| delivery.subject.clone())
        };
        DeadLetter {
            id: DeadLetter::id_for(self.name(), event_id, delivery.stream_seq),
            component: self.name().clone(),
            digest: None,
            event_name: envelope.map_or_else(name_on_message, |e| e.event_name.to_string()),
            event_version: envelope.map_or(1, |e| e.event_version),
            event_id,
            correlation_id: envelope.and_then(|e| e.correlation_id),
            tenant_id: envelope.and_then(|e| e.tenant_id),
            subject: delivery.subject.clone(),
            headers: delivery.headers.clone(),
            body: delivery.body.clone(),
            attempts: match reason.kind {
                // Each of these deliveries began a call, none of them ended it.
                DeadReasonKind::CrashLoop => delivery.delivered.saturating_sub(1),
                DeadReasonKind::Rejected
                | DeadReasonKind::Exhausted
                | DeadReasonKind::UnknownVersion
                | DeadReasonKind::Malformed
                | DeadReasonKind::Unsettleable => 0,
            },
            reason,
            failed_at: self.dispatcher.services().clock.now(),
        }
    }
}

/// What to do with a message that can be read.
fn plan(
    routes: &Routes,
    component: Option<&Arc<Component>>,
    envelope: &Arc<Envelope>,
    delivered: u32,
) -> Plan {
    let Some(component) = component else {
        return Plan::Unserved;
    };
    let (name, version) = (&envelope.event_name, envelope.event_version);
    let attempts_max = component.settings.retry.attempts_max;
    match component.export_for(name, version) {
        Resolution::NotSubscribed => Plan::Pass,
        Resolution::UnknownVersion if routes.takers(name, version).next().is_some() => Plan::Pass,
        Resolution::UnknownVersion => Plan::Park(DeadReason {
            kind: DeadReasonKind::UnknownVersion,
            text: format!(
                "no component in service takes version {version} of {name}; \
                 deploy one that does, then retry this dead letter"
            ),
        }),
        Resolution::Bound(_) if delivered > attempts_max.saturating_add(CRASHES_MAX) => {
            Plan::Park(DeadReason {
                kind: DeadReasonKind::CrashLoop,
                text: format!("delivered {delivered} times without an outcome"),
            })
        }
        Resolution::Bound(export) => Plan::Run(Task {
            component: Arc::clone(component),
            export,
            envelope: Arc::clone(envelope),
            attempt: delivered.max(1),
            replayed: letter_before(component, envelope, delivered),
            fence: None,
        }),
    }
}

/// The letter that an earlier delivery of this message may have written before
/// its termination was lost: an event is handled or dead, not both.
fn letter_before(component: &Component, envelope: &Envelope, delivered: u32) -> Option<Uuid> {
    (delivered > 1).then(|| DeadLetter::id_for(&component.name, Some(envelope.event_id), 0))
}

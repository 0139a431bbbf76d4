//! One delivery, from the message to its acknowledgement.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use qx_events::attempts::{ALONE_FROM, admit};
use qx_events::ports::{Delivery, Fence, Receipt};
use qx_events::{
    Admission, Care, Component, DeadLetter, DeadReason, DeadReasonKind, Envelope, EventName,
    ExportIndex, Known, Malformed, Record, Resolution, Routes, Tried,
};
use uuid::Uuid;

use super::{Consumer, PAUSED_PAUSE, Place, Taken};
use crate::crash;
use crate::dispatcher::{Burial, Conclusion, Kept, Task, letter_of};
use crate::heartbeat::with_heartbeat;
use crate::witness::Sight;

/// Pause before a message comes again whose component is not in service.
const UNSERVED_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a message comes again whose dead letter the database refuses: it
/// must not be lost, and must not hold a permit that the others could use.
const UNBURIED_PAUSE: Duration = Duration::from_mins(1);

/// What is told to the stream in the end.
pub(super) enum Reply {
    Ack,
    Nak(Duration),
    Term(&'static str),
    /// Nothing: the acknowledgement wait brings it back.
    Silence,
    /// Nothing: another host has taken over.
    Fenced,
}

impl Reply {
    /// Tells the stream. If it is not taken, the message comes again, and the inbox or
    /// the dead letter knows it.
    pub(super) async fn send(self, receipt: &dyn Receipt) {
        let sent = match self {
            Self::Ack => receipt.ack().await,
            Self::Nak(after) => receipt.nak(after).await,
            Self::Term(reason) => receipt.term(reason).await,
            Self::Silence | Self::Fenced => Ok(()),
        };
        if let Err(fault) = sent {
            tracing::debug!(error = fault.chain(), "settling was not taken");
        }
    }
}

/// What a message asks for, decided without an effect.
enum Plan {
    Run(Task),
    /// Not for this component: somebody else takes it, or nobody subscribed.
    Pass,
    /// The component went out of service meanwhile.
    Unserved,
    /// It came before its time.
    Early(Duration),
    /// Its dead letter is written.
    Dead,
    Park {
        reason: DeadReason,
        /// Calls that were made of it, whether they ended or not.
        calls: u32,
    },
}

/// What a delivery is worked on with.
pub(super) struct Given<'a> {
    /// What the ledger knows of it.
    pub(super) known: Option<Known>,
    /// How often it was delivered.
    pub(super) delivered: u32,
    /// Whether somebody may have died of it a moment ago.
    pub(super) care: Care,
    /// What must still be held when something is written.
    pub(super) fence: Option<&'a Fence>,
    /// Its place among those that are called. `None`: whoever asks sees to that.
    pub(super) place: Option<&'a Arc<Place>>,
}

/// What is known of a delivery when its plan is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// The broker's count.
    pub(super) delivered: u32,
    /// The ledger's record.
    pub(super) record: Option<Record>,
    /// Whether this process has just begun.
    pub(super) care: Care,
}

impl Arrival {
    /// Whether a build was called with it before, as far as anybody knows.
    const fn tried(&self) -> Tried {
        match self.record {
            Some(_) => Tried::Before,
            None => Tried::Never,
        }
    }
}

impl Consumer {
    /// Brings one delivery to its end. `known`: what the ledger knows of it.
    pub(super) async fn deliver(&self, taken: Taken, known: Option<Known>) {
        let Taken {
            delivery,
            envelope,
            place,
        } = taken;
        let receipt = &*delivery.receipt;
        let given = Given {
            known,
            delivered: delivery.delivered,
            care: self.care(),
            fence: None,
            place: Some(&place),
        };
        let reply = {
            // Large: it is made where it stays.
            let work = pin!(self.work(&delivery, envelope, given));
            with_heartbeat(&[receipt], self.heartbeat(), work).await
        };
        reply.send(receipt).await;
        drop(place);
    }

    /// What becomes of a delivery.
    pub(super) async fn work(
        &self,
        delivery: &Delivery,
        envelope: Result<Arc<Envelope>, Malformed>,
        given: Given<'_>,
    ) -> Reply {
        let Given {
            known,
            delivered,
            care,
            fence,
            place,
        } = given;
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(malformed) => return self.park_malformed(delivery, &malformed, fence).await,
        };
        let record = match known {
            Some(Known::Handled) => {
                let (component, envelope) = (self.name(), &*envelope);
                self.saw(&Sight::Duplicate {
                    component,
                    envelope,
                });
                return Reply::Ack;
            }
            Some(Known::Attempted(record)) => Some(record),
            None => None,
        };
        let arrival = Arrival {
            delivered,
            record,
            care,
        };
        loop {
            if !self.dispatcher.lets_in(self.name(), place) {
                return Reply::Nak(PAUSED_PAUSE); // Paused while it waited for its call.
            }
            let routes = self.dispatcher.mediator().routes();
            let event = (&*envelope, &delivery.headers);
            let component = routes.build_for(self.name(), event, arrival.tried());
            match plan(&routes, component, &envelope, arrival) {
                Plan::Run(mut task) => {
                    task.fence = fence.cloned();
                    task.place = place.cloned();
                    if let Ok(conclusion) = self.dispatcher.attempt(&task).await {
                        return self.reply(delivery, &task, conclusion).await;
                    }
                    // Replaced, or paused, before it began: look again.
                }
                Plan::Pass => return Reply::Ack,
                Plan::Unserved => return Reply::Nak(UNSERVED_PAUSE),
                Plan::Early(left) => return Reply::Nak(left),
                Plan::Dead => return Reply::Term("dead letter"),
                Plan::Park { reason, calls } => {
                    let letter = self.letter(delivery, Some(&envelope), reason, calls);
                    return self.bury(letter, fence).await;
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
            Conclusion::Redeliver { after, attempts } => {
                if !self.dispatcher.ended(task, attempts, after).await {
                    return Reply::Silence;
                }
                // CRASH WINDOW attempt-1: the attempt is noted, the message not yet given
                // back. It comes again after the acknowledgement wait, and if that is
                // sooner than it may be called, it waits for the rest.
                crash::point(crash::Window::Attempt1);
                Reply::Nak(after)
            }
            Conclusion::Elsewhere => {
                // With a record of no attempt: then it goes to no build that is tried.
                let attempts = task.attempt.saturating_sub(1);
                if !self.dispatcher.ended(task, attempts, Duration::ZERO).await {
                    return Reply::Silence;
                }
                Reply::Nak(Duration::ZERO)
            }
            Conclusion::Dead(reason) => {
                let message = (delivery.subject.as_str(), &delivery.headers, &delivery.body);
                let letter = letter_of(task, reason, message, self.dispatcher.services());
                let reply = self.bury(letter, task.fence.as_ref()).await;
                if let Reply::Nak(after) = reply {
                    // The call has ended, and is made again as the same attempt.
                    let attempts = task.attempt.saturating_sub(1);
                    self.dispatcher.ended(task, attempts, after).await;
                }
                reply
            }
            Conclusion::Fenced => Reply::Fenced,
            Conclusion::Stopped => Reply::Silence,
        }
    }

    async fn park_malformed(
        &self,
        delivery: &Delivery,
        malformed: &Malformed,
        fence: Option<&Fence>,
    ) -> Reply {
        let reason = DeadReason {
            kind: DeadReasonKind::Malformed,
            text: malformed.to_string(),
        };
        let letter = self.letter(delivery, None, reason, 0);
        self.bury(letter, fence).await
    }

    async fn bury(&self, letter: DeadLetter, fence: Option<&Fence>) -> Reply {
        match self.dispatcher.bury(&letter, fence).await {
            Burial::Written => {}
            Burial::Refused => return Reply::Nak(UNBURIED_PAUSE),
            Burial::Fenced => return Reply::Fenced,
            Burial::Stopped => return Reply::Silence,
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
        calls: u32,
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
            edited: None,
            attempts: calls,
            reason,
            failed_at: self.dispatcher.services().clock.now(),
            retry_requested_at: None,
        }
    }
}

/// What to do with a message that can be read.
fn plan(
    routes: &Routes,
    component: Option<&Arc<Component>>,
    envelope: &Arc<Envelope>,
    arrival: Arrival,
) -> Plan {
    let Some(component) = component else {
        return Plan::Unserved;
    };
    let (name, version) = (&envelope.event_name, envelope.event_version);
    match component.export_for(name, version) {
        Resolution::NotSubscribed => Plan::Pass,
        Resolution::UnknownVersion if routes.takers(name, version).next().is_some() => Plan::Pass,
        Resolution::UnknownVersion => Plan::Park {
            reason: DeadReason {
                kind: DeadReasonKind::UnknownVersion,
                text: format!(
                    "no component in service takes version {version} of {name}; \
                     deploy one that does, then retry this dead letter"
                ),
            },
            calls: 0,
        },
        Resolution::Bound(export) => call(component, export, envelope, arrival),
    }
}

/// The same for a message whose handler is in service.
fn call(
    component: &Arc<Component>,
    export: ExportIndex,
    envelope: &Arc<Envelope>,
    arrival: Arrival,
) -> Plan {
    let Arrival {
        delivered,
        record,
        care,
    } = arrival;
    match admit(record.as_ref(), delivered, care) {
        Admission::Wait(left) => Plan::Early(left),
        Admission::Dead => Plan::Dead,
        Admission::Convict { deaths } => Plan::Park {
            reason: DeadReason {
                kind: DeadReasonKind::CrashLoop,
                text: format!(
                    "the host died {deaths} times in a row while this event was being handled, \
                     the last {} times with no other beside it",
                    deaths.saturating_sub(ALONE_FROM)
                ),
            },
            calls: record.map_or(0, |record| record.attempts.saturating_add(deaths)),
        },
        Admission::Call { attempt, start } => Plan::Run(Task {
            component: Arc::clone(component),
            export,
            envelope: Arc::clone(envelope),
            attempt,
            start,
            kept: Kept::default(),
            replayed: letter_before(component, envelope, delivered),
            fence: None,
            place: None,
        }),
    }
}

/// The letter that another delivery of this message may have written meanwhile: an
/// event is handled or dead, not both.
fn letter_before(component: &Component, envelope: &Envelope, delivered: u32) -> Option<Uuid> {
    (delivered > 1).then(|| DeadLetter::id_for(&component.name, Some(envelope.event_id), 0))
}

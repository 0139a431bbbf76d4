//! Calls a handler with one event and settles what it did: the one place where
//! outcome, verdict, commit and dead letter meet. The consumer, the replay of
//! dead letters and the in-process way all go through here.

mod attempt;
mod commit;
mod places;
mod quarantine;
mod recorded;
mod statements;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Clock, DeadLetters, Fence, HeldLease, Leases, Ledger, Pause, Sql, StateAt};
use qx_events::{
    Component, ComponentName, DeadLetter, DeadReason, Envelope, ExportIndex, Fault, Known, Order,
    Resolution, Start, TraceContext,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::consumer::LEASE_PREFIX;
use crate::gates::{Gates, PausedBy};
use crate::mediator::Mediator;
use crate::reads::Reads;
use crate::settler::Settler;
use crate::trace::Propagation;
use crate::witness::{Sight, Witness};
use attempt::Superseded;
pub(crate) use attempt::Task;
pub(crate) use quarantine::Kept;
use quarantine::Quarantine;
use turns::Turns;

/// What a dispatcher works with.
pub struct Services {
    /// The routes in service.
    pub mediator: Arc<Mediator>,
    /// Reads inbox and state.
    pub ledger: Arc<dyn Ledger>,
    /// Commits.
    pub settler: Settler,
    /// Where components run SQL that commits with the rest; `None`: nowhere.
    pub sql: Option<Arc<dyn Sql>>,
    /// Who consumes alone what only one may.
    pub leases: Arc<dyn Leases>,
    /// Keeps what failed.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Is told of every decision.
    pub witness: Arc<dyn Witness>,
    /// Ties spans to contexts.
    pub propagation: Arc<dyn Propagation>,
    /// Wakes the relay when events were emitted.
    pub nudge: Arc<Notify>,
    /// Places for handler calls that run at once in this process.
    pub calls_max: usize,
    /// Memory that belongs to a place, in bytes: a call of a component that may use
    /// more takes several.
    pub place_bytes: usize,
    /// The host is stopping: do not wait for what is missing.
    pub stop: CancellationToken,
}

/// Calls handlers and settles.
pub struct Dispatcher {
    services: Services,
    calls: Quarantine,
    gates: Gates,
    turns: Turns,
    reads: Arc<Reads>,
}

/// How one attempt ended.
#[derive(Debug)]
#[must_use]
pub enum Conclusion {
    /// The effects are committed.
    Done {
        /// Events that left with them.
        emitted: usize,
    },
    /// The event was handled before.
    Duplicate,
    /// It is to be attempted again after the pause.
    Redeliver {
        /// The pause.
        after: Duration,
        /// Attempts that are used up, this one included if it counts.
        attempts: u32,
    },
    /// It is given up. No dead letter is written yet.
    Dead(DeadReason),
    /// It was begun on a build that is not to end it: one that was replaced too long
    /// ago, or one that is tried. Nothing of it counts, as if it had not been: it is
    /// to be given to the build in service, at once.
    Elsewhere,
    /// Another host has taken over what this one was doing: nothing is committed, and
    /// nothing may be told to the stream.
    Fenced,
    /// The host is stopping and something that was needed is not there.
    Stopped,
}

/// What became of a dead letter.
pub(crate) enum Burial {
    /// It is kept.
    Written,
    /// The database will never take it as it is. The message must stay.
    Refused,
    /// Another host has taken over: it is not written.
    Fenced,
    /// The host is stopping, and it is not written.
    Stopped,
}

/// What one component did with an event that was dispatched in process.
#[derive(Debug)]
pub struct Dispatched {
    /// Which component.
    pub component: ComponentName,
    /// What it did.
    pub conclusion: Conclusion,
}

impl Dispatcher {
    /// A dispatcher over these services.
    pub fn new(services: Services) -> Self {
        Self {
            calls: Quarantine::new(services.calls_max, services.place_bytes),
            gates: Gates::default(),
            turns: Turns::default(),
            reads: Arc::new(Reads::new(Arc::clone(&services.ledger))),
            services,
        }
    }

    /// The routes in service.
    pub fn mediator(&self) -> &Mediator {
        &self.services.mediator
    }

    /// Which components may be given messages.
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// What operators have paused, as it is now.
    pub fn set_pauses(&self, pauses: Vec<Pause>) {
        let by = PausedBy::Operator;
        let (new, gone) = self.gates.set_pauses(pauses);
        for pause in &new {
            if let Some(component) = self.services.mediator.component(&pause.component) {
                component.handler.rest();
            }
            let shut = self.gates.shut(&pause.component);
            self.services.witness.saw(&Sight::Paused {
                component: &pause.component,
                by,
                reason: shut.as_ref().map_or("", |shut| &shut.reason),
            });
        }
        for component in &gone {
            self.services
                .witness
                .saw(&Sight::Unpaused { component, by });
        }
    }

    /// Looks who consumes components in order. What this host does not keep in order
    /// gets no messages here while another host does: two of whom one looks at no key
    /// keep no order.
    pub async fn look_who_is_in_charge(&self) -> Result<(), Fault> {
        let held = self.services.leases.held().await?;
        let of = |lease: HeldLease| {
            let name = lease.name.strip_prefix(LEASE_PREFIX)?;
            Some((ComponentName::parse(name).ok()?, lease.holder))
        };
        let holders = held.into_iter().filter_map(of).collect();
        let as_it_comes = |name: &ComponentName| {
            let build = self.services.mediator.component(name);
            build.is_some_and(|build| build.settings.order == Order::None)
        };
        let by = PausedBy::Order;
        let (new, gone) = self.gates.set_in_charge(holders, as_it_comes);
        for component in &new {
            let shut = self.gates.shut(component);
            let reason = shut.as_ref().map_or("", |shut| &shut.reason);
            self.services.witness.saw(&Sight::Paused {
                component,
                by,
                reason,
            });
        }
        for component in &gone {
            self.services
                .witness
                .saw(&Sight::Unpaused { component, by });
        }
        Ok(())
    }

    /// Gives a component messages again whose breaker is open, because a person says
    /// so; `false`: it was not open.
    pub fn close_breaker(&self, component: &ComponentName) -> bool {
        let closed = self.gates.close(component);
        if closed {
            let by = PausedBy::Breaker;
            self.services
                .witness
                .saw(&Sight::Unpaused { component, by });
        }
        closed
    }

    /// What it works with.
    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    /// Gives an event to every component that takes it, in this process and
    /// without a broker, and returns what each did. Effects are committed as for
    /// any delivery, and an event that a component has handled is a duplicate.
    ///
    /// Nothing is retried here and no dead letter is written: the caller has the
    /// conclusions.
    pub async fn dispatch(&self, envelope: Envelope) -> Result<Vec<Dispatched>, Fault> {
        let envelope = Arc::new(envelope);
        let (name, version) = (&envelope.event_name, envelope.event_version);
        let routes = self.services.mediator.routes();
        let mut all = Vec::new();
        for (component, export) in routes.takers(name, version) {
            let ids = [envelope.event_id];
            let known = self.services.ledger.known(&component.name, &ids).await?;
            let known = known.get(&envelope.event_id);
            let conclusion = if known.is_none_or(|known| *known != Known::Handled) {
                self.dispatch_to(Arc::clone(component), export, &envelope)
                    .await
            } else {
                self.services.witness.saw(&Sight::Duplicate {
                    component: &component.name,
                    envelope: &envelope,
                });
                Some(Conclusion::Duplicate)
            };
            all.extend(conclusion.map(|conclusion| Dispatched {
                component: component.name.clone(),
                conclusion,
            }));
        }
        Ok(all)
    }

    /// One of them. `None`: it went out of service before its call began.
    async fn dispatch_to(
        &self,
        mut component: Arc<Component>,
        mut export: ExportIndex,
        envelope: &Arc<Envelope>,
    ) -> Option<Conclusion> {
        loop {
            let task = Task {
                component,
                export,
                envelope: Arc::clone(envelope),
                attempt: 1,
                start: Start::Unrecorded,
                kept: Kept::default(),
                replayed: None,
                fence: None,
                place: None,
            };
            match self.attempt(&task).await {
                Ok(Conclusion::Elsewhere) | Err(Superseded) => {}
                Ok(conclusion) => return Some(conclusion),
            }
            component = self.services.mediator.component(&task.component.name)?;
            match component.export_for(&envelope.event_name, envelope.event_version) {
                Resolution::Bound(bound) => export = bound,
                Resolution::UnknownVersion | Resolution::NotSubscribed => return None,
            }
        }
    }

    /// Writes a dead letter, waiting for the database for as long as it takes; while
    /// the lease is held, if there must be one.
    pub(crate) async fn bury(&self, letter: &DeadLetter, fence: Option<&Fence>) -> Burial {
        let component = &letter.component;
        let letters = &self.services.dead_letters;
        let write = || async {
            let written = match fence {
                Some(fence) => letters.bury_fenced(letter, fence).await,
                None => letters.bury(letter).await.map(|()| true),
            };
            match written {
                Err(fault) if !fault.is_transient() => Ok(Err(fault)),
                answer => answer.map(Ok),
            }
        };
        match self.insist(component, write).await {
            Some(Ok(false)) => Burial::Fenced,
            Some(Ok(true)) => {
                self.services.witness.saw(&Sight::Buried {
                    component,
                    event_name: &letter.event_name,
                    attempts: letter.attempts,
                    reason: &letter.reason,
                });
                Burial::Written
            }
            Some(Err(fault)) => {
                let fault = &fault;
                self.services.witness.saw(&Sight::Held { component, fault });
                Burial::Refused
            }
            None => Burial::Stopped,
        }
    }

    /// Repeats something until it works, with pauses; `None` when the host stops
    /// first. For what may not fail: the messages wait, and use up no attempt.
    pub(crate) async fn insist<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        component: &ComponentName,
        mut ask: impl FnMut() -> F,
    ) -> Option<T> {
        let mut backoff = Backoff::default();
        loop {
            match ask().await {
                Ok(answer) => {
                    if backoff.is_failing() {
                        self.services.witness.saw(&Sight::Resumed { component });
                    }
                    return Some(answer);
                }
                Err(fault) => {
                    if !self.hold(component, &fault, &mut backoff).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Says what is missing, and waits a while. `false`: the host is stopping.
    async fn hold(&self, component: &ComponentName, fault: &Fault, backoff: &mut Backoff) -> bool {
        self.services.witness.saw(&Sight::Held { component, fault });
        tokio::select! {
            biased; // Stop wins over one more try.
            () = self.services.stop.cancelled() => false,
            () = tokio::time::sleep(backoff.pause()) => true,
        }
    }
}

/// A dead letter for a message whose envelope could be read.
pub(crate) fn letter_of(
    task: &Task,
    reason: DeadReason,
    message: (&str, &qx_events::wire::Headers, &bytes::Bytes),
    services: &Services,
) -> DeadLetter {
    let (subject, headers, body) = message;
    let envelope = &task.envelope;
    DeadLetter {
        id: DeadLetter::id_for(&task.component.name, Some(envelope.event_id), 0),
        component: task.component.name.clone(),
        digest: Some(task.component.digest),
        event_name: envelope.event_name.to_string(),
        event_version: envelope.event_version,
        event_id: Some(envelope.event_id),
        correlation_id: envelope.correlation_id,
        tenant_id: envelope.tenant_id,
        subject: subject.to_owned(),
        headers: headers.clone(),
        body: body.clone(),
        edited: None,
        attempts: task.attempt,
        reason,
        failed_at: services.clock.now(),
        retry_requested_at: None,
    }
}

/// The state of one component and one tenant, for one call.
pub(crate) struct BoundState {
    pub(crate) reads: Arc<Reads>,
    pub(crate) component: ComponentName,
    pub(crate) tenant_id: Option<Uuid>,
}

#[async_trait::async_trait]
impl qx_events::ports::StateReader for BoundState {
    async fn read(&self, key: &str) -> Result<Option<qx_events::ports::StateValue>, Fault> {
        let at = StateAt {
            component: self.component.clone(),
            tenant_id: self.tenant_id,
            key: key.to_owned(),
        };
        self.reads.read(at).await
    }
}

/// The context of a delivery, for the guest and for what it emits.
pub(crate) type Context = Option<TraceContext>;

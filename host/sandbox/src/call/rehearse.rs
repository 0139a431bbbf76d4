//! Makes one instance of a component and throws it away, before anything of it is
//! in service: what does not come up is a reason not to load it, and no dead letter.
//!
//! On the budget of a call. No handler is called; what the guest writes or emits
//! while it comes up is dropped, it finds no state, and it reaches no server and no
//! database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{Invocation, NoStatements, StateReader, StateValue};
use qx_events::{Envelope, EventName, Fault, Outcome};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::call::context::Purpose;
use crate::call::cpu::CpuMeter;
use crate::call::instance::{End, Instance};
use crate::call::log::GuestLog;
use crate::call::outcome::{Ended, outcome};
use crate::call::{Build, ComponentHandler, cut_off, unpanicked};
use crate::error::LoadError;
use crate::log_sink::{CallId, Counted};
use crate::slots::Slot;

/// Shortest wall time that an instance gets to come up, whatever a call gets: the
/// machine may be busy with compiling it. Its processor time is the guard.
const WAIT_MIN: Duration = Duration::from_secs(2);

/// Name of the event in the log while no event is there.
const NO_EVENT: &str = "qx.rehearsal";

/// State that nobody has written yet.
struct Nothing;

#[async_trait]
impl StateReader for Nothing {
    async fn read(&self, _: &str) -> Result<Option<StateValue>, Fault> {
        Ok(None)
    }
}

impl ComponentHandler {
    /// Instantiates once.
    pub(crate) async fn rehearse(&self) -> Result<(), LoadError> {
        let Some(invocation) = no_event() else {
            return Ok(());
        };
        let build = &self.build;
        let slot = build.slots.slot().await;
        let limits = &build.shared.settings.limits;
        let call = CallId {
            component: build.shared.name.clone(),
            event_id: Uuid::nil(),
            attempt: 0,
        };
        let log = Arc::new(build.log(call));
        let cpu = Arc::new(CpuMeter::default());
        let work = {
            let (build, own) = (Arc::clone(build), (Arc::clone(&log), Arc::clone(&cpu)));
            let meter = Arc::clone(&cpu);
            async move {
                let come_up = build.come_up(invocation, own, slot);
                unpanicked(meter.measured(come_up)).await
            }
        };
        let come_up = self
            .threads
            .run(Box::pin(work), build.owner, (&self.pace, &cpu));
        let wait = limits.timeout.max(WAIT_MIN);
        let outcome = match tokio::time::timeout(wait, come_up).await {
            Ok(Ok((outcome, _))) => outcome,
            Ok(Err(panic)) => cut_off(Ended::Panicked(panic), &log),
            Err(_elapsed) => cut_off(Ended::Deadline(wait), &log),
        };
        match outcome {
            Outcome::Done(_) | Outcome::Retry { .. } | Outcome::Rejected { .. } => Ok(()),
            Outcome::Failed { breach, detail } => Err(LoadError::DoesNotStart {
                why: format!("{breach}: {detail}"),
            }),
            Outcome::HostFault(fault) => Err(LoadError::NotTried(fault)),
        }
    }
}

impl Build {
    async fn come_up(
        &self,
        invocation: Invocation,
        own: (Arc<GuestLog>, Arc<CpuMeter>),
        _slot: Slot,
    ) -> (Outcome, Counted) {
        let log = Arc::clone(&own.0);
        let mut instance = Instance::new(self, invocation, own, End::untold());
        instance.context().purpose = Purpose::Rehearsal;
        let _running = self.ticker.running();
        let guest = instance.come_up(&self.pre).await;
        log.finish();
        let (counted, answer) = (instance.counted(), guest.map(|_| Ok(())));
        let context = instance.context();
        let outcome = outcome(
            Ended::Answered { answer, context },
            log.last_words(),
            log.veil(),
        );
        (outcome, counted)
    }
}

/// What stands in the place of an event.
pub(super) fn no_event() -> Option<Invocation> {
    let envelope = Envelope {
        event_id: Uuid::nil(),
        event_name: EventName::parse(NO_EVENT).ok()?,
        event_version: 1,
        occurred_at: "".into(),
        correlation_id: None,
        causation_id: None,
        tenant_id: None,
        actor_id: None,
        payload: RawValue::NULL.to_owned(),
        ordering_key: None,
        trace: None,
    };
    Some(Invocation {
        sql: Arc::new(NoStatements),
        envelope: Arc::new(envelope),
        attempt: 0,
        trace: None,
        state: Arc::new(Nothing),
    })
}

//! Makes one instance of a component and throws it away, before anything of it is
//! in service: what does not come up is a reason not to load it, and no dead letter.
//!
//! On the budget of a call. No handler is called; what the guest writes or emits
//! while it comes up is dropped, and it finds no state.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{Invocation, NoStatements, StateReader, StateValue};
use qx_events::{Envelope, EventName, Fault, Outcome};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::call::cpu::CpuMeter;
use crate::call::log::GuestLog;
use crate::call::outcome::{Ended, outcome};
use crate::call::{ComponentHandler, unpanicked};
use crate::error::LoadError;
use crate::log_sink::{CallId, Counted};

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
        // The semaphore is never closed.
        let _slot = self.instances.acquire().await;
        let limits = &self.shared.settings.limits;
        let call = CallId {
            component: self.shared.name.clone(),
            event_id: Uuid::nil(),
            attempt: 0,
        };
        let log = Arc::new(GuestLog::new(call, self.log_sink.clone(), limits));
        let cpu = Arc::new(CpuMeter::default());
        let come_up = self.come_up(invocation, (Arc::clone(&log), Arc::clone(&cpu)));
        let come_up = unpanicked(cpu.measured(come_up));
        let wait = limits.timeout.max(WAIT_MIN);
        let ended = match tokio::time::timeout(wait, come_up).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => Ended::Panicked(panic),
            Err(_elapsed) => Ended::Deadline(wait),
        };
        log.finish();
        match outcome(ended, log.last_words()) {
            Outcome::Done(_) | Outcome::Retry { .. } | Outcome::Rejected { .. } => Ok(()),
            Outcome::Failed { breach, detail } => Err(LoadError::DoesNotStart {
                why: format!("{breach}: {detail}"),
            }),
            Outcome::HostFault(fault) => Err(LoadError::NotTried(fault)),
        }
    }

    async fn come_up(
        &self,
        invocation: Invocation,
        (log, cpu): (Arc<GuestLog>, Arc<CpuMeter>),
    ) -> Ended {
        let mut store = self.store(invocation, log, cpu);
        let instance = self.pre.instantiate_async(&mut store).await;
        let counted = Counted {
            memory_bytes: store.data().memory.bytes(),
            fuel: None, // No call, and nobody's bill.
        };
        Ended::Answered {
            answer: instance.map(|_| Ok(())),
            counted,
            context: Box::new(store.into_data()),
        }
    }
}

/// What stands in the place of an event.
fn no_event() -> Option<Invocation> {
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

//! Calls a handler: in a fresh store and instance for every event, from a component
//! that is linked already, on a budget of time, memory and host calls. Dropped
//! afterwards, whatever happened; unless the component asks for its instances to be
//! used again, and this one may be.
//!
//! Every way of failing is an outcome. A guest can fail and can waste its own
//! budget; it cannot fail the host.

pub(crate) mod context;
pub(crate) mod cpu;
pub(crate) mod emit;
pub(crate) mod event;
mod http;
pub(crate) mod instance;
mod json;
mod log;
pub(crate) mod memory;
mod outcome;
mod rehearse;
mod secrets;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod text;
pub(crate) mod veil;
pub(crate) mod wasi;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use qx_events::ports::{Handler, Invocation, LogLevel};
use qx_events::{Breach, ExportIndex, Outcome, Reuse};
use wasmtime::component::InstancePre;

use crate::call::context::{Context, Shared};
use crate::call::cpu::CpuMeter;
use crate::call::event::{Entry, Export, Given};
use crate::call::instance::{After, End, Instance};
use crate::call::log::GuestLog;
use crate::call::outcome::{Ended, outcome};
use crate::call::veil::Veil;
use crate::contract;
use crate::engine::Metering;
use crate::life::Retired;
use crate::log_sink::{CallId, Cost, Counted, LogSink};
use crate::slots::{Keep, Owner, Slot, Slots, Tenancy, Terms, Use};
use crate::threads::{Pace, Threads};
use crate::ticker::Ticker;

/// What a guest may hand over in one host call, in values of the largest size:
/// room for a value and the names around it, and for a line that will be cut.
pub(crate) const HOST_CALL_VALUES: usize = 4;

/// What a call comes to and used, or the words of a panic in it.
pub(crate) type Ran = Result<(Outcome, Counted), String>;

/// A component that can be called.
pub(crate) struct ComponentHandler {
    pub(crate) build: Arc<Build>,
    pub(crate) threads: Arc<Threads<Ran>>,
    pub(crate) pace: Arc<Pace>,
}

/// A component that is loaded and linked. Calls that run hold it.
pub(crate) struct Build {
    pub(crate) pre: InstancePre<Context>,
    pub(crate) exports: Vec<Export>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) log_sink: Option<Arc<dyn LogSink>>,
    pub(crate) metering: Metering,
    /// This build, among the slots.
    pub(crate) owner: Owner,
    /// Slots of the whole process.
    pub(crate) slots: Arc<Slots<Instance>>,
    /// Interrupts it.
    pub(crate) ticker: Arc<Ticker>,
}

/// An instance and its slot, or a slot for one. In this order they go.
struct Place {
    kept: Option<Instance>,
    slot: Slot,
}

#[async_trait]
impl Handler for ComponentHandler {
    fn is_typed(&self, export: ExportIndex) -> bool {
        let export = self.build.exports.get(export.0);
        export.is_some_and(|export| export.takes.payload().is_some())
    }

    fn fits(&self, export: ExportIndex, payload: &str) -> Result<(), String> {
        let export = self.build.exports.get(export.0);
        match export.and_then(|export| export.takes.payload()) {
            Some(payload_type) => payload_type
                .check(payload)
                .map_err(|mismatch| mismatch.to_string()),
            None => Ok(()),
        }
    }

    async fn call(&self, export: ExportIndex, invocation: Invocation) -> Outcome {
        let build = &self.build;
        let Some(export) = build.exports.get(export.0) else {
            return Ended::no_such_export();
        };
        // A payload that does not fit takes no instance.
        let entry = match export.entry(&invocation.envelope) {
            Ok(entry) => entry,
            Err(mismatch) => return outcome::misfit(&export.name, &mismatch),
        };
        let call = CallId {
            component: build.shared.name.clone(),
            event_id: invocation.envelope.event_id,
            attempt: invocation.attempt,
        };
        // Waiting for a slot is no time of the guest's.
        let place = build.place(&invocation).await;
        let begun = Instant::now();
        let limits = &build.shared.settings.limits;
        let (log, cpu) = match &place.kept {
            Some(kept) => {
                kept.begin(call.clone());
                (Arc::clone(&kept.log), Arc::clone(&kept.cpu))
            }
            None => (
                Arc::new(build.log(call.clone())),
                Arc::new(CpuMeter::default()),
            ),
        };
        let work = {
            let (build, own) = (Arc::clone(build), (Arc::clone(&log), Arc::clone(&cpu)));
            let meter = Arc::clone(&cpu);
            async move {
                let run = pin!(build.run(entry, invocation, (place, own)));
                unpanicked(meter.measured(run)).await
            }
        };
        let work = self
            .threads
            .run(Box::pin(work), build.owner, (&self.pace, &cpu));
        let (outcome, counted) = match tokio::time::timeout(limits.timeout, work).await {
            Ok(Ok((outcome, counted))) => (outcome, Some(counted)),
            Ok(Err(panic)) => (cut_off(Ended::Panicked(panic), &log), None),
            Err(_elapsed) => (cut_off(Ended::Deadline(limits.timeout), &log), None),
        };
        if let Some(sink) = &build.log_sink {
            let cost = Cost {
                wall: begun.elapsed(),
                cpu: cpu.used(),
                counted,
            };
            sink.ended(&call, &cost);
        }
        if let Outcome::Failed { breach, .. } = &outcome
            && *breach != Breach::Trap
        {
            log.hit(breach.as_str());
        }
        outcome
    }

    fn rest(&self) {
        self.build.slots.forget(self.build.owner);
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        self.slots.forget(self.owner);
    }
}

/// The outcome of a call whose instance is gone.
fn cut_off(ended: Ended<'_>, log: &GuestLog) -> Outcome {
    log.finish();
    outcome(ended, log.last_words(), log.veil())
}

impl Build {
    /// For the lines of a call, with what is kept out of them.
    fn log(&self, call: CallId) -> GuestLog {
        let veil = Veil::over(self.shared.outside.secrets.values().map(Arc::clone));
        let limits = &self.shared.settings.limits;
        GuestLog::new(call, self.log_sink.clone(), limits, veil)
    }

    /// Which calls an instance of this call may serve besides.
    fn uses(&self, invocation: &Invocation) -> Option<(Reuse, Use)> {
        let reuse = self.shared.settings.reuse?;
        let tenancy = if reuse.across_tenants {
            Tenancy::All
        } else {
            Tenancy::Only(invocation.envelope.tenant_id)
        };
        let owner = self.owner;
        Some((reuse, Use { owner, tenancy }))
    }

    async fn place(&self, invocation: &Invocation) -> Place {
        let kept = self
            .uses(invocation)
            .and_then(|(_, used_for)| self.slots.take(used_for, Instant::now()));
        match kept {
            Some((instance, slot)) => Place {
                kept: Some(instance),
                slot,
            },
            None => Place {
                kept: None,
                slot: self.slots.slot().await,
            },
        }
    }

    async fn run(
        &self,
        entry: Entry,
        invocation: Invocation,
        (place, (log, cpu)): (Place, (Arc<GuestLog>, Arc<CpuMeter>)),
    ) -> (Outcome, Counted) {
        let envelope = Arc::clone(&invocation.envelope);
        let (attempt, trace) = (invocation.attempt, invocation.trace.clone());
        let uses = self.uses(&invocation);
        let Place { kept, slot } = place;
        let mut instance = if let Some(mut kept) = kept {
            kept.renew(invocation);
            kept
        } else {
            let end = End::new(&self.shared, self.log_sink.as_ref());
            let own = (Arc::clone(&log), cpu);
            Instance::new(self, invocation, own, end)
        };
        let _running = self.ticker.running();
        let given = Given::new(&envelope, trace.as_ref(), attempt);
        let answer = instance.enter(&self.pre, entry, given).await;
        log.finish();
        let after = uses.map(|(reuse, used_for)| (reuse, used_for, instance.after(&answer)));
        let counted = instance.counted();
        let context = instance.context();
        let outcome = outcome(
            Ended::Answered { answer, context },
            log.last_words(),
            log.veil(),
        );
        if let Some((reuse, used_for, after)) = after {
            self.put_back((instance, slot), &reuse, used_for, after);
        }
        (outcome, counted)
    }

    /// Keeps an instance for the next call, if it may be used again.
    fn put_back(&self, place: (Instance, Slot), reuse: &Reuse, used_for: Use, after: After) {
        let (mut instance, slot) = place;
        let fits = after.fits(reuse);
        let nothing = rehearse::no_event().ok_or(Retired::Failed);
        match fits.and(nothing) {
            Ok(nothing) => {
                // What belonged to the call goes with it: effects, state and statements.
                drop(instance.context().take_effects());
                instance.context().invocation = nothing;
                let terms = Terms {
                    instances: reuse.instances,
                    bytes: instance.context().memory.bytes(),
                    until: Instant::now() + reuse.idle,
                };
                self.slots.keep((instance, slot), used_for, terms);
            }
            Err(because) => instance.retire(because),
        }
    }
}

/// Waits for the future, and turns a panic in it into a text. The future is
/// dropped afterwards, with everything that the panic may have left half done.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        let mut future: Pin<&mut _> = future.as_mut();
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(said(panic.as_ref()))),
        }
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

impl contract::log::Host for Context {
    fn log(&mut self, level: contract::log::Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let level = match level {
            contract::log::Level::Trace => LogLevel::Trace,
            contract::log::Level::Debug => LogLevel::Debug,
            contract::log::Level::Info => LogLevel::Info,
            contract::log::Level::Warn => LogLevel::Warn,
            contract::log::Level::Error => LogLevel::Error,
        };
        self.log.line(level, &message);
        Ok(())
    }
}

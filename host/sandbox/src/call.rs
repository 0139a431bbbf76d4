//! Calls a handler: a fresh store and instance for every event, from a component
//! that is linked already, on a budget of time, memory and host calls. Dropped
//! afterwards, whatever happened.
//!
//! Every way of failing is an outcome. A guest can fail and can waste its own
//! budget; it cannot fail the host.

pub(crate) mod context;
mod cpu;
pub(crate) mod emit;
pub(crate) mod event;
mod json;
mod log;
pub(crate) mod memory;
mod outcome;
mod rehearse;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod text;
pub(crate) mod wasi;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use qx_events::ports::{Handler, Invocation, LogLevel};
use qx_events::{Breach, ExportIndex, Outcome};
use tokio::sync::Semaphore;
use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use crate::call::context::{Context, Shared, Stop};
use crate::call::cpu::CpuMeter;
use crate::call::event::{Entry, Export, Given};
use crate::call::log::GuestLog;
use crate::call::outcome::{Ended, outcome};
use crate::call::wasi::HANDLES_MAX;
use crate::contract::{self, Failure};
use crate::engine::Metering;
use crate::log_sink::{CallId, Cost, Counted, LogSink};

/// Ticks of the epoch after which a running guest lets others run: every one.
const TICKS_PER_TURN: u64 = 1;

/// Steps that a call gets where they are counted: time ends it, never these.
const FUEL: u64 = u64::MAX;

/// What a guest may hand over in one host call, in values of the largest size:
/// room for a value and the names around it, and for a line that will be cut.
pub(crate) const HOST_CALL_VALUES: usize = 4;

/// A component that is loaded and linked.
pub(crate) struct ComponentHandler {
    pub(crate) pre: InstancePre<Context>,
    pub(crate) exports: Vec<Export>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) log_sink: Option<Arc<dyn LogSink>>,
    pub(crate) metering: Metering,
    /// Slots of the whole process.
    pub(crate) instances: Arc<Semaphore>,
}

#[async_trait]
impl Handler for ComponentHandler {
    fn is_typed(&self, export: ExportIndex) -> bool {
        let export = self.exports.get(export.0);
        export.is_some_and(|export| export.takes.payload().is_some())
    }

    fn fits(&self, export: ExportIndex, payload: &str) -> Result<(), String> {
        let export = self.exports.get(export.0);
        match export.and_then(|export| export.takes.payload()) {
            Some(payload_type) => payload_type
                .check(payload)
                .map_err(|mismatch| mismatch.to_string()),
            None => Ok(()),
        }
    }

    async fn call(&self, export: ExportIndex, invocation: Invocation) -> Outcome {
        let Some(export) = self.exports.get(export.0) else {
            return Ended::no_such_export();
        };
        // A payload that does not fit takes no instance.
        let entry = match export.entry(&invocation.envelope) {
            Ok(entry) => entry,
            Err(mismatch) => return outcome::misfit(&export.name, &mismatch),
        };
        // Waiting for a slot is no time of the guest's. The semaphore is never closed.
        let _slot = self.instances.acquire().await;
        let limits = &self.shared.settings.limits;
        let call = CallId {
            component: self.shared.name.clone(),
            event_id: invocation.envelope.event_id,
            attempt: invocation.attempt,
        };
        let begun = Instant::now();
        let log = Arc::new(GuestLog::new(call.clone(), self.log_sink.clone(), limits));
        let cpu = Arc::new(CpuMeter::default());
        let run = self.run(entry, invocation, (Arc::clone(&log), Arc::clone(&cpu)));
        let run = unpanicked(cpu.measured(run));
        let ended = match tokio::time::timeout(limits.timeout, run).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => Ended::Panicked(panic),
            Err(_elapsed) => Ended::Deadline(limits.timeout),
        };
        log.finish();
        if let Some(sink) = &self.log_sink {
            let cost = Cost {
                wall: begun.elapsed(),
                cpu: cpu.used(),
                counted: ended.counted(),
            };
            sink.ended(&call, &cost);
        }
        let outcome = outcome(ended, log.last_words());
        if let Outcome::Failed { breach, .. } = &outcome
            && *breach != Breach::Trap
        {
            log.hit(breach.as_str());
        }
        outcome
    }
}

impl ComponentHandler {
    async fn run(
        &self,
        entry: Entry,
        invocation: Invocation,
        (log, cpu): (Arc<GuestLog>, Arc<CpuMeter>),
    ) -> Ended {
        let envelope = Arc::clone(&invocation.envelope);
        let (attempt, trace) = (invocation.attempt, invocation.trace.clone());
        let mut store = self.store(invocation, log, cpu);
        let given = Given::new(&envelope, trace.as_ref(), attempt);
        let answer = self.enter(&mut store, entry, given).await;
        let counted = Counted {
            memory_bytes: store.data().memory.bytes(),
            fuel: store.get_fuel().ok().map(|left| FUEL - left),
        };
        Ended::Answered {
            answer,
            counted,
            context: Box::new(store.into_data()),
        }
    }

    fn store(
        &self,
        invocation: Invocation,
        log: Arc<GuestLog>,
        cpu: Arc<CpuMeter>,
    ) -> Store<Context> {
        let context = Context::new(Arc::clone(&self.shared), invocation, log);
        let value_bytes = self.shared.settings.limits.value_bytes;
        let mut store = Store::new(self.pre.engine(), context);
        store.limiter(|context| &mut context.memory);
        store.set_hostcall_fuel(HOST_CALL_VALUES.saturating_mul(value_bytes));
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(TICKS_PER_TURN);
        if self.metering == Metering::Fuel {
            // An engine that counts takes it.
            drop(store.set_fuel(FUEL));
        }
        let max = self.shared.settings.limits.cpu;
        // Touches the store's data and nothing else. The runtime's own yield lets
        // timers and sockets of the process have their turn as well.
        store.epoch_deadline_callback(move |mut store| {
            if cpu.used() > max {
                let max = max.as_millis();
                let what = format!("used more than {max} ms of processor time (limits.cpu_ms)");
                return Err(store.data_mut().end(Stop::Limit(Breach::Cpu, what)));
            }
            if store.data().is_stopped() {
                return Ok(UpdateDeadline::Interrupt);
            }
            let turn = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(TICKS_PER_TURN, turn))
        });
        store
    }

    async fn enter(
        &self,
        store: &mut Store<Context>,
        entry: Entry,
        given: Given<'_>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        given.enter(entry, &instance, store).await
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

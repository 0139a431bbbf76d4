//! The way from an export of the component to the handler's function, and back.

use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::time::Duration;

use crate::bindings::qx::events::types;
use crate::{Event, Failure, Payload, Text, Trace, log, payload};

/// Called by every export.
pub fn serve<T: Payload>(
    event: types::Event,
    handler: fn(Event<T>) -> Result<(), Failure>,
) -> Result<(), types::Failure> {
    answer(|| payload::call(raw(event), handler))
}

/// Runs what an export does: what a panic says is logged, and the handler's failure
/// becomes that of the contract.
pub fn answer(handler: impl FnOnce() -> Result<(), Failure>) -> Result<(), types::Failure> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| panic::set_hook(Box::new(report)));
    handler().map_err(contract)
}

/// A trap says nothing; the line that the hook leaves says where and why.
fn report(panic: &PanicHookInfo<'_>) {
    log::error!("{panic}");
}

fn raw(event: types::Event) -> Event<Text> {
    let tracestate = event.tracestate;
    Event {
        id: event.id,
        name: event.name,
        version: event.version,
        occurred_at: event.occurred_at,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        tenant_id: event.tenant_id,
        actor_id: event.actor_id,
        trace: event.traceparent.map(|traceparent| Trace {
            traceparent,
            tracestate,
        }),
        attempt: event.attempt,
        payload: Text::from(event.payload),
    }
}

fn contract(failure: Failure) -> types::Failure {
    match failure {
        Failure::Retry { reason, after } => types::Failure::Retry(types::Retry {
            reason,
            after: after.map(whole_milliseconds),
        }),
        Failure::Reject { reason } => types::Failure::Reject(reason),
    }
}

/// Rounded up: "not sooner" must hold for half a millisecond too.
fn whole_milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

//! From what the engine says to what the handler did.
//!
//! Every way of failing is an outcome. The order of the questions matters: what
//! the host decided comes before what the guest made of it.

use std::time::Duration;

use qx_events::{Breach, Fault, Outcome};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::call::HOST_CALL_VALUES;
use crate::call::context::{Context, Stop};
use crate::call::instance::Answer;
use crate::call::memory::Denied;
use crate::call::text::visible;
use crate::call::veil::Veil;
use crate::call::wasi::{HANDLES_MAX, RANDOM_BYTES_MAX};
use crate::contract::Failure;
use crate::engine::GUEST_STACK_BYTES;
use crate::typed::Mismatch;

/// Longest reason or detail in bytes. It must fit the column `last_error` of the
/// dead letters, 2,048 wide, with what the host says before it.
const REASON_BYTES_MAX: usize = 1_024;

/// What stands in a frame for a module without a name, and for such a function.
const NO_MODULE: &str = "<unknown>!";
const NO_NAME: &str = "<wasm function";

/// Frames of a trap's backtrace that are shown.
const FRAMES_SHOWN: usize = 3;

/// What the engine says when a guest hands over more than its fuel for host calls.
const FUEL_EXHAUSTED: &str = "too much data is being copied";

/// What it says when a guest has too many handles: its own table, and WASI's.
const HANDLES_EXHAUSTED: [&str; 2] = [
    "store handle limit exceeded",
    "resource table has no free keys",
];

/// What it says when a guest asks for too many random bytes at once.
const RANDOM_EXHAUSTED: &str = "requested len";

/// How a call ended.
pub(crate) enum Ended<'c> {
    /// The guest's own answer, or the engine's.
    Answered {
        answer: Answer,
        context: &'c mut Context,
    },
    /// The host lost patience.
    Deadline(Duration),
    /// A host function, or the engine itself, panicked.
    Panicked(String),
}

/// The outcome. `last_words` is what the guest logged as its last error; nothing
/// behind the veil is in it.
pub(crate) fn outcome(ended: Ended<'_>, last_words: Option<String>, veil: &Veil) -> Outcome {
    match ended {
        Ended::Deadline(limit) => failed(
            Breach::Deadline,
            &format!(
                "ran longer than {} ms (limits.timeout_ms)",
                limit.as_millis()
            ),
            last_words,
        ),
        // Bounded attempts and then a dead letter: a guest that can make the host
        // panic must not do so for ever.
        Ended::Panicked(text) => failed(
            Breach::Trap,
            &veil.hide(&format!(
                "the host panicked in this call, please report it: {text}"
            )),
            last_words,
        ),
        Ended::Answered { answer, context } => match (context.take_stop(), answer) {
            (Some(Stop::Fault(fault)), _) => Outcome::HostFault(fault),
            (Some(Stop::Limit(breach, what)), _) => failed(breach, &what, last_words),
            (None, Ok(Ok(()))) => Outcome::Done(context.take_effects()),
            (None, Ok(Err(failure))) => declined(failure, veil),
            (None, Err(error)) => trapped(&error, context, last_words, veil),
        },
    }
}

/// The payload is not of the type that the handler takes: no attempt would change it.
pub(crate) fn misfit(export: &str, mismatch: &Mismatch) -> Outcome {
    let reason = format!("the payload does not fit `{export}`: {mismatch}");
    Outcome::Rejected {
        reason: visible(&reason, REASON_BYTES_MAX),
    }
}

fn declined(failure: Failure, veil: &Veil) -> Outcome {
    match failure {
        Failure::Retry(retry) => Outcome::Retry {
            reason: visible(&veil.hide(&retry.reason), REASON_BYTES_MAX),
            after: retry.after.map(Duration::from_millis),
        },
        Failure::Reject(reason) => Outcome::Rejected {
            reason: visible(&veil.hide(&reason), REASON_BYTES_MAX),
        },
    }
}

fn trapped(
    error: &wasmtime::Error,
    context: &Context,
    last_words: Option<String>,
    veil: &Veil,
) -> Outcome {
    let cause = error.root_cause().to_string();
    if let Some((breach, detail)) = broken(error, &cause, context) {
        return failed(breach, &detail, last_words);
    }
    if is_hosts_doing(error) {
        return Outcome::HostFault(Fault::transient("start an instance", format!("{error:#}")));
    }
    failed(
        Breach::Trap,
        &veil.hide(&format!("{cause}{}", frames(error))),
        last_words,
    )
}

/// The limit behind the engine's error, when there is one. What was denied before a
/// trap explains it best: most guests answer a no with a trap that says nothing.
fn broken(error: &wasmtime::Error, cause: &str, context: &Context) -> Option<(Breach, String)> {
    if let Some(denied) = context.memory.denied() {
        let breach = match denied {
            Denied::Bytes { .. } => Breach::Memory,
            Denied::Elements { .. } => Breach::Tables,
        };
        return Some((breach, format!("{denied}, and then failed: {cause}")));
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        let detail = format!(
            "nested its calls deeper than {GUEST_STACK_BYTES} bytes of stack hold{}",
            frames(error)
        );
        return Some((Breach::Stack, detail));
    }
    if cause.starts_with(FUEL_EXHAUSTED) {
        let value_bytes = context.shared.settings.limits.value_bytes;
        let max = HOST_CALL_VALUES.saturating_mul(value_bytes);
        let detail = format!(
            "handed the host more than the {max} bytes that it takes at once (4 times limits.value_kb)"
        );
        return Some((Breach::HostData, detail));
    }
    if HANDLES_EXHAUSTED.iter().any(|text| cause.contains(text)) {
        let detail = format!("had more than {HANDLES_MAX} handles open");
        return Some((Breach::Handles, detail));
    }
    cause.starts_with(RANDOM_EXHAUSTED).then(|| {
        let detail = format!("asked for more than {RANDOM_BYTES_MAX} random bytes at once");
        (Breach::Random, detail)
    })
}

/// Out of slots, or of the system's memory: no wasm was running.
fn is_hosts_doing(error: &wasmtime::Error) -> bool {
    let system = || {
        error.downcast_ref::<WasmBacktrace>().is_none()
            && error
                .chain()
                .any(<dyn std::error::Error>::is::<std::io::Error>)
    };
    error.is::<PoolConcurrencyLimitError>() || system()
}

/// The innermost functions, innermost first, as far as the component names them.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    // One line a frame, `0: 0x1e1 - module!function`, with names demangled.
    let text = backtrace.to_string();
    let frames = text.lines().filter_map(|line| line.split_once(" - "));
    let frames = frames.map(|(_, name)| name.strip_prefix(NO_MODULE).unwrap_or(name));
    let names = frames.filter(|name| !name.starts_with(NO_NAME));
    let names: Vec<&str> = names.take(FRAMES_SHOWN).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(" in {}", names.join(" < "))
}

fn failed(breach: Breach, detail: &str, last_words: Option<String>) -> Outcome {
    let detail = match last_words {
        Some(words) => format!("{words}: {detail}"),
        None => detail.to_owned(),
    };
    Outcome::Failed {
        breach,
        detail: visible(&detail, REASON_BYTES_MAX),
    }
}

impl Ended<'_> {
    /// The call was never made: there is no such export.
    pub(crate) fn no_such_export() -> Outcome {
        Outcome::HostFault(Fault::refusal(
            "call an export that the component does not have",
        ))
    }
}

//! What the host knows of one call while it runs: the data of its store.
//!
//! Belongs to the instance; where that is used again, each call begins with a new
//! one, and only what the guest holds goes over. Nothing here is applied: what the
//! call wants to change leaves as effects, when it has succeeded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Clock, Invocation};
use qx_events::{Breach, ComponentName, Effects, Fault, Settings};
use tokio::time::Instant;

use crate::call::emit::Emitted;
use crate::call::log::GuestLog;
use crate::call::memory::Memory;
use crate::call::state::State;
use crate::call::wasi::Wasi;
use crate::contract;
use crate::outside::Outside;

/// Values of the largest size that one call may hold in the host at once: state
/// that it read or wrote, and payloads that it emitted, taken together.
pub(crate) const VALUES_KEPT_MAX: usize = 32;

/// Of a call's time, in tenths, what its requests and statements may take: of the usual
/// five seconds half a one is left for the handler's answer.
pub(crate) const WAITING_TENTHS: u32 = 9;
const TENTHS: u32 = 10;

/// What all calls of a component share.
pub(crate) struct Shared {
    pub(crate) name: ComponentName,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outside: Outside,
}

/// Why the host ends a call. What the guest makes of it does not matter.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest went over a limit; says which, and its value.
    Limit(Breach, String),
    /// The host cannot serve the call.
    Fault(Fault),
}

/// What an instance is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An event is handled.
    Call,
    /// It is made once and thrown away, to see whether it comes up: what it does must
    /// not leave the host.
    Rehearsal,
}

/// One call.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) invocation: Invocation,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) memory: Memory,
    pub(crate) state: State,
    pub(crate) emitted: Emitted,
    pub(crate) wasi: Option<Wasi>,
    /// Of SQL, so far.
    pub(crate) statements: u32,
    /// When the call began: what it waits for must end before it does.
    pub(crate) begun: Instant,
    /// Requests that it has sent.
    pub(crate) requests: u32,
    /// What this is about.
    pub(crate) purpose: Purpose,
    calls: u32,
    kept_bytes: usize,
    stop: Option<Stop>,
}

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, invocation: Invocation, log: Arc<GuestLog>) -> Self {
        Self {
            memory: Memory::new(shared.settings.limits.memory_bytes),
            shared,
            invocation,
            log,
            state: State::default(),
            emitted: Emitted::default(),
            wasi: None,
            statements: 0,
            begun: Instant::now(),
            requests: 0,
            purpose: Purpose::Call,
            calls: 0,
            kept_bytes: 0,
            stop: None,
        }
    }

    /// Begins the next call of the same instance. Its memory goes over, and what it
    /// holds of WASI; nothing else does.
    pub(crate) fn renew(&mut self, invocation: Invocation) {
        let next = Self::new(Arc::clone(&self.shared), invocation, Arc::clone(&self.log));
        // By name, so that what is added has to be decided on here.
        let Self {
            memory,
            wasi,
            shared: _,
            invocation: _,
            log: _,
            state: _,
            emitted: _,
            statements: _,
            begun: _,
            requests: _,
            purpose: _,
            calls: _,
            kept_bytes: _,
            stop: _,
        } = std::mem::replace(self, next);
        self.memory = memory.renewed();
        self.wasi = wasi.map(Wasi::renewed);
    }

    /// Counts a call of an import; the one too many ends the call.
    pub(crate) fn enter(&mut self) -> wasmtime::Result<()> {
        let max = self.shared.settings.limits.host_calls;
        self.calls = self.calls.saturating_add(1);
        if self.calls > max {
            return Err(self.end(Stop::Limit(
                Breach::HostCalls,
                format!("called the host more than {max} times (limits.host_calls)"),
            )));
        }
        Ok(())
    }

    /// What the guest is told of a limit that it hit, and may go on: counted once for
    /// each call.
    pub(crate) fn over(&self, limit: &'static str, why: impl fmt::Display) -> String {
        self.log.hit(limit);
        format!("{limit}: {why}")
    }

    /// How long what the call waits for may take: so that it ends before the call does,
    /// and the handler can say what it makes of it.
    pub(crate) fn time_left(&self) -> Duration {
        let whole = self.shared.settings.limits.timeout;
        let ends = whole / TENTHS * WAITING_TENTHS;
        ends.saturating_sub(self.begun.elapsed())
    }

    /// Whether the host has decided to end this call.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Decides to end the call, and makes the error that unwinds the guest.
    pub(crate) fn end(&mut self, stop: Stop) -> wasmtime::Error {
        self.stop.get_or_insert(stop);
        wasmtime::format_err!("ended by the host")
    }

    pub(crate) fn take_stop(&mut self) -> Option<Stop> {
        self.stop.take()
    }

    /// Makes room for bytes that are kept until the call ends, in place of others.
    /// The limit is returned when there is no room.
    pub(crate) fn keep(&mut self, bytes: usize, instead_of: usize) -> Result<(), usize> {
        let max = VALUES_KEPT_MAX.saturating_mul(self.shared.settings.limits.value_bytes);
        let kept = self.kept_bytes.saturating_sub(instead_of);
        match kept.checked_add(bytes) {
            Some(kept) if kept <= max => {
                self.kept_bytes = kept;
                Ok(())
            }
            Some(_) | None => Err(max),
        }
    }

    /// What the call wants to change. Nothing of it stays.
    pub(crate) fn take_effects(&mut self) -> Effects {
        let (reads, writes) = std::mem::take(&mut self.state).into_parts();
        Effects {
            reads,
            writes,
            emitted: std::mem::take(&mut self.emitted).into_events(),
        }
    }
}

impl contract::types::Host for Context {}

impl contract::config::Host for Context {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        Ok(self.shared.settings.config.get(&key).cloned())
    }
}

//! A component that can be called, as the pipeline sees it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::envelope::Envelope;
use crate::fault::Fault;
use crate::outcome::Outcome;
use crate::ports::{StateValue, Statements};
use crate::routes::ExportIndex;
use crate::trace::TraceContext;

/// One call of a handler.
pub struct Invocation {
    /// The event.
    pub envelope: Arc<Envelope>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The context that the guest sees and its emitted events carry.
    pub trace: Option<TraceContext>,
    /// Where the guest's `state.get` reads: bound to the component and tenant.
    pub state: Arc<dyn StateReader>,
    /// Where the guest's SQL goes: bound to the component's role and to this call.
    pub sql: Arc<dyn Statements>,
}

/// Reads the state of one component and one tenant.
#[async_trait]
pub trait StateReader: Send + Sync {
    /// The committed value of a key.
    async fn read(&self, key: &str) -> Result<Option<StateValue>, Fault>;
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Trace.
    Trace,
    /// Debug.
    Debug,
    /// Info.
    Info,
    /// Warn.
    Warn,
    /// Error.
    Error,
}

/// A line that a guest logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// Cut to the limit, control characters made visible.
    pub message: String,
}

/// A loaded component.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Whether an export takes payloads of one type only.
    fn is_typed(&self, export: ExportIndex) -> bool {
        let _ = export;
        false
    }

    /// Whether a payload is of the type that an export takes, or why it is not. An export
    /// that takes JSON of any shape takes all of it.
    fn fits(&self, export: ExportIndex, payload: &str) -> Result<(), String> {
        let _ = (export, payload);
        Ok(())
    }

    /// Calls one export with one event, on the component's budget, in an instance
    /// that no other call has at the same time. Every way of failing is an outcome.
    async fn call(&self, export: ExportIndex, invocation: Invocation) -> Outcome;

    /// No call will come for a while: it was replaced, removed or paused. What is
    /// kept for the next call goes. Calls that run go on.
    fn rest(&self) {}
}

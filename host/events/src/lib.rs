//! The vocabulary and the rules of Qx Host, and the ports its adapters fill.
//!
//! A value of a type from this crate is valid: names are legal subjects, an
//! envelope has an id, a binding belongs to an export. Never: I/O, a clock, a
//! runtime, or the name of a database, a broker or a WASM engine.
#![warn(missing_docs)]

pub mod attempts;
pub mod breaker;
pub mod canary;
#[cfg(feature = "contract")]
pub mod contract;
mod dead_letter;
mod digest;
mod effects;
mod envelope;
mod fault;
mod key;
mod name;
mod order;
mod outcome;
mod pattern;
pub mod ports;
mod retry;
mod rights;
mod routes;
mod row;
mod settings;
pub mod shard;
mod state;
mod trace;
mod verdict;
pub mod web;
pub mod wire;

pub use attempts::{Admission, Care, Known, Record, Start};
pub use breaker::BreakerPolicy;
pub use canary::CanaryPolicy;
pub use dead_letter::{
    DeadLetter, DeadReason, DeadReasonKind, EDITED_BYTES_MAX, Edited, InvalidEdit, LetterFilter,
    NameFilter,
};
pub use digest::Digest;
pub use effects::{Effects, StateRead, StateSeen, StateWrite};
pub use envelope::{Envelope, Malformed};
pub use fault::{Fault, Lasting};
pub use key::{InvalidOrderingKey, ORDERING_KEY_BYTES_MAX, OrderingKey};
pub use name::{ComponentName, EventName, InvalidComponentName, InvalidEventName};
pub use order::{KeyField, LaneKey, Order};
pub use outcome::{Breach, Outcome};
pub use pattern::{InvalidPattern, Pattern};
pub use retry::RetryPolicy;
pub use rights::{Capability, Rights};
pub use routes::{Binding, Clash, Component, ExportIndex, Resolution, Routes, Tried, Versions};
pub use row::{Due, NewEvent, Row, Unpublishable, prepare};
pub use settings::{Inbox, Limits, Reuse, Settings, StartFrom};
pub use state::{Overfull, StateBounds, StateGrowth, StateLimit, StateSize};
pub use trace::TraceContext;
pub use verdict::{Verdict, decide};

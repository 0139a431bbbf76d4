//! Handlers that take a type of their own in the place of the event's text: what of
//! the payload's JSON becomes which value, and what does not fit.
//!
//! The plan of a type is made once, at load. With it a payload is read once, straight
//! into the values of the call. Never: guesses, rounds an integer, or repeats a value
//! of the payload in what it says.

mod number;
mod plan;
mod read;
mod said;
mod spelling;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::component::Val;

pub(crate) use plan::{DEPTH_MAX, NODES_MAX};
pub(crate) use plan::{Plan, Unfit};
pub(crate) use read::VALUES_MAX;
pub use spelling::spellings;

/// The type of a handler's payload.
#[derive(Debug, Clone)]
pub struct PayloadType {
    plan: Arc<Plan>,
}

/// A payload is not of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", path_shown(.path))]
pub struct Mismatch {
    /// Where in the payload: `repository.labels[3].color`; empty for the whole.
    pub path: String,
    /// What was expected there, and what was found.
    pub what: String,
}

fn path_shown(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    format!("{path}: ")
}

impl PayloadType {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan: Arc::new(plan),
        }
    }

    /// Whether a payload is of this type.
    pub fn check(&self, json: &str) -> Result<(), Mismatch> {
        self.read(json).map(drop)
    }

    /// The payload as a value.
    pub(crate) fn read(&self, json: &str) -> Result<Val, Mismatch> {
        read::read(&self.plan, json)
    }
}

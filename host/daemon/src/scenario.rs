//! Scenarios: files that give events to a built component and say what must come of
//! them. What `qx-host test` runs, and the tests of the examples.
//!
//! The sandbox is the real one, with its limits; nothing else of the host is there:
//! no server, no database, no retry, no clock that is waited for.

mod bench;
mod compare;
mod expect;
mod file;
mod record;
mod seen;
mod suite;

pub use bench::{Bench, BenchError, Built};
pub use compare::Difference;
pub use expect::Outcome;
pub use file::{FOLDER, Scenario, ScenarioFault};
pub use suite::{CaseReport, Ran, StepReport, Suite, Update, read};

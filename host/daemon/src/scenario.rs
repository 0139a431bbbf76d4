//! Scenarios: files that give events to a built component and say what must come of
//! them. What `qx-host test` runs, and the tests of the examples.
//!
//! The sandbox is the real one, with its limits; nothing else of the host is there:
//! no server, no database, no retry, no clock that is waited for. What a handler reaches
//! outside the host is answered by the scenario, behind the same ports.

mod bench;
mod compare;
mod expect;
mod fault;
mod file;
mod given;
mod http;
mod record;
mod script;
mod seen;
mod short;
mod sql;
mod suite;

pub use bench::{Bench, BenchError, Built, no_host};
pub use compare::Difference;
pub use expect::Outcome;
pub use fault::ScenarioFault;
pub use file::{FOLDER, Scenario};
pub use suite::{CaseReport, Ran, StepReport, Suite, Update, read};

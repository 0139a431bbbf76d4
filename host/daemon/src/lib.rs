//! The daemon of Qx Host as a library: what the binary `qx-host` is made of, and
//! what an application embeds that wants to dispatch events in its own process.
//!
//! Start with [`app::App`]. The crates below this one do the work; here they are
//! configured, wired, started and drained.

pub mod account;
pub mod admin;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod fleet;
pub mod guest;
pub mod open;
pub mod supervise;
pub mod telemetry;

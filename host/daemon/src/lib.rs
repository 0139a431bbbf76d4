//! The daemon of Qx Host as a library: what the binary `qx-host` is made of, and
//! what an application embeds that wants to dispatch events in its own process.
//!
//! Start with [`app::App`]. The crates below this one do the work; here they are
//! configured, wired, started and drained.
//!
//! To call handlers in one's own process, without a broker:
//!
//! ```no_run
//! use std::sync::Arc;
//! use qx_host::app::{App, Roles, Surroundings};
//! use qx_host::config::Config;
//!
//! # async fn example(envelope: qx_events::Envelope) -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(Some("qx-host.toml".as_ref()), std::env::vars(), &[])?;
//! let host = App::build(config, Surroundings::quiet(Roles::IN_PROCESS)).await?.start().await?;
//! host.loaded().await; // The components that lie in the folder are in service.
//! for done in host.dispatcher().dispatch(envelope).await? {
//!     println!("{}: {:?}", done.component, done.conclusion);
//! }
//! # Ok(())
//! # }
//! ```

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
pub mod reach;
mod retention;
pub mod scenario;
mod secrets;
pub mod signing;
pub mod supervise;
pub mod telemetry;

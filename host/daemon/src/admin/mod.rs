//! Health, metrics and listings of one host over HTTP, for probes, scrapers and
//! the command line; and pausing and resuming its components.
//!
//! It asks nobody who they are: it answers on the loopback by default, and only to
//! those who call it by its own address. What changes something is asked for with a
//! body of JSON, which a foreign page in a browser cannot send. Never: a payload or
//! a secret.

pub mod client;
mod control;
mod door;
mod insight;
mod listener;
mod pages;
mod pulse;
mod rights;
mod server;
mod stored;

pub use client::ClientError;
pub use control::{Control, Refusal, Request, Resumed};
pub use insight::{CanaryView, Check, HandlerView, Insight, Readiness};
pub use rights::RightsView;
pub use server::{Admin, AdminError};
pub use stored::StoredView;

//! Health, metrics and listings of one host over HTTP, for probes, scrapers and
//! the command line.
//!
//! It asks nobody who they are: it answers on the loopback by default, only to
//! those who call it by its own address, and only reads. Never: a payload, a
//! secret, or anything that changes the host.

pub mod client;
mod door;
mod insight;
mod listener;
mod pages;
mod pulse;
mod server;

pub use client::ClientError;
pub use insight::{Check, HandlerView, Insight, Readiness};
pub use server::{Admin, AdminError};

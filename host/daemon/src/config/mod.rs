//! What an operator can set: one table of keys, read from the defaults, a file
//! and the environment, in this order, the later winning.
//!
//! A [`Config`] that exists is valid and free of contradictions. One that does
//! not says everything that is wrong with it at once, each fault with its key,
//! its place and what would be right. Never: connects to anything, reads the
//! process's environment by itself, or shows a secret.

mod database;
mod fault;
mod grants;
mod key;
mod keys;
mod layers;
mod limits;
mod load;
mod model;
mod nats;
mod reader;
mod reference;
mod secret;
mod secrets;
mod sidecar;
mod trust;

pub use database::DatabaseUrl;
pub(crate) use fault::nearest;
pub use fault::{ConfigFault, ConfigFaults, Place};
pub use grants::GrantTable;
pub use limits::table as limits_table;
pub use model::{
    AdminConfig, ComponentsConfig, Config, ConsumerConfig, DatabaseConfig, DeadLettersConfig,
    EmbeddedConfig, HttpConfig, LogFormat, ProcessParent, RelayConfig, StreamConfig, StreamKind,
    TelemetryConfig,
};
pub use nats::{NatsAuth, NatsConfig, NatsIdentity, NatsTls};
pub use reference::reference;
pub use secret::Secret;
pub(crate) use secret::read_file as read_secret_file;
pub use secrets::NamedSecret;
pub use sidecar::{Sidecar, SidecarRoute};

#[cfg(test)]
mod tests;

//! NATS JetStream behind the ports `Publisher` and `Stream`.
//!
//! The promises of the ports are kept over a connection that comes and goes: what
//! has an answer is stored, what has none may be, and a consumer that the server
//! lost is made again from where it was. Never: a row, a handler, or a message
//! that waits in this process for a server to come back.
//!
//! The client library logs every attempt of its own; this crate logs each change
//! once. Silence the target [`CLIENT_LOG_TARGET`] to hear it once only.

mod address;
mod anew;
mod broker;
mod config;
mod connection;
mod consumer;
mod error;
mod filters;
mod footing;
mod identity;
mod outbound;
mod publisher;
mod receipt;
mod risks;
mod server;
mod source;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;

pub use broker::Broker;
pub use config::{Beside, ClientCertificate, ConfigFault, Credentials, NatsConfig, Secret, Tls};
pub use consumer::durable_name;
pub use error::{BrokerError, Mismatch};
pub use publisher::gait::PublishWay;
pub use risks::Risks;

/// Log target of the client library.
pub const CLIENT_LOG_TARGET: &str = "async_nats";

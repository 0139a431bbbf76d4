//! The relay and the consumer: loops over the ports of `qx-events`.
//!
//! Follow one event: [`relay`] moves its row to the stream, [`consumer`] takes
//! its message, [`dispatcher`] calls the handler and settles what it did, and
//! [`settler`] commits. Never: SQL, a broker's client or a WASM engine.

pub mod backoff;
pub mod consumer;
pub mod crash;
pub mod dispatcher;
pub mod gates;
mod grace;
mod heartbeat;
pub mod mediator;
mod notes;
mod reads;
pub mod relay;
pub mod replay;
pub mod settler;
pub mod trace;
pub mod witness;

pub use consumer::{Consumer, ConsumerConfig, LEASE_PREFIX, Ordered};
pub use dispatcher::{Conclusion, Dispatched, Dispatcher, Services};
pub use gates::{Gates, PausedBy, Shut};
pub use mediator::{Mediator, Trial};
pub use relay::{Relay, RelayConfig, RowOrder};
pub use replay::Replay;
pub use settler::Settler;
pub use witness::{Sight, Witness};

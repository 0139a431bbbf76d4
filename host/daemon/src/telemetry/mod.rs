//! What a host tells about itself: a log on stderr, metrics, spans, and one human
//! line per decision for `dev`.
//!
//! The loops report [`Sight`](qx_pipeline::Sight)s and make spans; everything
//! here is made from those. Never: a payload, a secret, or a tenant's id.

mod all;
mod calm;
mod console;
mod limits;
mod logged;
mod logs;
mod metered;
mod metrics;
mod names;
mod options;
mod outgoing;
mod propagation;
mod sampler;
mod spans;
mod start;
mod visible;

pub use all::All;
pub use console::{Console, Palette};
pub use limits::LimitsHit;
pub use logged::Logged;
pub use metered::Metered;
pub use metrics::Metrics;
pub use options::Options;
pub use outgoing::Watched;
pub use propagation::Exported;
pub use sampler::{Sample, Sampled, Sampler};
pub use start::{Telemetry, TelemetryError, init, start};

#[cfg(test)]
mod fixtures;

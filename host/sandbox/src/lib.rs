//! Runs handlers that are WebAssembly components: checks, compiles, links and
//! limits them, and calls them with one event at a time.
//!
//! The only crate with wasmtime. Never: commits anything, decides what becomes of
//! a message, or trusts what a component says. Encoding a core module as a
//! component is the tools' business.

mod bind;
mod cache;
mod call;
mod compile;
mod contract;
mod engine;
mod error;
mod imports;
mod inspect;
mod life;
mod limits;
mod log_sink;
mod manifest;
mod native;
mod outside;
mod routes_section;
mod sandbox;
mod signature;
mod slots;
mod surface;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod ticker;
mod typed;

pub use compile::{ChildCompiler, Compilation, compile_as_child};
pub use engine::Metering;
pub use error::{LoadError, LoadStep, SandboxError};
pub use life::{Life, Retired};
pub use limits::{FIXED, FixedLimit};
pub use log_sink::{CallId, Cost, Counted, LogSink};
pub use manifest::{Manifest, ManifestRoute};
pub use outside::Outside;
pub use sandbox::{Loaded, Sandbox, SandboxConfig};
pub use typed::{Mismatch, PayloadType, spellings};

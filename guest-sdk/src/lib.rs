//! Write event handlers for Qx Host in Rust.
//!
//! A handler is a function that takes an event and says how it went. It is
//! compiled to a WebAssembly component and runs in a sandbox of its own for each
//! event. What it changes through this crate, state and emitted events, is
//! committed together with the mark that the event is done: once, or not at all.
//!
//! ```
//! use qx_guest::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Star {
//!     repository: Repository,
//! }
//!
//! #[derive(Deserialize)]
//! struct Repository {
//!     full_name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Starred<'a> {
//!     repository: &'a str,
//!     stars: u64,
//! }
//!
//! #[handler("github.star.created")]
//! fn count_star(event: Event<Star>) -> Result<(), Failure> {
//!     let repository = &event.payload.repository.full_name;
//!     let stars = state::get(repository)?.unwrap_or(0) + 1;
//!     state::set(repository, &stars)?;
//!     emit("repo.starred", &Starred { repository, stars })?;
//!     log::info!("{repository} has {stars} stars");
//!     Ok(())
//! }
//!
//! // The same function, natively, in a test:
//! let star = testing::event("github.star.created")
//!     .payload(json!({"repository": {"full_name": "octo/hello"}}))
//!     .call(count_star);
//! assert_eq!(star.outcome, Ok(()));
//! assert_eq!(star.emitted[0].payload, json!({"repository": "octo/hello", "stars": 1}));
//! ```
//!
//! # Saying how it went
//!
//! `Ok(())` commits. [`Failure::retry`] asks to be called again, [`Failure::reject`]
//! says that the event will never work; neither keeps anything of what the call
//! changed. `?` on an error becomes a retry with the error's chain as the reason,
//! see [`Failure`].
//!
//! # Absent, on purpose
//!
//! Clock, random numbers, environment, files and sockets: a handler is a function
//! of its event, its state and its config, and of what it is granted beside them:
//! [`secrets`], and [`http`] requests to named places. The event's id is the
//! idempotency key for anything that leaves the sandbox.
#![warn(missing_docs)]

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod arena;
#[cfg(target_arch = "wasm32")]
mod bindings;
pub mod config;
pub mod emit;
mod event;
#[cfg(target_arch = "wasm32")]
mod export;
mod failure;
mod host;
pub mod http;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
mod names;
mod payload;
pub mod secrets;
pub mod sql;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use emit::{Due, NewEvent, emit, emit_version};
pub use event::{Event, Trace};
pub use failure::Failure;
pub use payload::{Json, Payload, Text};
pub use qx_guest_macros::handler;

/// Everything a handler needs, for `use qx_guest::prelude::*`.
pub mod prelude {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::testing;
    pub use crate::{
        Due, Event, Failure, Json, NewEvent, Payload, Text, Trace, config, emit, emit_version,
        handler, http, log, secrets, sql, state,
    };
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;
}

/// For the code that `#[handler]` writes; nothing here is stable.
/// What a handler with a payload of a type of its own needs of the contract. Its export
/// is `wit-bindgen`'s, from the author's own WIT; see `docs/typed-handlers.md`.
///
/// ```ignore
/// wit_bindgen::generate!({
///     path: ["path/to/qx-guest/wit", "wit"],
///     world: "acme:orders/orders",
///     with: { "qx:events/types@1.0.0": qx_guest::contract::types },
///     generate_all,
/// });
///
/// impl Guest for Orders {
///     fn on_order_placed(order: OrderPlaced, context: Context) -> Result<(), Failure> {
///         qx_guest::contract::answer(|| super::order_placed(&order.customer))
///     }
/// }
/// ```
#[cfg(target_arch = "wasm32")]
pub mod contract {
    pub use crate::bindings::qx::events::types;
    pub use crate::export::answer;
}

#[doc(hidden)]
pub mod __private {
    use crate::{Event, Failure, Payload};

    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings::qx::events::types;
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::serve;
    #[cfg(target_arch = "wasm32")]
    pub use wit_bindgen;

    /// Holds a function against the signature of a handler.
    pub fn check<T: Payload>(_handler: fn(Event<T>) -> Result<(), Failure>) {}
}

/// What `#[handler]` writes calls this crate by its name, in its own tests too.
#[cfg(test)]
extern crate self as qx_guest;
#[cfg(test)]
mod tests;

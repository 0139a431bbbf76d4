//! The host, as the rest of the crate calls it: the component's imports, or a
//! double in a native test. Both sides have the same functions.

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
pub(crate) use component::{
    config_get, emit, log, sql_execute, sql_query, state_delete, state_get, state_set,
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod double;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use double::{
    config_get, emit, log, sql_execute, sql_query, state_delete, state_get, state_set,
};

/// Why the host does not take an event.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The name or the payload is not legal.
    Invalid(String),
    /// The component may not do this.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(dead_code, reason = "nothing is denied in a native test")
    )]
    Denied(String),
    /// A limit was hit.
    Limit(String),
}

//! The host, as the rest of the crate calls it: the component's imports, or a
//! double in a native test. Both sides have the same functions.

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
pub(crate) use component::{
    config_get, emit, http_send, log, secret_get, sql_execute, sql_query, state_delete, state_get,
    state_set,
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod double;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use double::{
    config_get, emit, http_send, log, secret_get, sql_execute, sql_query, state_delete, state_get,
    state_set,
};

/// A request on its way. Shows no header and no body: they may be secrets.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
    pub(crate) timeout: Option<std::time::Duration>,
}

/// What is sent, or was answered.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// UTF-8.
    Text(String),
    /// Anything.
    Bytes(Vec<u8>),
}

/// What a server said.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// Why there is no answer, in the host's words.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(
        dead_code,
        reason = "a test makes those that a handler can do something about"
    )
)]
pub(crate) enum Unanswered {
    Denied(String),
    Invalid(String),
    Limit(String),
    Timeout(String),
    Connect(String),
    Tls(String),
    Protocol(String),
}

/// Why the host does not take an event.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The name or the payload is not legal.
    Invalid(String),
    /// The component may not do this.
    Denied(String),
    /// A limit was hit.
    Limit(String),
}

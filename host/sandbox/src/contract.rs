//! The guest contract as Rust: generated from `wit/1.0.0`, the one source.
//!
//! A later version of the contract is a module beside this one, and the host
//! serves both. Written by hand is only [`Event`], so that an event is lent to the
//! guest and not copied first; a test holds it against the source.

use wasmtime::component::{ComponentType, Lower};

pub(crate) use generated::qx::events::types::Failure;
pub(crate) use generated::qx::events::{config, emit, http, log, secrets, sql, state, types};

/// What a component that takes events through one function exports.
pub(crate) const HANDLER: &str = "qx:events/handler@1.0.0";

/// The function of that interface.
pub(crate) const HANDLE: &str = "handle";

/// The package that belongs to this host, without a version.
pub(crate) const PACKAGE: &str = "qx:events";

/// The versions of it that are served.
pub(crate) const VERSIONS: &[&str] = &["1.0.0"];

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/1.0.0",
        world: "imports",
        imports: {
            default: trappable,
            "qx:events/state@1.0.0.get": async | trappable,
            "qx:events/sql@1.0.0.execute": async | trappable,
            "qx:events/sql@1.0.0.query": async | trappable,
            "qx:events/secrets@1.0.0.get": async | trappable,
            "qx:events/http@1.0.0.send": async | trappable,
        },
    });
}

/// `event` of `qx:events/types@1.0.0`, lent.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct Event<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: u32,
    #[component(name = "occurred-at")]
    pub(crate) occurred_at: &'a str,
    #[component(name = "correlation-id")]
    pub(crate) correlation_id: Option<&'a str>,
    #[component(name = "causation-id")]
    pub(crate) causation_id: Option<&'a str>,
    #[component(name = "tenant-id")]
    pub(crate) tenant_id: Option<&'a str>,
    #[component(name = "actor-id")]
    pub(crate) actor_id: Option<&'a str>,
    pub(crate) payload: &'a str,
    pub(crate) traceparent: Option<&'a str>,
    pub(crate) tracestate: Option<&'a str>,
    pub(crate) attempt: u32,
}

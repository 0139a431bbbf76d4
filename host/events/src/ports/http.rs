//! Requests of a handler to the outside. An adapter is bound to one component and
//! to what it is granted, and holds every request against that.

use async_trait::async_trait;

use crate::trace::TraceContext;

/// One request, as the guest wants it. Has no `Debug`: a header may be a secret.
#[derive(Clone)]
pub struct HttpRequest {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Where to, absolute.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What is sent; may be empty.
    pub body: Vec<u8>,
    /// Everything together takes no longer.
    pub timeout: std::time::Duration,
    /// Largest body of an answer, in bytes.
    pub response_bytes_max: usize,
    /// The context that the request carries, unless the guest set one.
    pub trace: Option<TraceContext>,
}

/// What the server answered. A redirect is an answer like any other.
#[derive(Clone)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Names in lower case, and values; a name may be there several times.
    pub headers: Vec<(String, String)>,
    /// What it sent.
    pub body: Vec<u8>,
}

/// Why there is no answer. The texts are for the guest and the operator; no part of
/// a URL behind its host is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The component has no right to this; says what to grant.
    #[error("denied: {0}")]
    Denied(String),
    /// It is no request that can be sent.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The request or its answer is larger than a limit.
    #[error("too large: {message}")]
    Limit {
        /// The limit's word in metrics.
        word: &'static str,
        /// Which it is, and its value.
        message: String,
    },
    /// There was no whole answer in time.
    #[error("timeout: {0}")]
    Timeout(String),
    /// There is no connection: the name or the server is not there.
    #[error("connect: {0}")]
    Connect(String),
    /// The server is not who it should be, or speaks no TLS.
    #[error("tls: {0}")]
    Tls(String),
    /// What the server says is no HTTP, or it hung up.
    #[error("protocol: {0}")]
    Protocol(String),
}

impl HttpError {
    /// The word for it, in metrics and spans.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Limit { .. } => "too-large",
            Self::Timeout(_) => "timeout",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// Sends requests for one component.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends one request and reads the answer. Ends by itself; a future that is
    /// dropped closes its connection.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

//! Requests to where the component is granted to send them.
//!
//! A request waits for its answer, within the time of the call. A redirect is an
//! answer like any other. What a request changes elsewhere is no part of the commit:
//! when the event is handled again it is sent again, and the event's id is the key by
//! which the server can tell, see [`Request::idempotency_key`].
//!
//! ```
//! use qx_guest::prelude::*;
//!
//! #[handler("order.placed")]
//! fn tell(event: Event<Json>) -> Result<(), Failure> {
//!     http::Request::post("https://hooks.example.com/orders")
//!         .bearer(&secrets::get("hook_token")?)
//!         .idempotency_key(&event.id)
//!         .json(&event.payload)
//!         .send()?
//!         .ensure_ok()?;
//!     Ok(())
//! }
//!
//! let mut host = testing::Host::new()
//!     .with_secret("hook_token", "planted")
//!     .with_reply("POST https://hooks.example.com/orders", testing::Reply::status(204));
//! let told = host.deliver(testing::event("order.placed"), tell);
//! assert_eq!(told.outcome, Ok(()));
//! assert_eq!(told.requests[0].header("authorization"), Some("Bearer planted"));
//! ```

mod error;
mod response;

use std::time::Duration;

use serde::Serialize;

pub use error::Error;
pub use response::Response;

use crate::host;
use crate::host::Sent;

/// Sends a `GET` and reads the answer.
///
/// ```
/// # use qx_guest::prelude::*;
/// # fn f() -> Result<(), Failure> {
/// let rates: Json = http::get("https://rates.example.com/today")?.ensure_ok()?.json()?;
/// # Ok(()) }
/// ```
pub fn get(url: &str) -> Result<Response, Error> {
    Request::get(url).send()
}

/// A request to be sent.
#[derive(Clone)]
#[must_use = "a request that is not sent does nothing"]
pub struct Request {
    sent: Sent,
    wrong: Option<String>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            sent: Sent {
                method: method.to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: None,
                timeout: None,
            },
            wrong: None,
        }
    }

    /// A `GET`.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A `POST`.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// A `PUT`.
    pub fn put(url: &str) -> Self {
        Self::new("PUT", url)
    }

    /// A `PATCH`.
    pub fn patch(url: &str) -> Self {
        Self::new("PATCH", url)
    }

    /// A `DELETE`.
    pub fn delete(url: &str) -> Self {
        Self::new("DELETE", url)
    }

    /// With one more header. Those of the connection are the host's to say.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.sent.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With `authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With `idempotency-key`: the event's id for an effect that must not happen
    /// twice, where the server knows the header.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With a text as its body.
    pub fn text(mut self, body: impl Into<String>) -> Self {
        self.sent.body = Some(host::Body::Text(body.into()));
        self
    }

    /// With bytes as its body.
    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.sent.body = Some(host::Body::Bytes(body.into()));
        self
    }

    /// With JSON as its body, and its `content-type`.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_string(body) {
            Ok(text) => self.header("content-type", "application/json").text(text),
            Err(error) => {
                self.wrong = Some(format!("the body has no form in JSON: {error}"));
                self
            }
        }
    }

    /// Not waiting longer than this. Without it, as long as the call has left, less a
    /// part for the handler's answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.sent.timeout = Some(timeout);
        self
    }

    /// Sends it and reads the answer, whatever its status.
    pub fn send(self) -> Result<Response, Error> {
        let place = error::place(&self.sent.method, &self.sent.url);
        if let Some(why) = self.wrong {
            return Err(Error::Invalid(format!("{place}: {why}")));
        }
        match host::http_send(self.sent) {
            Ok(answer) => Ok(Response::new(answer, place)),
            Err(unanswered) => Err(Error::of(unanswered, &place)),
        }
    }
}

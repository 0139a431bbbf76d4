//! Sends the HTTP requests of handlers, to where their component is granted to send
//! them and nowhere else.
//!
//! The URL is parsed once and what was checked is what is sent; the name is resolved
//! once and the addresses that were checked are those that are connected to. Never:
//! follows a redirect, asks a proxy, unpacks a body, keeps a cookie, or leaves a
//! connection behind a call that is over.

mod client;
mod connect;
mod exchange;
mod headers;
mod plan;
mod resolve;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Client, Outbound};
pub use exchange::{RESPONSE_HEADER_BYTES_MAX, RESPONSE_HEADERS_MAX, too_large};
pub use headers::{REQUEST_HEADER_BYTES_MAX, REQUEST_HEADERS_MAX};
pub use plan::{URL_BYTES_MAX, judge};
pub use resolve::{Resolve, SystemResolver};
pub use tls::TlsError;

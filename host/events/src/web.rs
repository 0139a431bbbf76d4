//! Where a request of a handler may go: rules over an origin and over the address
//! behind it. Pure: nothing is resolved and nothing is connected here.
//!
//! The origin is compared after the URL was read as a browser reads it, so that no
//! notation of a host is another host. The address is judged by the range that it
//! lies in.

mod address;
mod grant;

pub use address::{AddressRange, range_of};
pub use grant::{HostRule, HttpGrant, InvalidGrant, Origin};

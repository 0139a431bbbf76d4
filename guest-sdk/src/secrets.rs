//! Secrets of the operator, by name: only those that the component is granted.
//!
//! A component whose handlers use this is loaded only where the operator grants
//! `secrets`. The host keeps their values out of the component's log and reasons as
//! far as it can; what a handler sends or stores is its own affair.

use std::fmt;

use crate::host;

/// There is no such secret for this component. `?` makes a retry of it, so that the
/// event waits while the operator grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    why: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Error {}

/// The value that counts now: one that was changed is seen without a restart.
///
/// ```
/// # use qx_guest::prelude::*;
/// #[handler("order.placed")]
/// fn sign(event: Event<Json>) -> Result<(), Failure> {
///     let token = secrets::get("github_token")?;
///     assert_eq!(token.len(), 4);
///     Ok(())
/// }
///
/// let mut host = testing::Host::new().with_secret("github_token", "abcd");
/// assert_eq!(host.deliver(testing::event("order.placed"), sign).outcome, Ok(()));
/// ```
pub fn get(name: &str) -> Result<String, Error> {
    host::secret_get(name).map_err(|why| Error { why })
}

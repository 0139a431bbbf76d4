//! One secret of the operator, as whoever hands it to a guest sees it.

use std::sync::Arc;

use async_trait::async_trait;

/// A secret's value, and those it had. An adapter shows none of them by `Debug`.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value that counts now. One that is kept in a file is read again from time
    /// to time; when that fails, the last one counts.
    async fn value(&self) -> Arc<str>;

    /// Every value that a guest may have been given lately, to be kept out of what it
    /// says. Never waits.
    fn known(&self) -> Vec<Arc<str>>;
}

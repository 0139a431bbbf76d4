//! Leases: who may do alone what only one may do at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::fault::Fault;

/// A lease that was taken, and its fencing token.
///
/// The token grows with every taking, and what is written under the fence is
/// written only while the token is the newest: a holder that was stopped past its
/// term changes nothing when it wakes up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Name of the lease.
    pub name: Arc<str>,
    /// Its token.
    pub token: i64,
}

/// A lease as it stands in the table, for who looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// Its name.
    pub name: String,
    /// Who has it.
    pub holder: String,
    /// When its term is over, unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

/// The table `qx_leases`. Terms are measured by the database's clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease: when nobody has it, when its term is over, or from an earlier
    /// taking of the same `holder`, which is fenced off by it. `None`: somebody else
    /// has it.
    async fn take(&self, name: &str, holder: &str, term: Duration) -> Result<Option<Fence>, Fault>;

    /// The term begins anew. `false`: somebody took the lease since. A lease whose
    /// term is over, and that nobody took, is renewed.
    async fn renew(&self, fence: &Fence, term: Duration) -> Result<bool, Fault>;

    /// Gives the lease back, so that the next holder need not wait for its end. What
    /// its holder still writes is refused from here on. Nothing, when it was taken.
    async fn release(&self, fence: &Fence) -> Result<(), Fault>;

    /// The leases whose term is not over.
    async fn held(&self) -> Result<Vec<HeldLease>, Fault>;
}

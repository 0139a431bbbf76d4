//! What a relay is told before it begins. Plain data, checked where it is read.

use std::time::Duration;

/// What becomes of rows while an earlier one is not committed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// They leave. The earlier one leaves when it is committed.
    Eager,
    /// They wait until every transaction is over that may still bring an earlier one:
    /// rows leave in the order of `seq`, whoever commits first.
    Strict,
}

/// Settings of the relay.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Rows of one pass: one round trip. A crash publishes twice as many again at most.
    pub batch: u32,
    /// Longest pause between two polls of a quiet outbox.
    pub poll_max: Duration,
    /// Term of the lease. After a crash the next relay begins this much later, or
    /// up to a third more: that is how often it asks.
    pub lease_term: Duration,
    /// Whether rows wait for earlier ones.
    pub order: RowOrder,
    /// How long published rows are kept.
    pub retention: Duration,
    /// Whether relays of other parts of the outbox publish to the same stream. They may
    /// grow over what it has lost, so that nothing is marked that was answered over a
    /// connection which is gone.
    pub beside_others: bool,
    /// Names this process in the lease.
    pub holder: String,
}

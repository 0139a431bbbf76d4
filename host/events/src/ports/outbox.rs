//! The outbox as the relay sees it.

use std::time::Duration;

use crate::fault::Fault;
use crate::ports::{StoredAt, StreamState};
use crate::row::Row;
use async_trait::async_trait;

/// The right to drain the outbox, for a while.
///
/// `token` grows with every change of hands and every terminal write checks it:
/// a holder that was paused past its term changes nothing when it wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The fencing token.
    pub token: i64,
}

/// A row that the stream has stored, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRow {
    /// The row.
    pub seq: i64,
    /// Where its message is.
    pub stored: StoredAt,
    /// `created_ns` of the stream as it was before the message was sent: one that
    /// was made anew meanwhile is noticed by it. `None` when nobody knows.
    pub stream_created_ns: Option<i64>,
}

/// What became of the rows with a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// Rows that wait from now on like any other.
    pub came: u64,
    /// Until the next one is due; `None` when none is to come.
    pub next: Option<Duration>,
    /// Whether any row is there to be read, of whatever part: who finds none need not ask.
    pub waits: bool,
}

/// A transaction that has written to the outbox, or is about to, and is not over: its
/// rows cannot be seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// What the database calls it; another one when it was prepared for a commit in
    /// two phases.
    pub name: String,
    /// Its number, once it has changed anything; the same for all its life.
    pub number: Option<i64>,
    /// The session that it belongs to; none when it was prepared.
    pub pid: Option<i32>,
}

/// The rows that wait, and who may still bring one that belongs before some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writers {
    /// The highest `seq` of those that wait; `None` when none does.
    pub newest: Option<i64>,
    /// Transactions that are not over, looked for after `newest` was read. Every one
    /// that took a lower `seq` than it is here, or over.
    pub open: Vec<Writer>,
}

/// A [`Writer`] as a person looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWriter {
    /// Its session; none when it was prepared for a commit in two phases.
    pub pid: Option<i32>,
    /// For how long it has been open, in milliseconds. `None`: the database tells it
    /// only to others.
    pub open_ms: Option<u64>,
    /// Who it is: user, application and what it is doing; of a prepared one its name.
    pub who: String,
}

/// What an operator asks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxStatus {
    /// Rows that were not published and may be, those included that are due later.
    pub pending: u64,
    /// Those of them that are due later.
    pub delayed: u64,
    /// For how long the oldest of the others has waited, in milliseconds; 0 when none
    /// does. One that came due has waited since then.
    pub oldest_pending_ms: u64,
    /// Rows that were published and are still kept.
    pub published: u64,
    /// Rows that were set aside because they can never be published.
    pub failed: u64,
}

/// The table `qx_outbox_events`.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes or renews the lease for `holder`. `None`: somebody else has it. The
    /// term is measured by the database's clock.
    async fn lease(&self, holder: &str, term: Duration) -> Result<Option<Lease>, Fault>;

    /// Gives the lease back, so that the next holder need not wait for its end.
    async fn release(&self, lease: Lease) -> Result<(), Fault>;

    /// The oldest rows that wait and are not due later, at most `limit`, in order of `seq`. Opens no
    /// transaction that stays open, and takes no lock.
    async fn pending(&self, limit: u32) -> Result<Vec<Row>, Fault> {
        self.pending_to(i64::MAX, limit).await
    }

    /// The same, but none with a higher `seq` than `last`.
    async fn pending_to(&self, last: i64, limit: u32) -> Result<Vec<Row>, Fault>;

    /// Who may still bring a row that belongs before those that wait. Takes no lock.
    async fn writers(&self) -> Result<Writers, Fault>;

    /// The transaction among them that has been open for longest, for who looks for
    /// what holds the relay back.
    async fn oldest_writer(&self) -> Result<Option<OpenWriter>, Fault>;

    /// The oldest rows that wait, without those that the caller has in hand, whatever has
    /// become of them meanwhile. `in_hand` is sorted.
    async fn pending_beside(&self, in_hand: &[i64], limit: u32) -> Result<Vec<Row>, Fault> {
        let beside = u32::try_from(in_hand.len()).unwrap_or(u32::MAX);
        let mut rows = self.pending(limit.saturating_add(beside)).await?;
        rows.retain(|row| in_hand.binary_search(&row.seq).is_err());
        rows.truncate(limit as usize);
        Ok(rows)
    }

    /// Marks rows published. Rows that are marked already stay as they are.
    /// `false`: the lease has changed hands, and nothing was written.
    async fn mark_published(&self, lease: Lease, rows: &[PublishedRow]) -> Result<bool, Fault>;

    /// Puts rows whose due time has come behind those that wait, the earliest first,
    /// at most `limit`. `None`: the lease has changed hands, and nothing was written.
    /// Cheap when none is due, however many are to come.
    async fn come_due(&self, lease: Lease, limit: u32) -> Result<Option<Due>, Fault>;

    /// Makes published rows wait again whose message the stream has lost, by
    /// [`StreamState::lost`], at most `limit`; returns how many. Fewer than `limit`:
    /// there are no more. `None`: the lease has changed hands, and nothing was
    /// written. Cheap when nothing is lost, however many rows are kept.
    async fn forget_lost(
        &self,
        lease: Lease,
        stream: &StreamState,
        limit: u32,
    ) -> Result<Option<u64>, Fault>;

    /// Sets a row aside with the reason: it is never read again, and visible as
    /// failed. `false` as above.
    async fn set_aside(&self, lease: Lease, seq: i64, reason: &str) -> Result<bool, Fault>;

    /// Deletes rows that were published longer than `retention` ago, at most
    /// `limit`; returns how many.
    async fn clean_up(&self, retention: Duration, limit: u32) -> Result<u64, Fault>;

    /// The newest rows, whatever became of them, at most `limit` and none with a body of
    /// more than `body_bytes_max`; the newest first. For whoever wants to know what
    /// events look like; cheap, however many rows there are.
    async fn newest(&self, limit: u32, body_bytes_max: u32) -> Result<Vec<Row>, Fault>;

    /// Counts.
    async fn status(&self) -> Result<OutboxStatus, Fault>;
}

//! What the relay has in hand between two passes: rows that are published and not
//! marked yet, and those that were read meanwhile. So the database marks one batch and
//! reads another while the stream takes a third.
//!
//! Nothing of it is anywhere else: dropped, the rows are read and published again, under
//! the same message ids.

use qx_events::ports::Lease;
use qx_events::{Fault, Row};
use tokio::time::Instant;

use super::sort::Sorted;
use super::{Held, Relay, RowOrder};

/// Between two passes.
#[derive(Default)]
pub(super) struct Ahead {
    unmarked: Option<Unmarked>,
    /// Not empty only while something is unmarked.
    rows: Vec<Row>,
}

/// A batch that the stream has answered for.
pub(super) struct Unmarked {
    pub(super) sorted: Sorted,
    /// When it was read.
    pub(super) begun: Instant,
}

impl Unmarked {
    fn seqs(&self) -> impl Iterator<Item = i64> {
        let stored = self.sorted.stored.iter().map(|row| row.seq);
        stored.chain(self.sorted.aside.iter().map(|row| row.seq))
    }
}

impl Ahead {
    /// This batch is to be marked while the next, which is here, is published.
    pub(super) fn keep(&mut self, unmarked: Unmarked, rows: Vec<Row>) {
        *self = Self {
            unmarked: Some(unmarked),
            rows,
        };
    }

    pub(super) fn unmarked(&mut self) -> Option<Unmarked> {
        self.unmarked.take()
    }

    pub(super) fn rows(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }
}

impl Relay {
    /// Marks what is not marked yet, and forgets what was read: before the stream is
    /// looked at, so that what it has lost of this batch is found as well. `false`: the
    /// lease has changed hands.
    pub(super) async fn catch_up(
        &self,
        lease: Lease,
        held: &mut Option<Held>,
        ahead: &mut Ahead,
    ) -> Result<bool, Fault> {
        drop(ahead.rows());
        let unmarked = ahead.unmarked();
        if !self.mark(lease, unmarked.as_ref()).await? {
            self.deposed(held);
            return Ok(false);
        }
        if let Some(unmarked) = unmarked {
            self.report(&unmarked.sorted, unmarked.begun);
        }
        Ok(true)
    }

    /// The rows behind a full batch that is being published, and behind the one before
    /// it that is being marked. In strict order, and beside the relays of other parts, rows
    /// are read one batch at a time.
    pub(super) async fn read_ahead(
        &self,
        rows: &[Row],
        before: Option<&Unmarked>,
    ) -> Result<Vec<Row>, Fault> {
        let alone = self.config.order == RowOrder::Eager && !self.config.beside_others;
        if rows.len() < self.config.batch as usize || !alone {
            return Ok(Vec::new());
        }
        let before = before.into_iter().flat_map(Unmarked::seqs);
        let mut in_hand: Vec<i64> = rows.iter().map(|row| row.seq).chain(before).collect();
        in_hand.sort_unstable();
        self.outbox
            .pending_beside(&in_hand, self.config.batch)
            .await
    }
}

//! What the relay has in hand between two passes: rows that are published and not
//! marked yet, and those that were read meanwhile and are messages already. So the
//! database marks one batch and reads another while the stream takes a third, and
//! none of them waits for the slowest at every turn.
//!
//! Nothing of it is anywhere else: dropped, the rows are read and published again, under
//! the same message ids.

use std::sync::Arc;

use qx_events::Fault;
use qx_events::ports::Lease;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch::{Batch, Sorted};
use super::marking::Marking;
use super::{Held, Relay, RowOrder};

/// Between two passes.
#[derive(Default)]
pub(super) struct Ahead {
    /// On its way to the database.
    pub(super) marking: Option<Marking>,
    /// Published after that.
    pub(super) unmarked: Option<Unmarked>,
    /// Not empty only while something is unmarked.
    next: Batch,
    /// The lease under which it was published and read.
    under: Option<Lease>,
}

/// A batch that the stream has answered for.
pub(super) struct Unmarked {
    pub(super) sorted: Sorted,
    /// When it was read.
    pub(super) begun: Instant,
}

impl Unmarked {
    pub(super) fn seqs(&self) -> impl Iterator<Item = i64> {
        let stored = self.sorted.stored.iter().map(|row| row.seq);
        stored.chain(self.sorted.aside.iter().map(|row| row.seq))
    }

    /// Nothing became of any of its rows.
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.stored.is_empty() && self.sorted.aside.is_empty()
    }
}

impl Ahead {
    /// What is from under another lease is dropped: who had charge meanwhile may have found
    /// that the stream lost it, and it would be marked as if it were there.
    pub(super) fn hold_under(&mut self, lease: Lease) {
        if self.under != Some(lease) {
            *self = Self {
                under: Some(lease),
                ..Self::default()
            };
        }
    }

    /// This batch is to be marked while the next, which is here, is published.
    pub(super) fn keep(&mut self, unmarked: Unmarked, next: Batch) {
        self.unmarked = Some(unmarked);
        self.next = next;
    }

    pub(super) fn next(&mut self) -> Batch {
        std::mem::take(&mut self.next)
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
        drop(ahead.next());
        let is_marked = self.mark_all(lease, ahead).await?;
        if !is_marked {
            self.deposed(held);
        }
        Ok(is_marked)
    }

    /// The rows that are in hand while a full batch is published and those before it are
    /// marked: those behind them are read meanwhile. In strict order, and beside the relays
    /// of other parts, rows are read one batch at a time: `None`.
    pub(super) fn in_hand(&self, batch: &Batch, ahead: &Ahead) -> Option<Vec<i64>> {
        let alone = self.config.order == RowOrder::Eager && !self.config.beside_others;
        if batch.len() < self.config.batch as usize || !alone {
            return None;
        }
        let marking = ahead.marking.iter().flat_map(Marking::seqs);
        let unmarked = ahead.unmarked.iter().flat_map(Unmarked::seqs);
        let mut in_hand: Vec<i64> = batch.seqs().chain(marking).chain(unmarked).collect();
        in_hand.sort_unstable();
        Some(in_hand)
    }

    /// Reads what is behind these rows. On a task of its own: it makes messages of them
    /// while another thread sends and hears of those before.
    pub(super) async fn read_ahead(&self, in_hand: Option<Vec<i64>>) -> Result<Batch, Fault> {
        let Some(in_hand) = in_hand else {
            return Ok(Batch::default());
        };
        let (outbox, limit) = (Arc::clone(&self.outbox), self.config.batch);
        let mut reading = JoinSet::new(); // Ends it, when nobody waits for it.
        reading.spawn(async move {
            let rows = outbox.pending_beside(&in_hand, limit).await?;
            Ok(Batch::of(rows))
        });
        match reading.join_next().await {
            Some(Ok(read)) => read,
            Some(Err(error)) => Err(Fault::transient("read rows ahead", error)),
            None => Ok(Batch::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_under_one_lease_is_not_marked_under_another() {
        let mut ahead = Ahead::default();
        ahead.hold_under(Lease { token: 1 });
        let unmarked = Unmarked {
            sorted: Sorted::default(),
            begun: Instant::now(),
        };
        ahead.keep(unmarked, Batch::default());
        ahead.hold_under(Lease { token: 1 });
        assert!(ahead.unmarked.is_some());
        ahead.hold_under(Lease { token: 2 });
        assert!(ahead.unmarked.is_none());
    }
}

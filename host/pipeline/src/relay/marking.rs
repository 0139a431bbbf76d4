//! Writes what became of rows: one batch after the other, on a task of its own, so that
//! a busy relay publishes the next ones meanwhile.
//!
//! Never more than one at once, and in the order in which they were published. What is
//! dropped before it is written goes out again.

use std::sync::Arc;

use qx_events::Fault;
use qx_events::ports::{Lease, Outbox};
use tokio::task::JoinSet;

use super::Relay;
use super::ahead::{Ahead, Unmarked};
use crate::witness::{Sight, Witness};

/// A batch on its way to the database.
pub(super) struct Marking {
    batch: Arc<Unmarked>,
    /// Ends it, when nobody waits for it.
    work: JoinSet<Result<bool, Fault>>,
}

impl Marking {
    /// Where its rows are in the outbox.
    pub(super) fn seqs(&self) -> impl Iterator<Item = i64> {
        self.batch.seqs()
    }
}

impl Relay {
    /// Has the batch marked that waits for it, once the one before it is. `false`: the
    /// lease has changed hands.
    pub(super) async fn mark_next(&self, lease: Lease, ahead: &mut Ahead) -> Result<bool, Fault> {
        if !self.marked(&mut ahead.marking).await? {
            return Ok(false);
        }
        ahead.marking = ahead.unmarked.take().map(|unmarked| {
            let batch = Arc::new(unmarked);
            let (outbox, witness) = (Arc::clone(&self.outbox), Arc::clone(&self.witness));
            let (mut work, own) = (JoinSet::new(), Arc::clone(&batch));
            work.spawn(async move { mark(&*outbox, &*witness, lease, &own).await });
            Marking { batch, work }
        });
        Ok(true)
    }

    /// Marks everything that is published and not marked yet.
    pub(super) async fn mark_all(&self, lease: Lease, ahead: &mut Ahead) -> Result<bool, Fault> {
        Ok(self.mark_next(lease, ahead).await? && self.marked(&mut ahead.marking).await?)
    }

    /// Waits for a batch that is on its way.
    async fn marked(&self, marking: &mut Option<Marking>) -> Result<bool, Fault> {
        let Some(under_way) = marking else {
            return Ok(true);
        };
        let answer = under_way.work.join_next().await;
        let done = marking.take();
        let is_marked = match answer {
            Some(Ok(is_marked)) => is_marked?,
            Some(Err(error)) => return Err(Fault::transient("mark rows published", error)),
            None => true,
        };
        if let Some(done) = done.filter(|_| is_marked) {
            self.report(&done.batch.sorted, done.batch.begun);
        }
        Ok(is_marked)
    }
}

/// `false`: the lease has changed hands.
async fn mark(
    outbox: &dyn Outbox,
    witness: &dyn Witness,
    lease: Lease,
    batch: &Unmarked,
) -> Result<bool, Fault> {
    let sorted = &batch.sorted;
    if !sorted.stored.is_empty() && !outbox.mark_published(lease, &sorted.stored).await? {
        return Ok(false);
    }
    for row in &sorted.aside {
        if !outbox.set_aside(lease, row.seq, &row.reason).await? {
            return Ok(false);
        }
        let (event_name, reason) = (row.event_name.as_str(), row.reason.as_str());
        witness.saw(&Sight::SetAside {
            event_name,
            seq: row.seq,
            reason,
        });
    }
    Ok(true)
}

//! Group commit for notes: attempts that begin or end close together are written
//! down in one statement. Off the way of an event whose first call succeeds.

use std::sync::Arc;

use qx_events::Fault;
use qx_events::ports::{Ledger, Note};
use tokio::sync::{mpsc, oneshot};

/// Notes that may wait for the next group. More callers wait themselves.
const QUEUE_MAX: usize = 1_024;
/// Notes in one statement: as many as settlements in one transaction.
const GROUP_MAX: usize = 256;

struct Ask {
    note: Note,
    reply: oneshot::Sender<Result<(), Arc<Fault>>>,
}

/// Hands notes to the loop.
#[derive(Clone)]
pub(crate) struct Notes {
    asks: mpsc::Sender<Ask>,
}

/// The loop. Ends when nobody can ask any more.
pub(crate) struct NoteCommit {
    ledger: Arc<dyn Ledger>,
    asks: mpsc::Receiver<Ask>,
}

impl Notes {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> (Self, NoteCommit) {
        let (sender, asks) = mpsc::channel(QUEUE_MAX);
        (Self { asks: sender }, NoteCommit { ledger, asks })
    }

    /// Returns when it is written down. A transient fault means that it may be or
    /// not: write it again.
    pub(crate) async fn note(&self, note: Note) -> Result<(), Arc<Fault>> {
        let (reply, answer) = oneshot::channel();
        let gone = || Arc::new(Fault::transient("note an attempt", "the host is stopping"));
        let asked = self.asks.send(Ask { note, reply }).await;
        asked.map_err(|_unsent| gone())?;
        answer.await.map_err(|_dropped| gone())?
    }
}

impl NoteCommit {
    pub(crate) async fn run(mut self) {
        let mut asks = Vec::with_capacity(GROUP_MAX);
        while self.asks.recv_many(&mut asks, GROUP_MAX).await > 0 {
            let (notes, replies): (Vec<_>, Vec<_>) =
                asks.drain(..).map(|ask| (ask.note, ask.reply)).unzip();
            let answer = self.ledger.note(&notes).await.map_err(Arc::new);
            for reply in replies {
                // The one who asked may have been cancelled; the note stands.
                drop(reply.send(answer.clone()));
            }
        }
    }
}

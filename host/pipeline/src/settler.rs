//! Group commit: deliveries that finish close together share one transaction.
//!
//! While one group is being committed the next one gathers, so a quiet host
//! commits at once and a busy one commits in large groups, with no timer. A
//! settlement that the database refuses does not fail its group.

use std::sync::Arc;

use qx_events::Fault;
use qx_events::ports::{Ledger, Note, Settled, Settlement};
use tokio::sync::{mpsc, oneshot};

use crate::notes::{NoteCommit, Notes};

/// Settlements that may wait for the next group. More callers wait themselves.
const QUEUE_MAX: usize = 1_024;
/// Settlements in one transaction: enough that the cost of the commit is shared,
/// few enough that its locks are short.
const GROUP_MAX: usize = 256;

struct Ask {
    settlement: Settlement,
    reply: oneshot::Sender<Result<Settled, Arc<Fault>>>,
}

/// Hands settlements, and notes of attempts, to the group commit.
#[derive(Clone)]
pub struct Settler {
    asks: mpsc::Sender<Ask>,
    notes: Notes,
}

/// The loop behind a [`Settler`]. Ends when the last settler is gone.
pub struct GroupCommit {
    ledger: Arc<dyn Ledger>,
    asks: mpsc::Receiver<Ask>,
    notes: NoteCommit,
}

impl Settler {
    /// A settler and its loop, which somebody has to run.
    pub fn new(ledger: Arc<dyn Ledger>) -> (Self, GroupCommit) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let (notes, note_commit) = Notes::new(Arc::clone(&ledger));
        let settler = Self {
            asks: sender,
            notes,
        };
        (
            settler,
            GroupCommit {
                ledger,
                asks: receiver,
                notes: note_commit,
            },
        )
    }

    /// Writes down what is to be remembered of an attempt, with others. A transient
    /// fault means that it may be written or not: ask again with the same note.
    pub async fn note(&self, note: Note) -> Result<(), Arc<Fault>> {
        self.notes.note(note).await
    }

    /// Commits, with others. A transient fault means that the outcome is unknown:
    /// ask again with the same settlement, the inbox tells whether it was done.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, Arc<Fault>> {
        let (reply, answer) = oneshot::channel();
        let gone = || {
            Arc::new(Fault::transient(
                "settle: the host is stopping",
                "group commit ended",
            ))
        };
        self.asks
            .send(Ask { settlement, reply })
            .await
            .map_err(|_unsent| gone())?;
        answer.await.map_err(|_dropped| gone())?
    }
}

impl GroupCommit {
    /// Commits groups until nobody can ask any more.
    pub async fn run(self) {
        let Self {
            ledger,
            asks,
            notes,
        } = self;
        let settlements = Settlements { ledger, asks };
        futures::join!(settlements.run(), notes.run());
    }
}

/// The settlements' part of the loop.
struct Settlements {
    ledger: Arc<dyn Ledger>,
    asks: mpsc::Receiver<Ask>,
}

impl Settlements {
    async fn run(mut self) {
        let mut asks = Vec::with_capacity(GROUP_MAX);
        while self.asks.recv_many(&mut asks, GROUP_MAX).await > 0 {
            let (group, replies): (Vec<_>, Vec<_>) = asks
                .drain(..)
                .map(|ask| (ask.settlement, ask.reply))
                .unzip();
            let answers = self.commit(&group).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // The one who asked may have been cancelled; the commit stands.
                drop(reply.send(answer));
            }
        }
    }

    async fn commit(&self, group: &[Settlement]) -> Vec<Result<Settled, Arc<Fault>>> {
        match self.ledger.settle(group).await {
            Ok(settled) => settled.into_iter().map(Ok).collect(),
            Err(fault) if fault.is_transient() || group.len() == 1 => {
                let fault = Arc::new(fault);
                group.iter().map(|_| Err(Arc::clone(&fault))).collect()
            }
            Err(_) => self.commit_singly(group).await,
        }
    }

    /// One of the group is refused for good: find it, and let the others through.
    async fn commit_singly(&self, group: &[Settlement]) -> Vec<Result<Settled, Arc<Fault>>> {
        let mut answers = Vec::with_capacity(group.len());
        for settlement in group {
            let answer = self.ledger.settle(std::slice::from_ref(settlement)).await;
            let first = answer.map(|settled| settled.into_iter().next());
            answers.push(match first {
                Ok(Some(settled)) => Ok(settled),
                Ok(None) => Err(Arc::new(Fault::refusal("the ledger gave no answer"))),
                Err(fault) => Err(Arc::new(fault)),
            });
        }
        answers
    }
}

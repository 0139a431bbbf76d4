//! Group commit: deliveries that finish close together share one transaction.
//!
//! While one group is being committed the next one gathers, so a quiet host
//! commits at once and a busy one commits in large groups, with no timer. A large
//! group does not wait for the disk that has the one before, where the ledger can
//! commit side by side. A settlement that the database refuses does not fail its group.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use qx_events::Fault;
use qx_events::ports::{Ledger, Note, Settled, Settlement};
use tokio::sync::{mpsc, oneshot};

use crate::notes::{NoteCommit, Notes};

/// Settlements that may wait for the next group. More callers wait themselves.
const QUEUE_MAX: usize = 1_024;
/// Settlements in one transaction: enough that the cost of the commit is shared,
/// few enough that its locks are short.
const GROUP_MAX: usize = 512;
/// A group that is committed beside another has at least so many settlements: a
/// smaller one had better grow.
const BESIDE_MIN: usize = 256;

struct Ask {
    settlement: Settlement,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Settled, Unsettled>;

/// Not settled, as far as is known.
#[derive(Debug)]
pub enum Unsettled {
    /// The ledger said so. The settlement comes back, to be asked for again. If the
    /// fault is transient it may be committed all the same: the inbox tells.
    Fault(Arc<Fault>, Box<Settlement>),
    /// The host is stopping.
    Stopping,
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

    /// Commits, with others.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, Unsettled> {
        let (reply, answer) = oneshot::channel();
        let asked = self.asks.send(Ask { settlement, reply }).await;
        asked.map_err(|_unsent| Unsettled::Stopping)?;
        answer.await.map_err(|_dropped| Unsettled::Stopping)?
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

/// What woke the loop.
enum Wake {
    /// So many asks have come.
    Asked(usize),
    Committed,
}

impl Settlements {
    async fn run(mut self) {
        let most = self.ledger.commits_at_once().max(1);
        let mut asks = Vec::with_capacity(GROUP_MAX);
        let mut committing = FuturesUnordered::<BoxFuture<'static, ()>>::new();
        loop {
            let room = GROUP_MAX - asks.len();
            let wake = tokio::select! {
                biased; // Who waits for an answer comes before who asks.
                Some(()) = committing.next() => Wake::Committed,
                came = self.asks.recv_many(&mut asks, room), if room > 0 => Wake::Asked(came),
            };
            let closed = matches!(wake, Wake::Asked(0));
            if closed && asks.is_empty() {
                break;
            }
            let begins = match committing.len() {
                0 => !asks.is_empty(),
                some => some < most && asks.len() >= BESIDE_MIN,
            };
            if begins {
                let group = std::mem::replace(&mut asks, Vec::with_capacity(GROUP_MAX));
                committing.push(commit(Arc::clone(&self.ledger), group).boxed());
            }
            if closed && committing.next().await.is_none() {
                break;
            }
        }
        while let Some(()) = committing.next().await {}
    }
}

/// Commits a group, and answers each.
async fn commit(ledger: Arc<dyn Ledger>, group: Vec<Ask>) {
    let (group, replies): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|ask| (ask.settlement, ask.reply))
        .unzip();
    let answers = settle(&*ledger, &group).await;
    for ((settlement, reply), answer) in group.into_iter().zip(replies).zip(answers) {
        let answer = answer.map_err(|fault| Unsettled::Fault(fault, Box::new(settlement)));
        // The one who asked may have been cancelled; the commit stands.
        drop(reply.send(answer));
    }
}

async fn settle(ledger: &dyn Ledger, group: &[Settlement]) -> Vec<Result<Settled, Arc<Fault>>> {
    match ledger.settle(group).await {
        Ok(settled) => settled.into_iter().map(Ok).collect(),
        Err(fault) if fault.is_transient() || group.len() == 1 => {
            let fault = Arc::new(fault);
            group.iter().map(|_| Err(Arc::clone(&fault))).collect()
        }
        Err(_) => settle_singly(ledger, group).await,
    }
}

/// One of the group is refused for good: find it, and let the others through.
async fn settle_singly(
    ledger: &dyn Ledger,
    group: &[Settlement],
) -> Vec<Result<Settled, Arc<Fault>>> {
    let mut answers = Vec::with_capacity(group.len());
    for settlement in group {
        let answer = ledger.settle(std::slice::from_ref(settlement)).await;
        let first = answer.map(|settled| settled.into_iter().next());
        answers.push(match first {
            Ok(Some(settled)) => Ok(settled),
            Ok(None) => Err(Arc::new(Fault::refusal("the ledger gave no answer"))),
            Err(fault) => Err(Arc::new(fault)),
        });
    }
    answers
}

//! Reads of state that come close together share one way to the database, as
//! commits do: while one question is on its way the next gathers. A quiet host
//! asks at once, a busy one asks for many, with no timer and no task of its own.
//!
//! Whoever comes first asks for all that wait, and hands over to the next. One
//! that is dropped meanwhile hands over too; those it asked for ask themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qx_events::Fault;
use qx_events::ports::{Ledger, StateAt, StateValue};
use tokio::sync::oneshot;

/// Keys of one question: as many as calls can run at once on most hosts.
const KEYS_MAX: usize = 256;

/// Reads state, with others.
pub(crate) struct Reads {
    ledger: Arc<dyn Ledger>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Somebody asks, or is told to.
    led: bool,
    waiting: Vec<Waiting>,
}

struct Waiting {
    at: StateAt,
    reply: oneshot::Sender<Reply>,
}

/// What one who waited is told.
enum Reply {
    Read(Option<StateValue>),
    /// It is its turn to ask.
    Lead,
}

impl Reads {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            queue: Mutex::default(),
        }
    }

    /// The committed value at a place.
    pub(crate) async fn read(&self, at: StateAt) -> Result<Option<StateValue>, Fault> {
        let Some(answer) = self.wait_behind(&at) else {
            return self.lead(at).await;
        };
        match answer.await {
            Ok(Reply::Read(value)) => Ok(value),
            Ok(Reply::Lead) => self.lead(at).await,
            // Who asked was dropped, or got no answer: the fault may be its own.
            Err(_dropped) => {
                let StateAt {
                    component,
                    tenant_id,
                    key,
                } = &at;
                self.ledger.read_state(component, *tenant_id, key).await
            }
        }
    }

    /// Queues behind who asks at present; `None`: nobody does.
    fn wait_behind(&self, at: &StateAt) -> Option<oneshot::Receiver<Reply>> {
        let mut queue = self.queue();
        if !queue.led {
            queue.led = true;
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let at = at.clone();
        queue.waiting.push(Waiting { at, reply });
        Some(answer)
    }

    /// Asks for itself and for those that wait.
    async fn lead(&self, own: StateAt) -> Result<Option<StateValue>, Fault> {
        let _turn = Turn { reads: self };
        let others: Vec<Waiting> = {
            let mut queue = self.queue();
            let count = queue.waiting.len().min(KEYS_MAX - 1);
            queue.waiting.drain(..count).collect()
        };
        let (places, replies): (Vec<StateAt>, Vec<_>) =
            others.into_iter().map(|one| (one.at, one.reply)).unzip();
        let all: Vec<StateAt> = std::iter::once(own).chain(places).collect();
        let mut values = self.ledger.read_states(&all).await?.into_iter();
        let own = values.next();
        for (reply, value) in replies.into_iter().zip(values) {
            // The one who waited may have been cancelled.
            drop(reply.send(Reply::Read(value)));
        }
        own.ok_or_else(|| Fault::refusal("the ledger gave no answer"))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to ask. Handed over when it ends, however it ends.
struct Turn<'a> {
    reads: &'a Reads,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.reads.queue();
        while !queue.waiting.is_empty() {
            let next = queue.waiting.remove(0);
            if next.reply.send(Reply::Lead).is_ok() {
                return; // `led` stays: it leads now.
            }
        }
        queue.led = false;
    }
}

#[cfg(test)]
mod tests;

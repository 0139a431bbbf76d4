//! One run of a message in hand, under the fence of the lease.

use std::sync::Arc;
use std::time::Duration;

use qx_events::Envelope;
use qx_events::ports::Fence;

use super::arrivals::Held;
use crate::consumer::Consumer;
use crate::consumer::deliver::{Given, Reply};

/// How a run ended, for the lane.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// It is settled: the next one may run.
    Over,
    /// Its next run is due after this pause. It stays in hand, and its followers
    /// behind it.
    Again(Duration),
    /// Somebody else has the lease: nothing of it was written.
    Fenced,
    /// Nobody knows: the host is stopping, or the run fell over.
    Silent,
}

impl Consumer {
    /// Runs it, and tells the stream of its end beside: what follows need not wait for
    /// that, the ledger has it.
    pub(super) async fn run_held(&self, held: &Held, fence: Fence) -> Ended {
        let delivery = held.delivery();
        let (envelope, known) = match &held.envelope {
            None => (
                Envelope::of_message(&delivery.body, &delivery.headers).map(Arc::new),
                None,
            ),
            Some(envelope) => {
                let known = if held.runs() {
                    let ids = [envelope.event_id];
                    let Some(known) = self.known_of(&ids).await else {
                        return Ended::Silent;
                    };
                    known.get(&envelope.event_id).copied()
                } else {
                    held.known
                };
                (Ok(Arc::clone(envelope)), known)
            }
        };
        let given = Given {
            known,
            // Not the stream's count: it grows with what was handed back, uncalled.
            delivered: 1,
            care: held.care,
            fence: Some(&fence),
            place: None,
        };
        match self.work(&delivery, envelope, given).await {
            Reply::Nak(after) => Ended::Again(after),
            Reply::Fenced => Ended::Fenced,
            Reply::Silence => Ended::Silent,
            reply @ (Reply::Ack | Reply::Term(_)) => {
                // It may have been delivered once more meanwhile: the newest is told.
                let delivery = held.delivery();
                self.deliveries.spawn(async move {
                    reply.send(&*delivery.receipt).await;
                });
                Ended::Over
            }
        }
    }
}

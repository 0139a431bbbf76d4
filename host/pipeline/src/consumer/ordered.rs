//! Consumes one component's messages in the order of their keys: one host at a
//! time, by a lease, while the others stand by.
//!
//! Whoever takes the lease resumes the durable consumer, so that everything that is
//! not settled comes again in the order of the stream, and works under the lease's
//! fence: what its predecessor still had in hand commits nothing. In any doubt
//! whether something is missing it does the same again; the ledger knows what was
//! handled. Never: a wait for messages that a dead host had in hand.

mod arrivals;
mod run;
mod session;

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::Fence;
use qx_events::{Fault, KeyField};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Consumer;
use crate::backoff::Backoff;
use crate::witness::Sight;
use session::{End, Session};

/// Longest pause between two looks whether the lease can be taken: a dead host is
/// succeeded so long after the end of its term.
const STAND_BY_MAX: Duration = Duration::from_secs(1);

/// Patience with the database when the lease is given back. Without it the next
/// host waits for the end of the term, no more.
const RELEASE_TIME_MAX: Duration = Duration::from_millis(500);

/// How a component is consumed whose events follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// What is an event's key.
    pub key: KeyField,
    /// Names this process in the lease.
    pub holder: String,
    /// Term of the lease: a host that was stopped for longer is succeeded.
    pub term: Duration,
    /// Messages that are kept in hand, at most. What follows a key that stands still
    /// is handed back for others, and does not count.
    pub in_hand_max: usize,
}

/// The lease under which a component is consumed in order is called by this and the
/// component's name.
pub const LEASE_PREFIX: &str = "order:";

impl Consumer {
    /// Consumes in order until `stop`.
    pub(super) async fn run_in_order(self: &Arc<Self>, ordered: Ordered, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let pause = tokio::select! {
                biased; // Stop wins over a lease that is free.
                () = stop.cancelled() => return,
                taken = self.lease(&ordered) => match taken {
                    Ok(Some(fence)) => {
                        self.in_charge(true);
                        let session = Session::new(self, &ordered, fence.clone());
                        let end = session.run(&stop, &mut backoff).await;
                        self.in_charge(false);
                        self.after(end, &fence, &mut backoff).await
                    }
                    Ok(None) => Some((ordered.term / 4).min(STAND_BY_MAX)),
                    Err(fault) => Some(self.held_up(&fault, &mut backoff)),
                },
            };
            let Some(pause) = pause else {
                return;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes the lease; when this process had it, from itself.
    async fn lease(&self, ordered: &Ordered) -> Result<Option<Fence>, Fault> {
        self.dispatcher.mediator().in_service(self.name()).await;
        let leases = &self.dispatcher.services().leases;
        let name = format!("{LEASE_PREFIX}{}", self.name());
        leases.take(&name, &ordered.holder, ordered.term).await
    }

    /// What follows the end of a session: a pause, or nothing more.
    async fn after(&self, end: End, fence: &Fence, backoff: &mut Backoff) -> Option<Duration> {
        match end {
            End::Stopped => {
                self.release(fence).await;
                None
            }
            End::Lost => Some(Duration::ZERO),
            End::Doubt(why) => {
                let fault = Fault::transient("be sure of the order", why);
                Some(self.held_up(&fault, backoff))
            }
            End::Fault(fault) => {
                // Another host may reach what this one does not.
                self.release(fence).await;
                Some(self.held_up(&fault, backoff))
            }
        }
    }

    async fn release(&self, fence: &Fence) {
        let leases = &self.dispatcher.services().leases;
        // Its term ends by itself.
        drop(timeout(RELEASE_TIME_MAX, leases.release(fence)).await);
    }

    fn held_up(&self, fault: &Fault, backoff: &mut Backoff) -> Duration {
        let component = self.name();
        self.saw(&Sight::Held { component, fault });
        backoff.pause()
    }

    fn in_charge(&self, here: bool) {
        let component = self.name();
        self.saw(&Sight::InCharge { component, here });
    }
}

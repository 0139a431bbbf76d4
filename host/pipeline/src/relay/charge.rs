//! Being in charge of the outbox: the lease is taken, renewed while something takes
//! long, and noticed when it is lost. By the clock of this process it never lasts longer
//! than by the database's.

use std::convert::Infallible;

use qx_events::Fault;
use qx_events::ports::Lease;
use tokio::time::Instant;

use super::Relay;
use crate::backoff::Backoff;
use crate::witness::Sight;

/// A lease, and until when it may be relied on without asking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) renew_at: Instant,
    ends_at: Instant,
}

impl Relay {
    /// Another relay has the lease.
    pub(super) fn deposed(&self, held: &mut Option<Held>) {
        if held.take().is_some() {
            self.witness.saw(&Sight::RelayLeads(false));
        }
    }

    /// The lease: held, renewed or taken. `None`: another relay has it.
    pub(super) async fn lead(&self, held: &mut Option<Held>) -> Result<Option<Lease>, Fault> {
        let asked_at = Instant::now();
        if let Some(held) = held
            && asked_at < held.renew_at
        {
            return Ok(Some(held.lease));
        }
        let term = self.config.lease_term;
        let asked = self.outbox.lease(&self.config.holder, term).await;
        let next = match asked {
            Ok(lease) => lease.map(|lease| Held {
                lease,
                // Counted from before the request, so that we never believe longer than
                // the database does.
                renew_at: asked_at + term / 3,
                ends_at: asked_at + term,
            }),
            Err(fault) => {
                if held.is_some_and(|held| held.ends_at <= Instant::now()) {
                    *held = None;
                    self.witness.saw(&Sight::RelayLeads(false));
                }
                return Err(fault);
            }
        };
        if next.is_some() != held.is_some() {
            self.witness.saw(&Sight::RelayLeads(next.is_some()));
        }
        *held = next;
        Ok(next.map(|held| held.lease))
    }

    /// Waits for the stream, and keeps the lease meanwhile: a slow one must not
    /// make relays take turns at publishing the same rows.
    pub(super) async fn in_charge<T>(
        &self,
        work: impl Future<Output = T>,
        held: &mut Option<Held>,
    ) -> T {
        tokio::select! {
            biased; // What is done needs no more lease than the next write asks for.
            done = work => done,
            never = self.keep(held) => match never {},
        }
    }

    /// Renews the lease; waits for ever once it is lost.
    async fn keep(&self, held: &mut Option<Held>) -> Infallible {
        let mut backoff = Backoff::default();
        while let Some(now) = held {
            tokio::time::sleep_until(now.renew_at).await;
            match self.lead(held).await {
                Ok(_) => backoff.reset(),
                Err(_unreachable) => tokio::time::sleep(backoff.pause()).await,
            }
        }
        std::future::pending().await
    }
}

//! Moves committed outbox rows to the stream: at least once, in the order of the
//! outbox.
//!
//! Never: opens a transaction, looks inside a payload, or knows what a handler
//! is. Duplicates are the stream's to drop, by the message id.

mod pace;
mod sort;

use std::sync::Arc;
use std::time::{Duration, Instant};

use qx_events::Fault;
use qx_events::ports::{Lease, Outbox, Publisher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::crash;
use crate::trace::{self, Propagation};
use crate::witness::{Sight, Witness};
use pace::Pace;
use sort::{Sorted, sort};

/// How often published rows past their retention are deleted.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(30);
/// Rows deleted at once: short locks, little to vacuum at a time.
const CLEAN_UP_ROWS_MAX: u32 = 5_000;

/// Settings of the relay.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Rows of one pass: one round trip, and the most a crash publishes again.
    pub batch: u32,
    /// Longest pause between two polls of a quiet outbox.
    pub poll_max: Duration,
    /// Term of the lease. After a crash the next relay begins this much later.
    pub lease_term: Duration,
    /// How long published rows are kept.
    pub retention: Duration,
    /// Names this process in the lease.
    pub holder: String,
}

/// The relay.
pub struct Relay {
    config: RelayConfig,
    outbox: Arc<dyn Outbox>,
    publisher: Arc<dyn Publisher>,
    nudge: Arc<Notify>,
    witness: Arc<dyn Witness>,
    propagation: Arc<dyn Propagation>,
}

/// What woke the loop.
enum Wake {
    Stop,
    Nudged,
    Due,
}

/// What one pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing waits.
    Quiet,
    /// Rows went out; `full`: there are probably more.
    Moved { full: bool },
    /// The stream or the database does not answer.
    Blocked,
    /// Another relay is in charge.
    Standby,
}

/// A lease, and until when it may be relied on without asking.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: Lease,
    renew_at: Instant,
    ends_at: Instant,
}

impl Relay {
    /// A relay from this outbox to this publisher. `nudge` makes it look at once.
    pub fn new(
        config: RelayConfig,
        outbox: Arc<dyn Outbox>,
        publisher: Arc<dyn Publisher>,
        nudge: Arc<Notify>,
        witness: Arc<dyn Witness>,
        propagation: Arc<dyn Propagation>,
    ) -> Self {
        Self {
            config,
            outbox,
            publisher,
            nudge,
            witness,
            propagation,
        }
    }

    /// Makes passes until `stop`, then gives the lease back.
    pub async fn run(self, stop: CancellationToken) {
        let mut held: Option<Held> = None;
        let mut pace = Pace::new(self.config.poll_max, self.config.lease_term / 3);
        let mut clean_up_at = Instant::now();
        loop {
            let wake = tokio::select! {
                biased; // Stop wins over rows that wait.
                () = stop.cancelled() => Wake::Stop,
                () = self.nudge.notified(), if pace.may_be_nudged() => Wake::Nudged,
                () = tokio::time::sleep(pace.pause()) => Wake::Due,
            };
            match wake {
                Wake::Stop => break,
                Wake::Nudged | Wake::Due => {}
            }
            let turn = self
                .pass(&mut held)
                .await
                .unwrap_or_else(|fault| self.blocked(&fault.chain()));
            pace.after(turn);
            if held.is_some() && Instant::now() >= clean_up_at {
                clean_up_at = Instant::now() + self.clean_up().await;
            }
        }
        if let Some(held) = held
            && let Err(fault) = self.outbox.release(held.lease).await
        {
            tracing::debug!(
                error = fault.chain(),
                "lease was not given back; it ends by itself"
            );
        }
    }

    /// One pass: lease, read, publish, mark.
    async fn pass(&self, held: &mut Option<Held>) -> Result<Turn, Fault> {
        let Some(lease) = self.lead(held).await? else {
            return Ok(Turn::Standby);
        };
        let begun = Instant::now();
        let rows = self.outbox.pending(self.config.batch).await?;
        if rows.is_empty() {
            return Ok(Turn::Quiet);
        }
        let full = rows.len() >= self.config.batch as usize;
        let sorted = self.publish(&rows).await;
        if Instant::now() >= lease.ends_at {
            // Too slow: somebody else may be in charge. The fence would refuse us.
            *held = None;
            return Ok(Turn::Blocked);
        }
        // CRASH WINDOW relay-1: published, not yet marked. The rows go out again under
        // the same message ids, and the stream's duplicate window drops them.
        crash::point(crash::Window::Relay1);
        if !self.mark(lease.lease, &sorted).await? {
            *held = None;
            self.witness.saw(&Sight::RelayLeads(false));
            return Ok(Turn::Standby);
        }
        if !sorted.stored.is_empty() {
            let duplicates = sorted
                .stored
                .iter()
                .filter(|row| row.stored.duplicate)
                .count();
            let (rows, took) = (sorted.stored.len(), begun.elapsed());
            self.witness.saw(&Sight::Published {
                rows,
                duplicates,
                took,
            });
        }
        Ok(match &sorted.unknown {
            Some(reason) => self.blocked(reason),
            None => Turn::Moved { full },
        })
    }

    /// The lease: held, renewed or taken. `None`: another relay has it.
    async fn lead(&self, held: &mut Option<Held>) -> Result<Option<Held>, Fault> {
        let asked_at = Instant::now();
        if let Some(held) = held
            && asked_at < held.renew_at
        {
            return Ok(Some(*held));
        }
        let term = self.config.lease_term;
        let lease = self.outbox.lease(&self.config.holder, term).await?;
        let next = lease.map(|lease| Held {
            lease,
            // Counted from before the request, so that we never believe longer than
            // the database does.
            renew_at: asked_at + term / 3,
            ends_at: asked_at + term,
        });
        if next.is_some() != held.is_some() {
            self.witness.saw(&Sight::RelayLeads(next.is_some()));
        }
        *held = next;
        Ok(next)
    }

    async fn publish(&self, rows: &[qx_events::Row]) -> Sorted {
        let span = tracing::info_span!(
            target: trace::TARGET,
            "publish",
            otel.name = "publish",
            otel.kind = "client",
            messaging.system = "nats",
            messaging.operation.name = "publish",
            messaging.operation.type = "send",
            messaging.batch.message_count = rows.len(),
        );
        let context = self.propagation.enter(&span, None);
        let (messages, mut sorted) = sort::prepare_all(rows, context.as_ref());
        for message in &messages {
            if let Some(remote) = message.message.headers.trace() {
                self.propagation.link(&span, &remote);
            }
        }
        let outgoing: Vec<_> = messages.iter().map(|ready| ready.message.clone()).collect();
        let answers =
            tracing::Instrument::instrument(self.publisher.publish(&outgoing), span).await;
        sort(&messages, answers, &mut sorted);
        sorted
    }

    /// Writes what became of the rows. `false`: the lease has changed hands.
    async fn mark(&self, lease: Lease, sorted: &Sorted) -> Result<bool, Fault> {
        if !sorted.stored.is_empty() && !self.outbox.mark_published(lease, &sorted.stored).await? {
            return Ok(false);
        }
        for row in &sorted.aside {
            if !self.outbox.set_aside(lease, row.seq, &row.reason).await? {
                return Ok(false);
            }
            let (event_name, reason) = (row.event_name.as_str(), row.reason.as_str());
            self.witness.saw(&Sight::SetAside {
                event_name,
                seq: row.seq,
                reason,
            });
        }
        Ok(true)
    }

    fn blocked(&self, reason: &str) -> Turn {
        self.witness.saw(&Sight::RelayBlocked { reason });
        Turn::Blocked
    }

    /// Deletes old published rows; returns when to come again.
    async fn clean_up(&self) -> Duration {
        match self
            .outbox
            .clean_up(self.config.retention, CLEAN_UP_ROWS_MAX)
            .await
        {
            Ok(deleted) if deleted >= u64::from(CLEAN_UP_ROWS_MAX) => Duration::ZERO,
            Ok(_) => CLEAN_UP_EVERY,
            Err(fault) => {
                tracing::debug!(error = fault.chain(), "old rows cannot be deleted for now");
                CLEAN_UP_EVERY
            }
        }
    }
}

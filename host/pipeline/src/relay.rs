//! Moves committed outbox rows to the stream: at least once, in the order of the
//! outbox. Whether it waits for rows that belong before others and are not
//! committed yet is [`RowOrder`].
//!
//! What the stream confirmed and then lost is noticed, and published again. A busy relay
//! has up to four batches in hand: one is being read, one published, one marked, and one
//! waits to be marked.
//!
//! Never: opens a transaction, looks inside a payload, or knows what a handler
//! is. Duplicates are the stream's to drop, by the message id.

mod ahead;
mod batch;
mod charge;
mod config;
mod due;
mod latecomers;
mod marking;
mod pace;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use qx_events::Fault;
use qx_events::ports::{Lease, Outbox, PublishedRow, Publisher, StreamState};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crash;
use crate::grace::within_grace;
use crate::trace::{self, Propagation};
use crate::witness::{Sight, Witness};
use ahead::{Ahead, Unmarked};
use batch::{Batch, Sorted};
use charge::Held;
pub use config::{RelayConfig, RowOrder};
use due::{DueTimes, Waits};
use latecomers::Latecomers;
use pace::Pace;
use standing::Standing;

/// How often published rows past their retention are deleted.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(30);
/// Rows deleted at once: short locks, little to vacuum at a time.
const CLEAN_UP_ROWS_MAX: u32 = 5_000;
/// Rows that wait again at once, when the stream has lost them: as above.
const FORGET_ROWS_MAX: u32 = 5_000;

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
    /// The stream or the database does not answer; `moved`: not for every row.
    Blocked { moved: bool },
    /// Another relay is in charge.
    Standby,
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
        let mut standing = Standing::default();
        let mut due = DueTimes::default();
        let mut latecomers = Latecomers::default();
        let mut ahead = Ahead::default();
        let mut pace = Pace::new(self.config.poll_max, self.config.lease_term / 3);
        let mut clean_up_at = Instant::now();
        loop {
            let wake = tokio::select! {
                biased; // Stop wins over rows that wait.
                () = stop.cancelled() => Wake::Stop,
                () = self.nudge.notified(), if pace.may_be_nudged() => Wake::Nudged,
                () = pace::rest(pace.pause(), [held.map(|held| held.renew_at), due.next()]) => Wake::Due,
            };
            match wake {
                Wake::Stop => break,
                Wake::Nudged | Wake::Due => {}
            }
            let hand = (&mut due, &mut latecomers, &mut ahead);
            let turn = self.turn(&mut held, &mut standing, hand, &mut clean_up_at);
            let Some(turn) = within_grace(&stop, turn).await else {
                break; // As if the process had died in the middle of the turn.
            };
            pace.after(turn);
        }
        if let Some(held) = held {
            let marking = within_grace(&stop, self.mark_all(held.lease, &mut ahead)).await;
            if let Some(Err(fault)) = marking {
                tracing::debug!(error = fault.chain(), "published rows go out again");
            }
            let released = within_grace(&stop, self.outbox.release(held.lease)).await;
            if !matches!(released, Some(Ok(()))) {
                tracing::debug!("lease was not given back; it ends by itself");
            }
        }
    }

    /// One pass, and now and then a clean-up after it.
    async fn turn(
        &self,
        held: &mut Option<Held>,
        standing: &mut Standing,
        (due, latecomers, ahead): (&mut DueTimes, &mut Latecomers, &mut Ahead),
        clean_up_at: &mut Instant,
    ) -> Turn {
        let turn = self
            .pass(held, standing, (due, latecomers, ahead))
            .await
            .unwrap_or_else(|fault| {
                latecomers.doubt();
                self.blocked(&fault.chain());
                Turn::Blocked { moved: false }
            });
        if let Turn::Blocked { .. } = turn {
            standing.doubt();
        }
        if held.is_some() && Instant::now() >= *clean_up_at {
            *clean_up_at = Instant::now() + self.clean_up().await;
        }
        turn
    }

    /// One pass: lease, look at the stream, read, publish, mark. With more to do behind
    /// it, it leaves the marking to the next, and has read its rows.
    async fn pass(
        &self,
        held: &mut Option<Held>,
        standing: &mut Standing,
        (due, latecomers, ahead): (&mut DueTimes, &mut Latecomers, &mut Ahead),
    ) -> Result<Turn, Fault> {
        let Some(lease) = self.lead(held).await? else {
            *ahead = Ahead::default();
            return Ok(Turn::Standby);
        };
        ahead.hold_under(lease);
        if standing.is_due(lease, self.publisher.connection(), Instant::now())
            && !self.catch_up(lease, held, ahead).await?
        {
            return Ok(Turn::Standby);
        }
        let looked = self.look(lease, held, standing).await;
        if matches!(looked, Ok(false)) {
            return Ok(Turn::Standby);
        }
        let Some(waits) = self.come_due(lease, held, due).await? else {
            *ahead = Ahead::default();
            return Ok(Turn::Standby);
        };
        let begun = Instant::now();
        let mut batch = ahead.next();
        if batch.is_empty() && waits == Waits::Perhaps {
            batch = Batch::of(self.read(latecomers).await?);
        }
        if batch.is_empty() {
            if let Err(fault) = &looked {
                // Nobody waits for it.
                tracing::debug!(
                    error = fault.chain(),
                    "the stream cannot be looked at for now"
                );
            }
            return Ok(Turn::Quiet);
        }
        looked?;
        if !standing.is_connected(self.publisher.connection()) {
            return Ok(Turn::Moved { full: true }); // Looked at first, and at once.
        }
        crash::point(crash::Window::RelayRead);
        self.move_on(lease, held, standing, (batch, begun, ahead))
            .await
    }

    /// Publishes these rows, has those before them marked and reads those behind them.
    async fn move_on(
        &self,
        lease: Lease,
        held: &mut Option<Held>,
        standing: &mut Standing,
        (batch, begun, ahead): (Batch, Instant, &mut Ahead),
    ) -> Result<Turn, Fault> {
        let full = batch.len() >= self.config.batch as usize;
        let in_hand = self.in_hand(&batch, ahead);
        let work = futures::future::join3(
            self.publish(batch, standing.created_ns()),
            self.mark_next(lease, ahead),
            self.read_ahead(in_hand),
        );
        let (sorted, marked, next) = self.in_charge(work, held).await;
        // CRASH WINDOW relay-1: published, not yet marked. The rows go out again under
        // the same message ids, and the stream's duplicate window drops them.
        crash::point(crash::Window::Relay1);
        // Beside others, what was sent before the connection was lost is sent again.
        let is_stray =
            self.config.beside_others && !standing.is_connected(self.publisher.connection());
        // Known before anything can fail: the rows that it lost look as if they were there.
        let is_whole = is_stray || standing.after(&sorted.stored);
        if !marked? {
            self.deposed(held);
            return Ok(Turn::Standby);
        }
        if is_stray || !is_whole {
            // These rows wait too: where they are is not certain. It is looked at first.
            return Ok(Turn::Moved { full: true });
        }
        let unmarked = Unmarked { sorted, begun };
        let next = next.unwrap_or_default(); // It is read again by the next pass.
        if unmarked.sorted.unknown.is_none() && !next.is_empty() {
            ahead.keep(unmarked, next);
            return Ok(Turn::Moved { full: true });
        }
        self.finish(lease, held, unmarked, (full, ahead)).await
    }

    /// Marks a batch with none behind it, after those before it. Under the lease that it was
    /// published under: who had charge since may have found that the stream lost these rows.
    async fn finish(
        &self,
        lease: Lease,
        held: &mut Option<Held>,
        mut unmarked: Unmarked,
        (full, ahead): (bool, &mut Ahead),
    ) -> Result<Turn, Fault> {
        let unknown = unmarked.sorted.unknown.take();
        let moved = !unmarked.is_empty();
        ahead.keep(unmarked, Batch::default());
        if !self.mark_all(lease, ahead).await? {
            self.deposed(held);
            return Ok(Turn::Standby);
        }
        crash::point(crash::Window::RelayMarked);
        Ok(match unknown {
            Some(reason) => {
                self.blocked(&reason);
                Turn::Blocked { moved }
            }
            None => Turn::Moved { full },
        })
    }

    /// Looks whether the stream has lost anything, when it is time to. `false`: the
    /// lease has changed hands.
    async fn look(
        &self,
        lease: Lease,
        held: &mut Option<Held>,
        standing: &mut Standing,
    ) -> Result<bool, Fault> {
        let connection = self.publisher.connection();
        if !standing.is_due(lease, connection, Instant::now()) {
            return Ok(true);
        }
        standing.doubt();
        let stream = self.in_charge(self.publisher.state(), held).await?;
        if !self.forget(&standing.kept(&stream), held).await? {
            return Ok(false);
        }
        standing.saw(stream, lease, connection, Instant::now());
        Ok(true)
    }

    /// Lets the rows wait again that a stream in this state has lost, all of them
    /// before the next is published: they go out in the order of the outbox.
    /// `false`: the lease has changed hands.
    async fn forget(&self, stream: &StreamState, held: &mut Option<Held>) -> Result<bool, Fault> {
        let mut rows = 0;
        let forgotten = loop {
            let lease = match self.lead(held).await {
                Ok(Some(lease)) => lease,
                Ok(None) => break Ok(false),
                Err(fault) => break Err(fault),
            };
            let some = self
                .outbox
                .forget_lost(lease, stream, FORGET_ROWS_MAX)
                .await;
            match some {
                Ok(Some(some)) => {
                    rows += some;
                    if some < u64::from(FORGET_ROWS_MAX) {
                        break Ok(true);
                    }
                }
                Ok(None) => {
                    self.deposed(held);
                    break Ok(false);
                }
                Err(fault) => break Err(fault),
            }
        };
        if rows > 0 {
            self.witness.saw(&Sight::StreamRegressed { stream, rows });
        }
        forgotten
    }

    fn report(&self, sorted: &Sorted, begun: Instant) {
        if sorted.stored.is_empty() {
            return;
        }
        let is_duplicate = |row: &&PublishedRow| row.stored.duplicate;
        self.witness.saw(&Sight::Published {
            rows: sorted.stored.len(),
            duplicates: sorted.stored.iter().filter(is_duplicate).count(),
            took: begun.elapsed(),
        });
    }

    async fn publish(&self, mut batch: Batch, created_ns: Option<i64>) -> Sorted {
        let span = tracing::info_span!(
            target: trace::TARGET,
            "publish",
            otel.name = "publish",
            otel.kind = "client",
            messaging.system = "nats",
            messaging.operation.name = "publish",
            messaging.operation.type = "send",
            messaging.batch.message_count = batch.len(),
        );
        // Without a context the span is not recorded, and links to nothing.
        if let Some(own) = self.propagation.enter(&span, None) {
            for message in batch.messages() {
                if let Some(remote) = message.headers.trace() {
                    self.propagation.link(&span, &remote);
                }
            }
            batch.adopt(&own);
        }
        let publishing = self.publisher.publish(batch.messages());
        let answers = tracing::Instrument::instrument(publishing, span).await;
        batch.sort(answers, created_ns)
    }

    fn blocked(&self, reason: &str) {
        self.witness.saw(&Sight::RelayBlocked { reason });
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

//! Deletes what is past its retention: messages of the embedded stream, inbox marks
//! whose event cannot come again, and dead letters, where that is configured. The
//! relay looks after the outbox itself.

use std::time::Duration;

use qx_events::Fault;
use qx_store::{EmbeddedStream, Store};
use tokio_util::sync::CancellationToken;

use crate::retention::Retention;
use crate::telemetry::Metrics;

/// How often.
const EVERY: Duration = Duration::from_mins(5);
/// Rows deleted at once: short locks, little to vacuum at a time.
const ROWS_MAX: u32 = 5_000;
/// Dead letters deleted at once: each has a body, of a megabyte at the most.
const LETTERS_MAX: u32 = 500;

/// The loop that deletes.
pub(super) struct Housekeeping {
    pub(super) store: Store,
    pub(super) embedded: Option<EmbeddedStream>,
    pub(super) retention: Retention,
    pub(super) metrics: Option<Metrics>,
}

impl Housekeeping {
    /// Deletes until `stop`, from the beginning on: a host that is restarted often
    /// must get to it, too.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(fault) = self.round().await {
                tracing::debug!(
                    error = fault.chain(),
                    "old entries cannot be deleted for now"
                );
            }
            tokio::select! {
                biased; // Stop wins over one more round.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn round(&self) -> Result<(), Fault> {
        if let Some(embedded) = &self.embedded {
            while embedded.clean_up(self.retention.messages, ROWS_MAX).await? >= u64::from(ROWS_MAX)
            {
            }
        }
        if let Some(marks) = self.retention.marks {
            while self.store.clean_up_inbox(marks, ROWS_MAX).await? >= u64::from(ROWS_MAX) {}
            while self.store.clean_up_attempts(marks, ROWS_MAX).await? >= u64::from(ROWS_MAX) {}
        }
        if let Some(letters) = self.retention.letters {
            while self.expire(letters).await? >= u64::from(LETTERS_MAX) {}
        }
        Ok(())
    }

    /// Deletes some dead letters, and says so: their events were never handled.
    async fn expire(&self, retention: Duration) -> Result<u64, Fault> {
        let gone = self.store.expire_dead_letters(retention, LETTERS_MAX);
        let gone = gone.await?;
        for (component, letters) in &gone {
            tracing::warn!(
                component,
                letters,
                retention_days = retention.as_secs() / 86_400,
                "dead letters have expired and are deleted"
            );
            if let Some(metrics) = &self.metrics {
                metrics.dead_letters_expired(component, *letters);
            }
        }
        Ok(gone.values().sum())
    }
}

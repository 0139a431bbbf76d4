//! Deletes what is past its retention: messages of the embedded stream, and inbox
//! marks whose event cannot come again. The relay looks after the outbox itself.

use std::time::Duration;

use qx_events::Fault;
use qx_store::{EmbeddedStream, Store};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, StreamKind};

/// How often.
const EVERY: Duration = Duration::from_mins(5);
/// Rows deleted at once: short locks, little to vacuum at a time.
const ROWS_MAX: u32 = 5_000;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    /// Messages of the embedded stream.
    messages: Duration,
    /// Inbox marks; `None`: for ever, because messages are.
    marks: Option<Duration>,
}

impl Retention {
    /// An event can come again for as long as the stream has its message, or the
    /// outbox its row. Twice the longer of them leaves room for what waits.
    pub(super) fn of(config: &Config) -> Self {
        let messages = match &config.stream.kind {
            StreamKind::Nats(nats) => nats.max_age,
            StreamKind::Embedded(embedded) => Some(embedded.retention),
        };
        let longest = messages.map(|messages| messages.max(config.relay.retention));
        Self {
            messages: messages.unwrap_or(Duration::MAX),
            marks: longest.map(|longest| longest.saturating_mul(2)),
        }
    }
}

/// The loop that deletes.
pub(super) struct Housekeeping {
    store: Store,
    embedded: Option<EmbeddedStream>,
    retention: Retention,
}

impl Housekeeping {
    pub(super) fn new(
        store: Store,
        embedded: Option<EmbeddedStream>,
        retention: Retention,
    ) -> Self {
        Self {
            store,
            embedded,
            retention,
        }
    }

    /// Deletes until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased; // Stop wins over one more round.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(fault) = self.round().await {
                tracing::debug!(
                    error = fault.chain(),
                    "old entries cannot be deleted for now"
                );
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_outlive_the_messages_and_rows_they_answer_for() {
        let text = "[stream]\nretention_hours = 10\n[relay]\nretention_hours = 30\n";
        let config = Config::parse(std::path::Path::new("x"), text, [], &[]).unwrap();
        let retention = Retention::of(&config);
        assert_eq!(retention.messages, Duration::from_hours(10));
        assert_eq!(retention.marks, Some(Duration::from_hours(60)));
    }
}

//! The receiving side: takes what is there, else waits until something wakes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Delivery, Source};
use qx_events::wire::{self, Headers};
use tokio::time::{Instant, sleep_until};

use super::receipt::EmbeddedReceipt;
use super::take::{Taken, TakenMessage};
use super::{Consumer, Shared};

/// Stands for a wait without an end: longer than any process runs.
const FOREVER: Duration = Duration::from_hours(24 * 365);

pub(super) struct EmbeddedSource {
    shared: Arc<Shared>,
    consumer: Arc<Consumer>,
}

impl EmbeddedSource {
    pub(super) const fn new(shared: Arc<Shared>, consumer: Arc<Consumer>) -> Self {
        Self { shared, consumer }
    }

    fn delivery(&self, message: TakenMessage, ack_wait: Duration) -> Delivery {
        let receipt = EmbeddedReceipt {
            shared: Arc::clone(&self.shared),
            consumer: Arc::clone(&self.consumer),
            seq: message.seq,
            delivered: message.delivered,
            ack_wait,
        };
        Delivery {
            subject: wire::subject(&self.shared.subject_prefix, &message.event_name),
            headers: Headers(message.headers),
            body: message.body.into(),
            delivered: message.delivered.try_into().unwrap_or(u32::MAX),
            stream_seq: message.seq.cast_unsigned(),
            // One process has the stream, and nothing is lost on the way.
            handed_over: None,
            receipt: Box::new(receipt),
        }
    }
}

#[async_trait]
impl Source for EmbeddedSource {
    async fn fetch(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Fault> {
        let deadline = Instant::now() + wait.min(FOREVER);
        let consumer = Arc::clone(&self.consumer);
        loop {
            // From here on, before looking: what comes after the look still wakes.
            let mut woken = std::pin::pin!(consumer.woken.notified());
            woken.as_mut().enable();
            let settings = consumer.settings();
            let Taken {
                messages,
                next_look,
            } = self.shared.take(&consumer, &settings, max).await?;
            if !messages.is_empty() || max == 0 || Instant::now() >= deadline {
                let deliver = |message| self.delivery(message, settings.ack_wait);
                return Ok(messages.into_iter().map(deliver).collect());
            }
            let due = next_look.map(|pause| Instant::now() + pause.min(FOREVER));
            tokio::select! {
                biased;
                () = woken => {}
                () = sleep_until(due.map_or(deadline, |due| due.min(deadline))) => {}
            }
        }
    }
}

//! The line on which messages leave: a connection of its own, used until it
//! breaks and then replaced, never restored.
//!
//! So nothing that was given up is sent later, in front of what was lost on the
//! way: what the relay sends again keeps its order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::Client;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;

use crate::config::NatsConfig;
use crate::connection::{Dialer, Link};
use crate::error::BrokerError;

/// Messages of all callers that may wait for their answers on one line. A caller
/// has a window of its own; this bounds their sum.
const UNANSWERED_MAX: usize = 4096;

/// Keeps the line that is in use.
#[derive(Debug)]
pub(crate) struct Outbound {
    dialer: Dialer,
    answer_timeout: Duration,
    line: Mutex<Option<Line>>,
    /// Lines so far.
    lines: AtomicU64,
}

/// One connection, until it breaks.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) context: Context,
    pub(crate) client: Client,
    link: Link,
}

impl Line {
    /// Whether a message can be sent on it now.
    pub(crate) fn stands(&self) -> bool {
        self.link.losses() == 0 && self.client.connection_state() == State::Connected
    }

    /// As [`Line::broken`], for a copy.
    pub(crate) async fn into_broken(mut self) {
        self.broken().await;
    }

    /// Waits until it breaks. It does not stand again.
    pub(crate) async fn broken(&mut self) {
        self.link.lost(0).await;
    }
}

impl Outbound {
    pub(crate) fn new(dialer: Dialer, config: &NatsConfig) -> Self {
        Self {
            dialer,
            answer_timeout: config.request_timeout,
            line: Mutex::new(None),
            lines: AtomicU64::new(0),
        }
    }

    /// Patience with the answer to one message.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// The line in use, or a new one. One attempt: who calls comes again.
    pub(crate) async fn line(&self) -> Result<Line, BrokerError> {
        if let Some(line) = self.in_use() {
            return Ok(line);
        }
        let (client, link) = self.dialer.once().await?;
        let context = ContextBuilder::new()
            .timeout(self.answer_timeout)
            .max_ack_inflight(UNANSWERED_MAX)
            .build(client.clone());
        let fresh = Line {
            context,
            client,
            link,
        };
        let mut slot = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(fresh.clone());
        self.lines.fetch_add(1, Ordering::AcqRel);
        Ok(fresh)
    }

    /// Grows with every line that breaks, and with every new one.
    pub(crate) fn changes(&self) -> u64 {
        let stands = self.in_use().is_some();
        // A line that stands counts one, a broken one two.
        self.lines.load(Ordering::Acquire) * 2 - u64::from(stands)
    }

    fn in_use(&self) -> Option<Line> {
        let slot = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        slot.clone().filter(Line::stands)
    }
}

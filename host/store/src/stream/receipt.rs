//! The right to settle one delivery.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::Receipt;

use super::group::{Change, Kind};
use super::{Consumer, Shared, millis};

pub(super) struct EmbeddedReceipt {
    pub(super) shared: Arc<Shared>,
    pub(super) consumer: Arc<Consumer>,
    pub(super) seq: i64,
    pub(super) delivered: i64,
    pub(super) ack_wait: Duration,
}

impl EmbeddedReceipt {
    async fn settle(&self, kind: Kind) -> Result<(), Fault> {
        let change = Change {
            component: self.consumer.component.as_str().into(),
            seq: self.seq,
            delivered: self.delivered,
            kind,
        };
        self.shared.change(change).await?;
        // There is room, or something is due sooner than it was.
        self.consumer.woken.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Receipt for EmbeddedReceipt {
    async fn ack(&self) -> Result<(), Fault> {
        self.settle(Kind::Over).await
    }

    async fn nak(&self, after: Duration) -> Result<(), Fault> {
        self.settle(Kind::Again(millis(after))).await
    }

    async fn progress(&self) -> Result<(), Fault> {
        self.settle(Kind::Extended(millis(self.ack_wait))).await
    }

    async fn term(&self, _reason: &str) -> Result<(), Fault> {
        self.settle(Kind::Over).await
    }
}

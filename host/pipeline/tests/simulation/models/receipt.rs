//! The right to settle a delivery, as the broker's model gives it: some
//! acknowledgements are confirmed and then forgotten.

use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::Receipt;
use qx_events::{ComponentName, Fault};
use tokio::time::Instant;

use super::broker::Broker;
use crate::history::Effect;

pub(super) struct ModelReceipt {
    pub(super) broker: Broker,
    pub(super) component: ComponentName,
    pub(super) message: u64,
    /// How often messages had been lost when it was delivered.
    pub(super) falls: u32,
}

impl ModelReceipt {
    fn note(&self, effect: impl FnOnce(String, u64) -> Effect) {
        let component = self.component.to_string();
        self.broker.history.push(effect(component, self.message));
    }
}

#[async_trait]
impl Receipt for ModelReceipt {
    async fn ack(&self) -> Result<(), Fault> {
        self.broker.door.enter("acknowledge").await?;
        self.note(|component, message| Effect::Acked { component, message });
        // Misbehaves: confirms, and forgets it.
        if !self.broker.door.mischief.strikes() {
            self.broker
                .settle(self, |durable| durable.finish(self.message));
        }
        self.broker.door.leave("acknowledge").await
    }

    async fn nak(&self, after: Duration) -> Result<(), Fault> {
        self.broker.door.enter("give back").await?;
        self.note(|component, message| Effect::Nacked {
            component,
            message,
            after,
        });
        let due = Instant::now() + after;
        self.broker
            .settle(self, |durable| durable.wait(self.message, due));
        self.broker.door.leave("give back").await
    }

    async fn progress(&self) -> Result<(), Fault> {
        self.broker.door.enter("extend").await?;
        self.note(|component, message| Effect::Beat { component, message });
        let now = Instant::now();
        self.broker
            .settle(self, |durable| durable.extend(self.message, now));
        self.broker.door.leave("extend").await
    }

    async fn term(&self, _: &str) -> Result<(), Fault> {
        self.broker.door.enter("terminate").await?;
        self.note(|component, message| Effect::Termed { component, message });
        if !self.broker.door.mischief.strikes() {
            self.broker
                .settle(self, |durable| durable.finish(self.message));
        }
        self.broker.door.leave("terminate").await
    }
}

//! One component's messages: handed out as they are due, twice now and then, and
//! some of them lost on the way where the port lets them be.

use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{Delivery, Source};
use qx_events::wire::{Outgoing, subject};
use qx_events::{ComponentName, Fault};
use tokio::time::Instant;

use super::broker::{Books, Broker, PREFIX};
use super::durable::Durable;
use super::receipt::ModelReceipt;
use crate::history::Effect;
use crate::mischief::Weather;

/// One subscription.
pub(super) struct ModelSource {
    pub(super) broker: Broker,
    pub(super) component: ComponentName,
    pub(super) epoch: u32,
    /// The request stands at the consumer as it was made then.
    pub(super) made: Option<u32>,
}

impl ModelSource {
    /// Hands out what is due, and says when something is due next.
    fn take(&self, max: usize) -> Result<(Vec<Delivery>, Option<Instant>), Fault> {
        let mut books = self.broker.books();
        if self.epoch != books.epoch {
            return Err(Fault::transient("fetch", "the consumer is gone"));
        }
        if self.broker.door.weather() == Weather::Down {
            return Err(Fault::transient("fetch", "nobody there"));
        }
        let now = Instant::now();
        let falls = books.falls;
        let Books {
            messages, durables, ..
        } = &mut *books;
        let Some(durable) = durables.get_mut(&self.component) else {
            return Err(Fault::transient("fetch", "the consumer is gone"));
        };
        if self.made.is_some_and(|made| made != durable.made) {
            return Err(Fault::transient("fetch", "the consumer was made anew"));
        }
        let name_at = |message: u64| {
            let index = usize::try_from(message - 1).ok()?;
            messages
                .get(index)
                .map(|message| message.event_name.clone())
        };
        self.misbehave(durable, now);
        durable.look(now, name_at);
        let taken = durable.take(now, max);
        let next = durable.next_due();
        for (message, _, _) in &taken {
            let mischief = &self.broker.door.mischief;
            if mischief.strikes() {
                let soon = Duration::from_millis(u64::from(mischief.below(2_000)));
                durable.double(*message, now + soon);
            }
        }
        let deliver = |(message, count, number): (u64, u32, u64)| {
            let stored = messages.get(usize::try_from(message - 1).unwrap()).unwrap();
            self.deliver(stored, (message, count, number), falls)
        };
        let deliveries = taken.into_iter().map(deliver);
        // Misbehaves: it is lost on the way. The number of the next one tells.
        let is_lost = |_: &Delivery| self.made.is_some() && self.broker.door.mischief.strikes();
        let arrived = deliveries.filter(|delivery| !is_lost(delivery));
        Ok((arrived.collect(), next))
    }

    fn misbehave(&self, durable: &mut Durable, now: Instant) {
        let mischief = &self.broker.door.mischief;
        if mischief.strikes() && mischief.strikes() {
            durable.forget_counts();
        }
        if mischief.strikes() {
            durable.forget_one(mischief.below(1_000), now);
        }
    }

    fn deliver(
        &self,
        stored: &Outgoing,
        (message, delivered, number): (u64, u32, u64),
        falls: u32,
    ) -> Delivery {
        let component = self.component.to_string();
        let effect = Effect::Delivered {
            component,
            message,
            delivered,
        };
        self.broker.history.push(effect);
        Delivery {
            subject: subject(PREFIX, stored.event_name.as_str()),
            headers: stored.headers.clone(),
            body: stored.body.clone(),
            delivered,
            stream_seq: message,
            handed_over: Some(number),
            receipt: Box::new(ModelReceipt {
                broker: self.broker.clone(),
                component: self.component.clone(),
                message,
                falls,
            }),
        }
    }
}

#[async_trait]
impl Source for ModelSource {
    async fn fetch(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Fault> {
        self.broker.door.enter("fetch").await?;
        let end = Instant::now() + wait;
        loop {
            let mut arrived = std::pin::pin!(self.broker.arrived.notified());
            arrived.as_mut().enable();
            self.broker.door.life.check().await;
            let (deliveries, next) = self.take(max)?;
            let now = Instant::now();
            if !deliveries.is_empty() || now >= end {
                return Ok(deliveries);
            }
            // What is due already is held back by `in_flight_max`: wait for a settlement.
            let until = next
                .filter(|due| *due > now)
                .map_or(end, |due| due.min(end));
            drop(tokio::time::timeout_at(until, arrived).await);
        }
    }
}

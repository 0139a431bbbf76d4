//! Takes one component's messages from the stream and brings each to its end.
//!
//! A permit comes before a message: nothing is fetched that cannot start. The
//! stream's acknowledgement is the last effect of every way a message can go.

mod deliver;
mod fresh;
mod lanes;
mod ordered;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use qx_events::breaker::Passage;
use qx_events::ports::{Delivery, Receipt, Source, Stream, Subscription};
use qx_events::{Care, ComponentName, Envelope, Fault, Known, Malformed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::dispatcher::Dispatcher;
use crate::heartbeat::with_heartbeat;
use crate::witness::Sight;
use fresh::Fresh;
pub use ordered::{LEASE_PREFIX, Ordered};

/// How long one request for messages waits on a quiet stream. A new request costs
/// the broker a little, so not often; a request that was lost on the way is
/// noticed after this long, so not for ever.
const FETCH_WAIT: Duration = Duration::from_secs(10);

/// Pause of what was fetched by a component that was paused meanwhile: nobody
/// fetches it before it is resumed, so not long.
const PAUSED_PAUSE: Duration = Duration::from_millis(100);

/// Settings of one component's consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// What it wants from the stream.
    pub subscription: Subscription,
    /// Deliveries that may be in hand at once.
    pub concurrency: usize,
    /// Whether events of one key follow each other.
    pub ordered: Option<Ordered>,
}

/// One component's way from the stream to the ledger.
pub struct Consumer {
    config: ConsumerConfig,
    stream: Arc<dyn Stream>,
    dispatcher: Arc<Dispatcher>,
    permits: Arc<Semaphore>,
    deliveries: TaskTracker,
    fresh: Fresh,
}

/// A delivery whose body was looked at.
struct Taken {
    delivery: Delivery,
    envelope: Result<Arc<Envelope>, Malformed>,
    permit: OwnedSemaphorePermit,
}

/// Gives messages back that a paused component was given a moment ago.
async fn give_back(deliveries: &[Delivery]) {
    let naks = deliveries
        .iter()
        .map(|delivery| delivery.receipt.nak(PAUSED_PAUSE));
    for given in join_all(naks).await {
        if let Err(fault) = given {
            // It comes again after the acknowledgement wait.
            tracing::debug!(error = fault.chain(), "giving back was not taken");
        }
    }
}

impl Consumer {
    /// A consumer. Its deliveries run on `deliveries`, and may outlast it.
    pub fn new(
        config: ConsumerConfig,
        stream: Arc<dyn Stream>,
        dispatcher: Arc<Dispatcher>,
        deliveries: TaskTracker,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(config.concurrency));
        let fresh = Fresh::new(&config.subscription);
        Self {
            config,
            stream,
            dispatcher,
            permits,
            deliveries,
            fresh,
        }
    }

    /// Takes messages until `stop`. What was taken goes on, on the tracker; in order,
    /// it is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let consumer = Arc::new(self);
        match consumer.config.ordered.clone() {
            Some(ordered) => consumer.run_in_order(ordered, stop).await,
            None => consumer.run_as_they_come(stop).await,
        }
    }

    async fn run_as_they_come(self: Arc<Self>, stop: CancellationToken) {
        let mut source: Option<Box<dyn Source>> = None;
        let mut backoff = Backoff::default();
        let consumer = self;
        loop {
            let turn = tokio::select! {
                biased; // Stop wins over messages that are ready.
                () = stop.cancelled() => return,
                turn = consumer.turn(&mut source) => turn,
            };
            match turn {
                Ok(taken) => {
                    if backoff.is_failing() {
                        consumer.saw(&Sight::Resumed {
                            component: consumer.name(),
                        });
                    }
                    backoff.reset();
                    tokio::select! {
                        biased; // Stopping: the stream delivers them again.
                        () = stop.cancelled() => return,
                        () = consumer.start(taken) => {}
                    }
                }
                Err(fault) => {
                    source = None; // It may be gone for good: subscribe anew.
                    consumer.saw(&Sight::Held {
                        component: consumer.name(),
                        fault: &fault,
                    });
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.pause()) => {}
                    }
                }
            }
        }
    }

    /// One turn: permits, then messages. None is taken while no build of the
    /// component is in service: each delivery in vain would count as an attempt.
    async fn turn(&self, source: &mut Option<Box<dyn Source>>) -> Result<Vec<Taken>, Fault> {
        let mediator = self.dispatcher.mediator();
        mediator.in_service(self.name()).await;
        let gates = self.dispatcher.gates();
        let mut permits = match gates.open(self.name(), mediator).await {
            Passage::All | Passage::None { .. } => self.free_permits().await,
            Passage::Probe => self.only_permit().await,
        };
        let is_shut = || matches!(gates.passage(self.name(), mediator), Passage::None { .. });
        if is_shut() {
            return Ok(Vec::new()); // It was shut while a permit was waited for.
        }
        let source = match source {
            Some(source) => source,
            None => source.insert(self.stream.subscribe(&self.config.subscription).await?),
        };
        let deliveries = source.fetch(permits.len(), FETCH_WAIT).await?;
        if is_shut() {
            give_back(&deliveries).await; // Paused while it waited for them.
            return Ok(Vec::new());
        }
        let take = |delivery: Delivery| {
            let envelope = Envelope::of_message(&delivery.body, &delivery.headers);
            let permit = permits.pop()?;
            Some(Taken {
                envelope: envelope.map(Arc::new),
                delivery,
                permit,
            })
        };
        Ok(deliveries.into_iter().filter_map(take).collect())
    }

    /// Waits for one permit and takes the others that are free.
    async fn free_permits(&self) -> Vec<OwnedSemaphorePermit> {
        let first = Arc::clone(&self.permits).acquire_owned().await;
        let mut permits: Vec<_> = first.into_iter().collect();
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            permits.push(permit);
        }
        permits
    }

    /// One permit, once no other delivery is in hand: of a probe there is one.
    async fn only_permit(&self) -> Vec<OwnedSemaphorePermit> {
        let all = u32::try_from(self.config.concurrency).unwrap_or(u32::MAX);
        let all = Arc::clone(&self.permits).acquire_many_owned(all).await;
        let one = all.ok().and_then(|mut all| all.split(1));
        one.into_iter().collect()
    }

    /// Asks the inbox once for all of them, and starts each.
    async fn start(self: &Arc<Self>, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        let Some(known) = self.known(&taken).await else {
            return; // Stopping: the stream delivers them again.
        };
        for taken in taken {
            let envelope = taken.envelope.as_ref().ok();
            let known = envelope.and_then(|envelope| known.get(&envelope.event_id).copied());
            let consumer = Arc::clone(self);
            self.deliveries.spawn(async move {
                consumer.deliver(taken, known).await;
            });
        }
    }

    /// What the ledger knows of these. Waits for the database, with the deliveries
    /// kept alive.
    async fn known(&self, taken: &[Taken]) -> Option<HashMap<Uuid, Known>> {
        let ids: Vec<Uuid> = taken
            .iter()
            .filter_map(|taken| taken.envelope.as_ref().ok())
            .map(|envelope| envelope.event_id)
            .collect();
        let receipts: Vec<&dyn Receipt> =
            taken.iter().map(|taken| &*taken.delivery.receipt).collect();
        let ledger = &self.dispatcher.services().ledger;
        let ask = self
            .dispatcher
            .insist(self.name(), || ledger.known(self.name(), &ids));
        with_heartbeat(&receipts, self.heartbeat(), ask).await
    }

    /// How carefully the next call of an event is to be made that nobody knows.
    fn care(&self) -> Care {
        self.fresh.next()
    }

    /// A third of the acknowledgement wait: two heartbeats may be lost.
    fn heartbeat(&self) -> Duration {
        self.config.subscription.ack_wait / 3
    }

    fn name(&self) -> &ComponentName {
        &self.config.subscription.component
    }

    fn saw(&self, sight: &Sight<'_>) {
        self.dispatcher.services().witness.saw(sight);
    }
}

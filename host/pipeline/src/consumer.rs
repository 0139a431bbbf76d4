//! Takes one component's messages from the stream and brings each to its end.
//!
//! A place comes before a message: nothing is fetched that cannot start soon. The
//! stream's acknowledgement is the last effect of every way a message can go.

mod deliver;
mod fresh;
mod lanes;
mod ordered;
mod room;

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
pub(crate) use room::Place;
use room::{Places, Room};

/// How long one request for messages waits on a quiet stream. A new request costs
/// the broker a little, so not often; a request that was lost on the way is
/// noticed after this long, so not for ever.
const FETCH_WAIT: Duration = Duration::from_secs(10);

/// Pause of what was fetched by a component that was paused meanwhile: nobody
/// fetches it before it is resumed, so not long.
const PAUSED_PAUSE: Duration = Duration::from_millis(100);

/// Batches that the ledger is asked about at once: while it is asked about one, the
/// next is fetched.
const ASKED_MAX: usize = 2;

/// Settings of one component's consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// What it wants from the stream.
    pub subscription: Subscription,
    /// Calls that may run at once.
    pub concurrency: usize,
    /// Whether events of one key follow each other.
    pub ordered: Option<Ordered>,
}

/// One component's way from the stream to the ledger.
pub struct Consumer {
    config: ConsumerConfig,
    stream: Arc<dyn Stream>,
    dispatcher: Arc<Dispatcher>,
    room: Arc<Room>,
    asked: Arc<Semaphore>,
    deliveries: TaskTracker,
    fresh: Fresh,
}

/// A delivery whose body was looked at.
struct Taken {
    delivery: Delivery,
    envelope: Result<Arc<Envelope>, Malformed>,
    place: Arc<Place>,
}

/// What came with one fetch, and the right to ask the ledger about it.
struct Batch {
    taken: Vec<Taken>,
    asking: Option<OwnedSemaphorePermit>,
}

impl Batch {
    fn none() -> Self {
        Self {
            taken: Vec::new(),
            asking: None,
        }
    }
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
        let room = Arc::new(Room::new(config.concurrency));
        let fresh = Fresh::new(&config.subscription);
        Self {
            config,
            stream,
            dispatcher,
            room,
            asked: Arc::new(Semaphore::new(ASKED_MAX)),
            deliveries,
            fresh,
        }
    }

    /// Messages of a component with this concurrency that one host may have in hand.
    pub const fn in_hand_max(concurrency: usize) -> usize {
        room::in_hand_max(concurrency)
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
                Ok(batch) => {
                    if backoff.is_failing() {
                        consumer.saw(&Sight::Resumed {
                            component: consumer.name(),
                        });
                    }
                    backoff.reset();
                    consumer.begin(batch, &stop);
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

    /// One turn: places, then messages. None is taken while no build of the
    /// component is in service: each delivery in vain would count as an attempt.
    async fn turn(&self, source: &mut Option<Box<dyn Source>>) -> Result<Batch, Fault> {
        let mediator = self.dispatcher.mediator();
        mediator.in_service(self.name()).await;
        let gates = self.dispatcher.gates();
        let asking = Arc::clone(&self.asked).acquire_owned().await.ok();
        let places = match gates.open(self.name(), mediator).await {
            Passage::All | Passage::None { .. } => self.room.free().await,
            Passage::Probe => self.room.only().await,
        };
        let is_shut = || matches!(gates.passage(self.name(), mediator), Passage::None { .. });
        let Some(places) = places.filter(|_| !is_shut()) else {
            return Ok(Batch::none()); // It was shut while a place was waited for.
        };
        if source.is_none() {
            // Whoever consumes it in order has made the durable consumer anew.
            self.dispatcher.look_who_is_in_charge().await?;
            if is_shut() {
                return Ok(Batch::none());
            }
        }
        let source = match source {
            Some(source) => source,
            None => source.insert(self.stream.subscribe(&self.config.subscription).await?),
        };
        let deliveries = source.fetch(places.count(), FETCH_WAIT).await?;
        let looked = if deliveries.is_empty() || gates.knows_who_is_in_charge() {
            Ok(())
        } else {
            self.dispatcher.look_who_is_in_charge().await
        };
        if looked.is_err() || is_shut() {
            give_back(&deliveries).await; // Paused while it waited for them.
            return looked.map(|()| Batch::none());
        }
        let taken = self.look_at(deliveries, places);
        Ok(Batch { taken, asking })
    }

    fn look_at(&self, deliveries: Vec<Delivery>, mut places: Places) -> Vec<Taken> {
        let take = |delivery: Delivery| {
            self.room.came(delivery.body.len());
            let envelope = Envelope::of_message(&delivery.body, &delivery.headers);
            let place = places.take(&self.room)?;
            Some(Taken {
                envelope: envelope.map(Arc::new),
                delivery,
                place: Arc::new(place),
            })
        };
        deliveries.into_iter().filter_map(take).collect()
    }

    /// Asks the inbox once for all of them, and starts each, while the next are fetched.
    fn begin(self: &Arc<Self>, batch: Batch, stop: &CancellationToken) {
        if batch.taken.is_empty() {
            return;
        }
        let (consumer, stop) = (Arc::clone(self), stop.clone());
        self.deliveries.spawn(async move {
            let Batch { taken, asking } = batch;
            let known = tokio::select! {
                biased; // Stopping: the stream delivers them again.
                () = stop.cancelled() => None,
                known = consumer.known(&taken) => known,
            };
            drop(asking);
            if let Some(known) = known {
                consumer.start(taken, &known);
            }
        });
    }

    fn start(self: &Arc<Self>, taken: Vec<Taken>, known: &HashMap<Uuid, Known>) {
        for taken in taken {
            let envelope = taken.envelope.as_ref().ok();
            let known = envelope.and_then(|envelope| known.get(&envelope.event_id).copied());
            let consumer = Arc::clone(self);
            // A box of its own: it is several kilobytes, and the task is moved on its way.
            self.deliveries.spawn(async move {
                Box::pin(consumer.deliver(taken, known)).await;
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

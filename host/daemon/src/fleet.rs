//! One consumer for each component in service. A component that is replaced
//! keeps its consumer, unless what it wants from the stream has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qx_events::ports::{Stream, Subscription};
use qx_events::{Component, ComponentName, KeyField, Order};
use qx_pipeline::{Consumer, ConsumerConfig, Dispatcher, Ordered};
use tokio_util::sync::CancellationToken;

use crate::supervise::{Supervisor, Task};

/// A delivery is extended three times within its acknowledgement wait; a call may
/// not come near the end of it.
const ACK_WAIT_OVER_TIMEOUT: u32 = 2;

/// Messages behind keys that stand still, which are on their way back to the stream
/// and do not take the others' place. More than these, and the component waits.
const FOLLOWERS_AWAY_MAX: usize = 2_048;

/// Hosts that can have all in hand that they may, of a component whose events come as
/// they come, before they take messages from each other.
const HOSTS_BESIDE: usize = 2;

/// The consumers that run.
pub struct Fleet {
    stream: Arc<dyn Stream>,
    dispatcher: Arc<Dispatcher>,
    supervisor: Supervisor,
    timing: Timing,
    running: Mutex<HashMap<ComponentName, Running>>,
}

/// What all consumers of this process have in common.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Shortest acknowledgement wait.
    pub ack_wait: Duration,
    /// Term of the lease for a component that is consumed in order.
    pub lease: Duration,
    /// Names this process in such a lease.
    pub holder: String,
}

struct Running {
    config: ConsumerConfig,
    stop: CancellationToken,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

impl Fleet {
    /// No consumer yet.
    pub fn new(
        stream: Arc<dyn Stream>,
        dispatcher: Arc<Dispatcher>,
        supervisor: Supervisor,
        timing: Timing,
    ) -> Self {
        Self {
            stream,
            dispatcher,
            supervisor,
            timing,
            running: Mutex::default(),
        }
    }

    /// Sees to it that the component has the consumer it wants.
    pub fn serve(&self, component: &Component) {
        let config = self.config_of(component);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = None;
        if let Some(now) = running.get(&component.name) {
            if now.config == config {
                return;
            }
            now.stop.cancel();
            before = Some(now.ended.clone());
        }
        let next = Running {
            config,
            stop: self.supervisor.stop().child_token(),
            ended: CancellationToken::new(),
        };
        self.start(&next, before);
        running.insert(component.name.clone(), next);
    }

    /// Stops the component's consumer. Its durable place on the stream stays.
    pub fn retire(&self, name: &ComponentName) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = running.remove(name) {
            gone.stop.cancel();
        }
    }

    /// Starts a consumer; where order is kept, once the one before it has ended, so that
    /// what that has in hand is not taken from it.
    fn start(&self, next: &Running, before: Option<CancellationToken>) {
        let name = next.config.subscription.component.to_string();
        let (stream, dispatcher) = (Arc::clone(&self.stream), Arc::clone(&self.dispatcher));
        let deliveries = self.supervisor.deliveries();
        let (config, stop, ended) = (next.config.clone(), next.stop.clone(), next.ended.clone());
        let before = before.filter(|_| config.ordered.is_some());
        self.supervisor.spawn(Task::Consumer(name), move || {
            let consumer = Consumer::new(
                config.clone(),
                Arc::clone(&stream),
                Arc::clone(&dispatcher),
                deliveries.clone(),
            );
            let (before, stop, ended) = (before.clone(), stop.clone(), ended.clone());
            async move {
                if let Some(before) = before {
                    tokio::select! {
                        () = before.cancelled() => {}
                        () = stop.cancelled() => {}
                    }
                }
                consumer.run(stop).await;
                ended.cancel();
            }
        });
    }

    fn config_of(&self, component: &Component) -> ConsumerConfig {
        let settings = &component.settings;
        let least = settings.limits.timeout * ACK_WAIT_OVER_TIMEOUT;
        // What waits for its next attempt counts as in flight on the stream: a few
        // failing events must not take every place.
        let in_hand_max = settings.concurrency * 8 + 64;
        let (in_flight_max, ordered) = match settings.order {
            Order::None => {
                let by_us = Consumer::in_hand_max(settings.concurrency);
                (in_hand_max + by_us * HOSTS_BESIDE, None)
            }
            Order::Key(key) => (
                in_hand_max + FOLLOWERS_AWAY_MAX,
                Some(self.ordered(key, in_hand_max)),
            ),
        };
        ConsumerConfig {
            subscription: Subscription {
                component: component.name.clone(),
                patterns: component.patterns(),
                ack_wait: self.timing.ack_wait.max(least),
                in_flight_max,
                start: settings.start,
            },
            concurrency: settings.concurrency,
            ordered,
        }
    }

    fn ordered(&self, key: KeyField, in_hand_max: usize) -> Ordered {
        Ordered {
            key,
            holder: self.timing.holder.clone(),
            term: self.timing.lease,
            in_hand_max,
        }
    }
}

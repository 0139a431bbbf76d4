//! One consumer for each component in service. A component that is replaced
//! keeps its consumer, unless what it wants from the stream has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qx_events::ports::{Stream, Subscription};
use qx_events::{Component, ComponentName};
use qx_pipeline::{Consumer, ConsumerConfig, Dispatcher};
use tokio_util::sync::CancellationToken;

use crate::supervise::{Supervisor, Task};

/// A delivery is extended three times within its acknowledgement wait; a call may
/// not come near the end of it.
const ACK_WAIT_OVER_TIMEOUT: u32 = 2;

/// The consumers that run.
pub struct Fleet {
    stream: Arc<dyn Stream>,
    dispatcher: Arc<Dispatcher>,
    supervisor: Supervisor,
    ack_wait: Duration,
    running: Mutex<HashMap<ComponentName, Running>>,
}

struct Running {
    config: ConsumerConfig,
    stop: CancellationToken,
}

impl Fleet {
    /// No consumer yet.
    pub fn new(
        stream: Arc<dyn Stream>,
        dispatcher: Arc<Dispatcher>,
        supervisor: Supervisor,
        ack_wait: Duration,
    ) -> Self {
        Self {
            stream,
            dispatcher,
            supervisor,
            ack_wait,
            running: Mutex::default(),
        }
    }

    /// Sees to it that the component has the consumer it wants.
    pub fn serve(&self, component: &Component) {
        let config = self.config_of(component);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = running.get(&component.name) {
            if now.config == config {
                return;
            }
            now.stop.cancel();
        }
        let stop = self.supervisor.stop().child_token();
        self.start(&config, &stop);
        running.insert(component.name.clone(), Running { config, stop });
    }

    /// Stops the component's consumer. Its durable place on the stream stays.
    pub fn retire(&self, name: &ComponentName) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = running.remove(name) {
            gone.stop.cancel();
        }
    }

    fn start(&self, config: &ConsumerConfig, stop: &CancellationToken) {
        let name = config.subscription.component.to_string();
        let (stream, dispatcher) = (Arc::clone(&self.stream), Arc::clone(&self.dispatcher));
        let deliveries = self.supervisor.deliveries();
        let (config, stop) = (config.clone(), stop.clone());
        self.supervisor.spawn(Task::Consumer(name), move || {
            Consumer::new(
                config.clone(),
                Arc::clone(&stream),
                Arc::clone(&dispatcher),
                deliveries.clone(),
            )
            .run(stop.clone())
        });
    }

    fn config_of(&self, component: &Component) -> ConsumerConfig {
        let settings = &component.settings;
        let least = settings.limits.timeout * ACK_WAIT_OVER_TIMEOUT;
        ConsumerConfig {
            subscription: Subscription {
                component: component.name.clone(),
                patterns: component.patterns(),
                ack_wait: self.ack_wait.max(least),
                // What waits for its next attempt counts as in flight on the stream: a
                // few failing events must not take every place.
                in_flight_max: settings.concurrency * 8 + 64,
                start: settings.start,
            },
            concurrency: settings.concurrency,
        }
    }
}

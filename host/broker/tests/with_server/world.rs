//! What the tests of the adapter share: a server, messages, and a look from the side.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use qx_broker::testing::Nats;
use qx_broker::{Broker, NatsConfig};
use qx_events::ports::{Delivery, Published, Publisher, Source, Stream, Subscription};
use qx_events::wire::{Headers, Outgoing};
use qx_events::{ComponentName, EventName, Pattern, StartFrom};
use uuid::Uuid;

/// Longest wait for something that must happen.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

pub(crate) async fn broker(nats: &Nats) -> Broker {
    Broker::connect(nats.config()).await.unwrap()
}

/// A second client, for what the adapter does not do.
pub(crate) async fn aside(nats: &Nats) -> Context {
    let client = async_nats::connect(nats.url()).await.unwrap();
    jetstream::new(client)
}

/// The stream as we make it for a server that knows no batches, with this change.
pub(crate) async fn made(nats: &Nats, change: impl FnOnce(&mut Config)) {
    let mut config = Config {
        name: "QX_EVENTS".to_owned(),
        subjects: vec!["svc.>".to_owned()],
        storage: StorageType::File,
        duplicate_window: Duration::from_mins(10),
        allow_direct: true,
        ..Config::default()
    };
    change(&mut config);
    aside(nats).await.create_stream(config).await.unwrap();
}

pub(crate) fn impatient(nats: &Nats) -> NatsConfig {
    NatsConfig {
        request_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        ..nats.config()
    }
}

pub(crate) fn message(name: &str, body: &str) -> Outgoing {
    let event_name = EventName::parse(name).unwrap();
    let message_id = Uuid::new_v4();
    Outgoing {
        headers: Headers::of_event(&event_name, 1, message_id, None, None, None),
        message_id,
        event_name,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

pub(crate) fn messages(name: &str, count: usize) -> Vec<Outgoing> {
    (0..count).map(|n| message(name, &n.to_string())).collect()
}

pub(crate) fn subscription(component: &str, patterns: &[&str]) -> Subscription {
    Subscription {
        component: ComponentName::parse(component).unwrap(),
        patterns: patterns
            .iter()
            .map(|raw| Pattern::parse(raw).unwrap())
            .collect(),
        ack_wait: Duration::from_secs(30),
        in_flight_max: 64,
        start: StartFrom::Beginning,
    }
}

pub(crate) async fn subscribe(
    broker: &Broker,
    component: &str,
    patterns: &[&str],
) -> Box<dyn Source> {
    broker
        .subscribe(&subscription(component, patterns))
        .await
        .unwrap()
}

/// Publishes, and insists that everything is stored.
pub(crate) async fn store(broker: &Broker, messages: &[Outgoing]) {
    for published in broker.publish(messages).await {
        assert!(matches!(published, Published::Stored(_)), "{published:?}");
    }
}

pub(crate) fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let text = |it: &Delivery| String::from_utf8(it.body.to_vec()).unwrap();
    deliveries.iter().map(text).collect()
}

/// Fetches until so many have come, and acknowledges each. Faults are tried again.
pub(crate) async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let deadline = tokio::time::Instant::now() + LONG;
    while seen.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "saw only {seen:?}");
        let Ok(got) = source
            .fetch(count - seen.len(), Duration::from_secs(1))
            .await
        else {
            tokio::task::yield_now().await;
            continue;
        };
        for delivery in &got {
            delivery.receipt.ack().await.unwrap();
        }
        seen.extend(bodies(&got));
    }
    seen
}

/// Subscribes, however often the connection has to be waited for.
pub(crate) async fn subscribe_when_up(
    broker: &Broker,
    component: &str,
    patterns: &[&str],
) -> Box<dyn Source> {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        match broker.subscribe(&subscription(component, patterns)).await {
            Ok(source) => return source,
            Err(fault) => {
                let late = tokio::time::Instant::now() > deadline;
                assert!(fault.is_transient() && !late, "{}", fault.chain());
            }
        }
    }
}

//! What a durable consumer promises, with a server that does not stay.

use std::time::Duration;

use crate::world::{
    LONG, SHORT, aside, bodies, broker, impatient, message, messages, store, subscribe,
    subscription, take,
};
use qx_broker::Broker;
use qx_broker::testing::Nats;
use qx_events::StartFrom;
use qx_events::ports::{Delivery, Published, Publisher, Source, Stream, StreamState, Subscription};
use qx_events::wire::Outgoing;

#[tokio::test]
async fn a_source_survives_a_restart_of_the_server() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    store(&broker, &messages("a", 3)).await;
    take(&mut source, 3).await;
    nats.kill();
    let fault = source.fetch(1, SHORT).await.err();
    assert!(fault.is_none_or(|fault| fault.is_transient()));
    assert!(source.fetch(1, SHORT).await.unwrap_err().is_transient());
    assert!(broker.check().await.unwrap_err().is_transient());
    nats.restart().await.unwrap();
    store(&broker, &[message("a", "after")]).await;
    let mut seen = take(&mut source, 1).await;
    // Acknowledgements of before the crash may be forgotten: that is the inbox's.
    while seen.last().is_none_or(|body| body != "after") {
        seen = take(&mut source, 1).await;
    }
}

#[tokio::test]
async fn a_waiting_fetch_ends_with_the_connection() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    assert!(source.fetch(1, SHORT).await.unwrap().is_empty());
    let began = std::time::Instant::now();
    let (got, ()) = tokio::join!(source.fetch(1, Duration::from_mins(1)), async {
        tokio::task::yield_now().await;
        nats.kill();
    });
    assert!(got.unwrap_err().is_transient());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_where_it_was() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let stream = aside(&nats).await.get_stream("QX_EVENTS").await.unwrap();
    for start in [StartFrom::Beginning, StartFrom::Now] {
        let name = format!("c-{start:?}").to_lowercase();
        let wanted = Subscription {
            start,
            ..subscription(&name, &["a"])
        };
        store(&broker, &[message("a", "old")]).await;
        let mut source = broker.subscribe(&wanted).await.unwrap();
        store(&broker, &messages("a", 3)).await;
        while !take(&mut source, 1).await.contains(&"2".to_owned()) {}
        // The place is looked up now and then: here, when the source is opened.
        let mut source = broker.subscribe(&wanted).await.unwrap();
        stream.delete_consumer(&format!("qx_{name}")).await.unwrap();
        store(&broker, &[message("a", "new")]).await;
        assert!(source.fetch(1, LONG).await.unwrap_err().is_transient());
        assert_eq!(take(&mut source, 1).await, ["new"], "{start:?}");
        assert!(source.fetch(5, SHORT).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_consumer_deleted_under_a_waiting_fetch_is_noticed() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let stream = aside(&nats).await.get_stream("QX_EVENTS").await.unwrap();
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let (got, ()) = tokio::join!(source.fetch(1, Duration::from_mins(1)), async {
        // The pull has arrived when the server counts it.
        while stream.consumer_info("qx_c").await.unwrap().num_waiting == 0 {}
        stream.delete_consumer("qx_c").await.unwrap();
    });
    let fault = got.unwrap_err();
    assert!(
        fault.is_transient() && fault.chain().contains("Consumer Deleted"),
        "{}",
        fault.chain()
    );
    store(&broker, &messages("a", 1)).await;
    assert_eq!(take(&mut source, 1).await, ["0"]);
}

#[tokio::test]
async fn a_stream_made_anew_is_read_from_its_beginning() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let from_now = Subscription {
        start: StartFrom::Now,
        ..subscription("c", &["a"])
    };
    store(&broker, &messages("a", 5)).await;
    let mut source = broker.subscribe(&from_now).await.unwrap();
    aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
    while broker_lost(&broker).await {}
    store(&broker, &[message("a", "first"), message("a", "second")]).await;
    assert_eq!(take(&mut source, 2).await, ["first", "second"]);
}

/// Sends until the stream is there again.
async fn broker_lost(broker: &Broker) -> bool {
    use qx_events::ports::{Published, Publisher};
    let answers = broker.publish(&[message("other", "x")]).await;
    matches!(answers.first(), Some(Published::Unknown(_)))
}

#[tokio::test]
async fn a_server_that_lost_everything_is_set_up_again() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    store(&broker, &messages("a", 5)).await;
    take(&mut source, 5).await;
    nats.wipe().unwrap();
    nats.restart().await.unwrap();
    while broker_lost(&broker).await {}
    store(&broker, &[message("a", "reborn")]).await;
    assert_eq!(take(&mut source, 1).await, ["reborn"]);
}

#[tokio::test]
async fn a_source_alone_makes_the_lost_stream_again() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    nats.wipe().unwrap();
    nats.restart().await.unwrap();
    while source.fetch(1, SHORT).await.is_err() {}
    broker.check().await.unwrap();
    store(&broker, &messages("a", 1)).await;
    assert_eq!(take(&mut source, 1).await, ["0"]);
}

#[tokio::test]
async fn a_silent_server_is_noticed_and_its_messages_are_not_lost() {
    let nats = Nats::start().await.unwrap();
    let broker = Broker::connect(impatient(&nats)).await.unwrap();
    let mut source = subscribe(&broker, "c", &["a"]).await;
    nats.pause().unwrap();
    let fault = loop {
        match source.fetch(1, Duration::from_millis(200)).await {
            Ok(got) => assert!(got.is_empty()),
            Err(fault) => break fault,
        }
    };
    assert!(fault.is_transient(), "{}", fault.chain());
    nats.resume().unwrap();
    store(&broker, &messages("a", 2)).await;
    assert_eq!(bodies_of_all(&mut source).await, ["0", "1"]);
}

async fn bodies_of_all(source: &mut Box<dyn Source>) -> Vec<String> {
    take(source, 2).await
}

#[tokio::test]
async fn a_receipt_without_a_connection_fails_at_once() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    store(&broker, &messages("a", 1)).await;
    let got = source.fetch(1, LONG).await.unwrap();
    nats.kill();
    while source.fetch(1, SHORT).await.is_ok() {}
    assert!(got[0].receipt.ack().await.unwrap_err().is_transient());
    assert_eq!(bodies(&got), ["0"]);
}

/// By its position, the new message could be taken for the old one.
#[tokio::test]
async fn an_acknowledgement_of_before_a_loss_does_not_settle_the_message_in_its_place() {
    for is_wiped in [false, true] {
        let mut nats = Nats::start().await.unwrap();
        let broker = broker(&nats).await;
        let mut source = subscribe(&broker, "c", &["a"]).await;
        store(&broker, &[message("a", "old")]).await;
        let old = next(&mut source).await;
        let before = broker.state().await.unwrap();
        if is_wiped {
            nats.wipe().unwrap();
            nats.restart().await.unwrap();
        } else {
            aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
        }
        let after = state(&broker).await;
        assert_eq!((before.last_seq, after.last_seq), (1, 0));
        assert_ne!(before.created_ns, after.created_ns);
        store_at_last(&broker, &message("a", "new")).await;
        let new = next(&mut source).await;
        assert_eq!(
            (&new.body[..], new.stream_seq),
            (&b"new"[..], old.stream_seq)
        );
        let late = old.receipt.ack().await.unwrap_err();
        assert!(late.is_transient(), "{}", late.chain());
        new.receipt.nak(Duration::ZERO).await.unwrap();
        let again = next(&mut source).await;
        assert_eq!((&again.body[..], again.delivered), (&b"new"[..], 2));
    }
}

/// The next message, however long the source takes to find its feet.
async fn next(source: &mut Box<dyn Source>) -> Delivery {
    let until = tokio::time::Instant::now() + LONG;
    loop {
        if let Some(delivery) = source
            .fetch(1, SHORT)
            .await
            .ok()
            .and_then(|mut some| some.pop())
        {
            return delivery;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "no message within {LONG:?}"
        );
    }
}

/// The state, as soon as the server answers again.
async fn state(broker: &Broker) -> StreamState {
    let until = tokio::time::Instant::now() + LONG;
    loop {
        match broker.state().await {
            Ok(state) => return state,
            Err(fault) => assert!(fault.is_transient(), "{}", fault.chain()),
        }
        assert!(
            tokio::time::Instant::now() < until,
            "no state within {LONG:?}"
        );
    }
}

async fn store_at_last(broker: &Broker, message: &Outgoing) {
    let until = tokio::time::Instant::now() + LONG;
    loop {
        let answers = broker.publish(std::slice::from_ref(message)).await;
        if matches!(answers[..], [Published::Stored(_)]) {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{answers:?}");
    }
}

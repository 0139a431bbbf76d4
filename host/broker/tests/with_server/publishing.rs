//! Each message gets its answer: stored, refused for good, or unknown.

use std::time::{Duration, Instant};

use crate::world::{LONG, aside, broker, impatient, message, messages, store, subscribe};
use async_nats::jetstream::stream::Config;
use qx_broker::Broker;
use qx_broker::testing::{Nats, Setup};
use qx_events::ports::{Published, Publisher, StoredAt, Stream};
use qx_events::wire;

fn stored(published: &Published) -> &StoredAt {
    match published {
        Published::Stored(at) => at,
        Published::Refused(_) | Published::Unknown(_) => panic!("{published:?}"),
    }
}

#[tokio::test]
async fn messages_are_stored_in_order_with_an_answer_each() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    // More than a window, so that it has to move.
    let answers = broker.publish(&messages("a.b", 1500)).await;
    let sequences: Vec<u64> = answers
        .iter()
        .map(|answer| stored(answer).sequence)
        .collect();
    assert_eq!(sequences, (1..=1500).collect::<Vec<u64>>());
    assert!(
        answers
            .iter()
            .all(|answer| stored(answer).stream == "QX_EVENTS")
    );
    assert_eq!(broker.publish(&[]).await, []);
}

#[tokio::test]
async fn a_message_sent_again_is_stored_once() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let batch = messages("a.b", 3);
    store(&broker, &batch).await;
    for (index, answer) in broker.publish(&batch).await.iter().enumerate() {
        let at = stored(answer);
        assert!(at.duplicate);
        assert_eq!(at.sequence, index as u64 + 1);
    }
}

#[tokio::test]
async fn subject_headers_and_body_arrive_as_they_were() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let body = r#"{ "n": 1.10, "ü": "\u00fc" }"#;
    let sent = message("github.pull_request_review_thread.resolved", body);
    store(&broker, std::slice::from_ref(&sent)).await;
    let mut source = subscribe(&broker, "c", &[">"]).await;
    let got = source.fetch(1, LONG).await.unwrap();
    assert_eq!(
        got[0].subject,
        "svc.github.pull_request_review_thread.resolved"
    );
    assert_eq!(got[0].body, body.as_bytes());
    for (name, value) in &sent.headers.0 {
        assert_eq!(
            got[0]
                .headers
                .0
                .iter()
                .find(|(own, _)| own == name)
                .unwrap()
                .1,
            *value
        );
    }
    let id = sent.message_id.to_string();
    assert_eq!(got[0].headers.get("Nats-Msg-Id"), Some(id.as_str()));
    assert_eq!(got[0].headers.get(wire::EVENT_ID), Some(id.as_str()));
}

#[tokio::test]
async fn only_the_message_that_is_wrong_is_refused() {
    let setup = Setup {
        extra: "max_payload: 4096".to_owned(),
        ..Setup::default()
    };
    let nats = Nats::start_with(setup).await.unwrap();
    let broker = broker(&nats).await;
    let mut batch = messages("a", 4);
    batch[1] = message("a", &"x".repeat(5000));
    batch[2]
        .headers
        .0
        .push(("x".to_owned(), "a\r\nb".to_owned()));
    let answers = broker.publish(&batch).await;
    assert_eq!(stored(&answers[0]).sequence, 1);
    assert!(
        matches!(&answers[1], Published::Refused(why) if why.contains("max_payload")),
        "{answers:?}"
    );
    assert!(
        matches!(&answers[2], Published::Refused(why) if why.contains("line break")),
        "{answers:?}"
    );
    assert_eq!(stored(&answers[3]).sequence, 2);
}

#[tokio::test]
async fn a_message_larger_than_the_stream_takes_is_refused() {
    let nats = Nats::start().await.unwrap();
    let small = Config {
        name: "QX_EVENTS".to_owned(),
        subjects: vec!["svc.>".to_owned()],
        max_message_size: 1000,
        duplicate_window: Duration::from_mins(10),
        ..Config::default()
    };
    aside(&nats).await.create_stream(small).await.unwrap();
    let broker = broker(&nats).await;
    let answers = broker
        .publish(&[message("a", &"x".repeat(2000)), message("a", "1")])
        .await;
    assert!(
        matches!(&answers[0], Published::Refused(why) if why.contains("max_msg_size")),
        "{answers:?}"
    );
    stored(&answers[1]);
}

#[tokio::test]
async fn a_stream_that_is_full_leaves_everything_unknown() {
    let nats = Nats::start().await.unwrap();
    let full = Config {
        name: "QX_EVENTS".to_owned(),
        subjects: vec!["svc.>".to_owned()],
        max_messages: 1,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        duplicate_window: Duration::from_mins(10),
        ..Config::default()
    };
    aside(&nats).await.create_stream(full).await.unwrap();
    let broker = broker(&nats).await;
    let answers = broker.publish(&messages("a", 3)).await;
    stored(&answers[0]);
    assert!(
        matches!(&answers[1], Published::Unknown(why) if why.contains("maximum messages")),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_stream_that_is_gone_is_made_again_with_the_next_message() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let batch = messages("a", 3);
    store(&broker, &batch).await;
    aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
    assert!(broker.check().await.unwrap_err().is_transient());
    let answers = broker.publish(&batch).await;
    assert!(
        matches!(&answers[0], Published::Unknown(why) if why.contains("it is gone")),
        "{answers:?}"
    );
    store(&broker, &batch).await;
    broker.check().await.unwrap();
}

#[tokio::test]
async fn without_a_connection_the_answer_is_unknown_at_once() {
    let mut nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let batch = messages("a", 1000);
    store(&broker, &batch[..10]).await;
    nats.kill();
    let began = Instant::now();
    for answer in broker.publish(&batch).await {
        assert!(matches!(answer, Published::Unknown(_)), "{answer:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    nats.restart().await.unwrap();
    // A new line is laid by the first call that needs it.
    store(&broker, &batch).await;
}

#[tokio::test]
async fn what_was_given_up_is_not_sent_later() {
    let mut nats = Nats::start().await.unwrap();
    let broker = Broker::connect(impatient(&nats)).await.unwrap();
    store(&broker, &messages("a", 1)).await;
    nats.pause().unwrap();
    // Enough to fill the socket, so that the rest waits in the client.
    let large: Vec<_> = (0..400)
        .map(|_| message("b", &"x".repeat(100_000)))
        .collect();
    for answer in broker.publish(&large).await {
        assert!(matches!(answer, Published::Unknown(_)), "{answer:?}");
    }
    nats.restart().await.unwrap();
    store(&broker, &messages("c", 1)).await;
    // Longer than a connection takes to come back.
    let mut source = subscribe(&broker, "late", &["b"]).await;
    let late = source.fetch(1, Duration::from_millis(1500)).await.unwrap();
    assert!(late.is_empty(), "{late:?}");
}

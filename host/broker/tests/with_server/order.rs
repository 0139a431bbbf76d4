//! No message is stored before one that was given earlier, whatever the server, or
//! another program, does in between. Atomic batches keep the same promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream::stream::DiscardPolicy;
use qx_broker::testing::Nats;
use qx_broker::{Beside, Broker, NatsConfig, PublishWay};
use qx_events::ports::{Published, Publisher};
use qx_events::wire::Outgoing;

use crate::world::{aside, broker, made, message, messages, store};

async fn with_way(nats: &Nats, publish: PublishWay) -> Broker {
    let config = NatsConfig {
        publish,
        ..nats.config()
    };
    Broker::connect(config).await.unwrap()
}

/// What the stream has of our messages, in its order: their ids, and whether they
/// came in a batch.
async fn on_the_stream(nats: &Nats) -> Vec<(String, bool)> {
    let stream = aside(nats).await.get_stream("QX_EVENTS").await.unwrap();
    let state = stream.cached_info().state.clone();
    let mut ids = Vec::new();
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        if let Some(id) = message.headers.get("Nats-Msg-Id") {
            let batch = message.headers.get("Nats-Batch-Id").is_some();
            ids.push((id.to_string(), batch));
        }
    }
    ids
}

fn ids(messages: &[Outgoing]) -> Vec<String> {
    let id = |message: &Outgoing| message.message_id.to_string();
    messages.iter().map(id).collect()
}

fn is_stored(answer: &Published) -> bool {
    matches!(answer, Published::Stored(_))
}

#[tokio::test]
async fn nothing_overtakes_a_message_that_the_stream_has_no_room_for() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |it| {
        it.max_bytes = 8_000;
        it.discard = DiscardPolicy::New;
    })
    .await;
    let broker = broker(&nats).await;
    let mut rows = messages("a", 10);
    // There is room for all but this one.
    rows[4] = message("a", &"x".repeat(7_000));
    let answers = broker.publish(&rows).await;
    assert!(answers[..4].iter().all(is_stored), "{answers:?}");
    assert!(
        answers[4..]
            .iter()
            .all(|it| matches!(it, Published::Unknown(_))),
        "{answers:?}"
    );
    let found: Vec<_> = on_the_stream(&nats)
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(found, ids(&rows[..4]));
}

#[tokio::test]
async fn other_programs_on_the_stream_neither_stop_nor_reorder_ours() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let other = aside(&nats).await;
    let enough = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&enough);
    let noise = async move {
        while !until.load(Ordering::Relaxed) {
            let sent = other.publish("svc.noise", "x".into()).await.unwrap();
            sent.await.unwrap();
        }
    };
    let rows = messages("a", 1_500);
    let ours = async {
        let answers = broker.publish(&rows).await;
        enough.store(true, Ordering::Relaxed);
        answers
    };
    let (answers, ()) = tokio::join!(ours, noise);
    assert!(answers.iter().all(is_stored));
    // When it is quiet again, so are we.
    store(&broker, &messages("b", 1_500)).await;
    let found = on_the_stream(&nats).await.into_iter().map(|it| it.0);
    assert!(found.take(1_500).eq(ids(&rows)), "reordered");
}

#[tokio::test]
async fn what_is_sent_again_goes_on_behind_what_was_stored() {
    let nats = Nats::start().await.unwrap();
    for way in [PublishWay::Pipelined, PublishWay::Batch] {
        let broker = with_way(&nats, way).await;
        let rows = messages("a", 30);
        store(&broker, &rows[..11]).await;
        let before = on_the_stream(&nats).await.len() - 11;
        store(&broker, &rows).await;
        let found: Vec<_> = on_the_stream(&nats)
            .await
            .into_iter()
            .skip(before)
            .collect();
        let found: Vec<_> = found.into_iter().map(|it| it.0).collect();
        assert_eq!(found, ids(&rows), "{way:?}");
    }
}

#[tokio::test]
async fn a_batch_is_stored_side_by_side_and_answered_for_each() {
    let nats = Nats::start().await.unwrap();
    let broker = with_way(&nats, PublishWay::Batch).await;
    let rows = messages("a", 1_200);
    let answers = broker.publish(&rows).await;
    let places = answers.iter().map(|answer| match answer {
        Published::Stored(at) => at.sequence,
        Published::Refused(why) | Published::Unknown(why) => panic!("{why}"),
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        (1..=1_200).collect::<Vec<u64>>()
    );
    let found = on_the_stream(&nats).await;
    assert!(found.iter().all(|(_, batch)| *batch));
    let found: Vec<_> = found.into_iter().map(|it| it.0).collect();
    assert_eq!(found, ids(&rows));
}

#[tokio::test]
async fn a_batch_that_cannot_go_as_one_goes_message_by_message() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |it| {
        it.allow_atomic_publish = true;
        it.max_message_size = 2_000;
    })
    .await;
    let broker = with_way(&nats, PublishWay::Batch).await;
    let mut rows = messages("a", 10);
    rows[4] = message("a", &"x".repeat(3_000));
    let answers = broker.publish(&rows).await;
    for (index, answer) in answers.iter().enumerate() {
        let refused = matches!(answer, Published::Refused(_));
        assert_eq!(refused, index == 4, "{answer:?}");
    }
    rows.remove(4);
    let found: Vec<_> = on_the_stream(&nats)
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(found, ids(&rows));
}

#[tokio::test]
async fn a_stream_that_takes_no_batches_is_served_pipelined() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |_| ()).await;
    let broker = with_way(&nats, PublishWay::Batch).await;
    let rows = messages("a", 100);
    store(&broker, &rows).await;
    let found = on_the_stream(&nats).await;
    assert!(found.iter().all(|(_, batch)| !batch));
    let found: Vec<_> = found.into_iter().map(|it| it.0).collect();
    assert_eq!(found, ids(&rows));
}

#[tokio::test]
async fn nothing_new_is_stored_on_a_stream_that_lost_what_it_had_confirmed() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let rows = messages("a", 30);
    store(&broker, &rows[..20]).await;
    // Behind a connection that stands.
    aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
    made(&nats, |_| ()).await;
    let answers = broker.publish(&rows[20..]).await;
    assert!(
        answers.iter().all(|it| matches!(it, Published::Unknown(_))),
        "{answers:?}"
    );
    assert_eq!(on_the_stream(&nats).await, []);
    // The relay looks, and sends all of them.
    assert_eq!(broker.state().await.unwrap().last_seq, 0);
    store(&broker, &rows).await;
    let found: Vec<_> = on_the_stream(&nats)
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(found, ids(&rows));
}

/// A relay of a part of the outbox.
async fn beside_others(nats: &Nats) -> Broker {
    let config = NatsConfig {
        beside: Beside::Relays,
        ..nats.config()
    };
    Broker::connect(config).await.unwrap()
}

/// What the stream has of these, in its order.
async fn of_these(nats: &Nats, rows: &[Outgoing]) -> Vec<String> {
    let ours = ids(rows);
    let found = on_the_stream(nats).await.into_iter().map(|it| it.0);
    found.filter(|id| ours.contains(id)).collect()
}

#[tokio::test]
async fn relays_beside_each_other_keep_each_its_own_order_with_batches_and_without() {
    for batches in [true, false] {
        let nats = Nats::start().await.unwrap();
        made(&nats, |it| it.allow_atomic_publish = batches).await;
        let (one, two) = (beside_others(&nats).await, beside_others(&nats).await);
        let (rows, others) = (messages("a", 400), messages("b", 400));
        let publish = async |relay: &Broker, rows: &[Outgoing]| {
            for some in rows.chunks(70) {
                assert!(relay.publish(some).await.iter().all(is_stored));
            }
        };
        tokio::join!(publish(&one, &rows), publish(&two, &others));
        assert_eq!(of_these(&nats, &rows).await, ids(&rows));
        assert_eq!(of_these(&nats, &others).await, ids(&others));
        let found = on_the_stream(&nats).await;
        assert_eq!(found.len(), 800, "each once");
        assert!(found.iter().all(|(_, batch)| *batch == batches));
        // Sent again, as after a crash: nothing is there twice.
        publish(&two, &rows).await;
        assert_eq!(on_the_stream(&nats).await.len(), 800);
    }
}

#[tokio::test]
async fn beside_other_relays_nothing_overtakes_what_the_stream_has_no_room_for() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |it| {
        it.max_bytes = 9_000;
        it.discard = DiscardPolicy::New;
    })
    .await;
    let (one, two) = (beside_others(&nats).await, beside_others(&nats).await);
    let mut rows = messages("a", 10);
    rows[4] = message("a", &"x".repeat(8_000));
    let others = messages("b", 5);
    let (answers, theirs) = tokio::join!(one.publish(&rows), two.publish(&others));
    assert!(theirs.iter().all(is_stored), "{theirs:?}");
    assert!(answers[..4].iter().all(is_stored), "{answers:?}");
    let unknown = |it: &Published| matches!(it, Published::Unknown(_));
    assert!(answers[4..].iter().all(unknown), "{answers:?}");
    assert_eq!(of_these(&nats, &rows).await, ids(&rows[..4]));
}

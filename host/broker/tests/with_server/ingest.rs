//! One answer for many messages: each has its place, none overtakes, and where anything
//! is not as it should be each is asked about.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::DiscardPolicy;
use qx_broker::testing::Nats;
use qx_broker::{Broker, NatsConfig, PublishWay};
use qx_events::ports::{Published, Publisher};
use qx_events::wire::Outgoing;

use crate::world::{aside, made, message, messages, store};

/// A message as it lies on the stream.
struct Lying {
    id: String,
    /// Whether it named the one before it, as messages do that have an answer each.
    is_chained: bool,
}

/// One that has stored a message already: what is on its way is known.
async fn warm(nats: &Nats) -> Broker {
    let config = NatsConfig {
        publish: PublishWay::Pipelined,
        ..nats.config()
    };
    let broker = Broker::connect(config).await.unwrap();
    store(&broker, &messages("first", 1)).await;
    broker
}

/// What lies on the stream, by its place.
async fn lying(nats: &Nats) -> Vec<(u64, Lying)> {
    let stream = aside(nats).await.get_stream("QX_EVENTS").await.unwrap();
    let state = stream.cached_info().state.clone();
    let mut all = Vec::new();
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        if let Some(id) = message.headers.get("Nats-Msg-Id") {
            let chain = message.headers.get("Nats-Expected-Last-Msg-Id");
            let lying = Lying {
                id: id.to_string(),
                is_chained: chain.is_some(),
            };
            all.push((sequence, lying));
        }
    }
    all
}

/// Whether each that was answered as stored lies where the answer says, in this order.
async fn each_lies_where_it_should(nats: &Nats, rows: &[Outgoing], answers: &[Published]) {
    let all = lying(nats).await;
    let places: HashMap<&str, u64> = all.iter().map(|(at, it)| (&*it.id, *at)).collect();
    assert_eq!(places.len(), all.len(), "stored twice");
    let mut before = 0;
    for (row, answer) in rows.iter().zip(answers) {
        if let Published::Stored(stored) = answer {
            let id = row.message_id.to_string();
            assert_eq!(places.get(&*id), Some(&stored.sequence));
            assert!(before < stored.sequence, "reordered");
            before = stored.sequence;
        }
    }
}

fn is_stored(answer: &Published) -> bool {
    matches!(answer, Published::Stored(_))
}

fn is_duplicate(answer: &Published) -> bool {
    matches!(answer, Published::Stored(at) if at.duplicate)
}

#[tokio::test]
async fn many_messages_have_one_answer_and_each_its_place() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    let rows = messages("a", 2_300);
    let answers = broker.publish(&rows).await;
    assert!(answers.iter().all(is_stored) && !answers.iter().any(is_duplicate));
    each_lies_where_it_should(&nats, &rows, &answers).await;
    let all = lying(&nats).await;
    assert!(all.iter().all(|(_, it)| !it.is_chained));
    // A few have an answer each.
    store(&broker, &messages("b", 3)).await;
    let all = lying(&nats).await;
    assert!(all.last().unwrap().1.is_chained);
}

#[tokio::test]
async fn what_a_process_sends_first_has_an_answer_each() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    let rows = messages("a", 40);
    store(&broker, &rows).await;
    // As after a crash before they were marked: with messages of another program between.
    let again = Broker::connect(nats.config()).await.unwrap();
    let other = aside(&nats).await;
    for _ in 0..40 {
        let sent = other.publish("svc.noise", "x".into()).await.unwrap();
        sent.await.unwrap();
    }
    let answers = again.publish(&rows).await;
    assert!(answers.iter().all(is_duplicate));
    each_lies_where_it_should(&nats, &rows, &answers).await;
    let another = Broker::connect(nats.config()).await.unwrap();
    store(&another, &messages("b", 40)).await;
    assert!(lying(&nats).await.last().unwrap().1.is_chained);
}

#[tokio::test]
async fn what_is_there_already_is_found_among_many() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    // At the beginning, in the middle, and where the answer is asked for.
    for known in [0..5, 20..31, 59..60] {
        let rows = messages("a", 60);
        store(&broker, &rows[known.clone()]).await;
        store(&broker, &messages("b", 10)).await;
        let answers = broker.publish(&rows).await;
        for (index, answer) in answers.iter().enumerate() {
            assert!(is_stored(answer), "{answer:?}");
            assert_eq!(is_duplicate(answer), known.contains(&index), "{index}");
        }
        let (before, new): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .zip(answers)
            .partition(|(_, answer)| is_duplicate(answer));
        for part in [before, new] {
            let (rows, answers): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            each_lies_where_it_should(&nats, &rows, &answers).await;
        }
    }
}

#[tokio::test]
async fn among_other_programs_each_message_is_where_the_answer_says() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
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
        let mut answers = Vec::new();
        for some in rows.chunks(150) {
            answers.extend(broker.publish(some).await);
        }
        enough.store(true, Ordering::Relaxed);
        answers
    };
    let (answers, ()) = tokio::join!(ours, noise);
    assert!(answers.iter().all(is_stored));
    each_lies_where_it_should(&nats, &rows, &answers).await;
}

#[tokio::test]
async fn nothing_overtakes_one_of_many_that_the_stream_has_no_room_for() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |it| {
        it.allow_batch_publish = true;
        it.max_bytes = 8_000;
        it.discard = DiscardPolicy::New;
    })
    .await;
    let broker = warm(&nats).await;
    let mut rows = messages("a", 10);
    // There is room for all but this one.
    rows[4] = message("a", &"x".repeat(7_000));
    let answers = broker.publish(&rows).await;
    assert!(answers[..4].iter().all(is_stored), "{answers:?}");
    let unknown = |it: &Published| matches!(it, Published::Unknown(_));
    assert!(answers[4..].iter().all(unknown), "{answers:?}");
    let all = lying(&nats).await;
    assert_eq!(all.len(), 1 + 4);
    each_lies_where_it_should(&nats, &rows, &answers).await;
}

#[tokio::test]
async fn only_the_one_of_many_is_refused_that_is_larger_than_the_stream_takes() {
    let nats = Nats::start().await.unwrap();
    made(&nats, |it| {
        it.allow_batch_publish = true;
        it.max_message_size = 2_000;
    })
    .await;
    let broker = warm(&nats).await;
    let mut rows = messages("a", 30);
    rows[14] = message("a", &"x".repeat(3_000));
    let answers = broker.publish(&rows).await;
    for (index, answer) in answers.iter().enumerate() {
        let refused = matches!(answer, Published::Refused(_));
        assert_eq!(refused, index == 14, "{answer:?}");
    }
    each_lies_where_it_should(&nats, &rows, &answers).await;
}

#[tokio::test]
async fn none_of_many_is_stored_on_a_stream_that_lost_what_it_had_confirmed() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    let rows = messages("a", 60);
    store(&broker, &rows[..30]).await;
    // Behind a connection that stands.
    aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
    made(&nats, |it| it.allow_batch_publish = true).await;
    let answers = broker.publish(&rows[30..]).await;
    let unknown = |it: &Published| matches!(it, Published::Unknown(_));
    assert!(answers.iter().all(unknown), "{answers:?}");
    assert_eq!(lying(&nats).await.len(), 0);
    // The relay looks, and sends all of them.
    assert_eq!(broker.state().await.unwrap().last_seq, 0);
    let answers = broker.publish(&rows).await;
    assert!(answers.iter().all(is_stored));
    each_lies_where_it_should(&nats, &rows, &answers).await;
}

#[tokio::test]
async fn many_messages_to_a_stream_that_is_gone_are_unknown_and_it_is_made_again() {
    let nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    aside(&nats).await.delete_stream("QX_EVENTS").await.unwrap();
    let rows = messages("a", 30);
    let unknown = |it: &Published| matches!(it, Published::Unknown(_));
    let answers = broker.publish(&rows).await;
    assert!(answers.iter().all(unknown), "{answers:?}");
    // The stream is new, and ends before what it had: nobody knows until somebody looks.
    while !broker.publish(&rows).await.iter().all(is_stored) {
        broker.state().await.unwrap();
    }
    let all = lying(&nats).await.into_iter().map(|(_, it)| it.id);
    assert!(all.eq(rows.iter().map(|row| row.message_id.to_string())));
}

#[tokio::test]
async fn many_that_were_on_their_way_when_the_server_died_are_stored_once() {
    let mut nats = Nats::start().await.unwrap();
    let broker = warm(&nats).await;
    let rows = messages("a", 3_000);
    let dying = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        nats.kill();
    };
    let (answers, ()) = tokio::join!(broker.publish(&rows), dying);
    assert_eq!(answers.len(), rows.len());
    nats.restart().await.unwrap();
    while !broker.publish(&rows).await.iter().all(is_stored) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = lying(&nats).await.into_iter().map(|(_, it)| it.id);
    let ours = rows.iter().map(|row| row.message_id.to_string());
    assert!(all.skip(1).eq(ours), "reordered, lost or twice");
}

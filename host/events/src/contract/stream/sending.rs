//! What is sent arrives: as it was, once, in order, where it is wanted.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;

use super::{
    PATIENCE, QUIET, World, bodies, message, next, nothing, ok, send, subscribe, subscription, take,
};
use crate::wire::Outgoing;

/// Subject, headers and body are those that were sent; the position is the one
/// that the answer gave.
pub async fn a_message_arrives_as_it_was_sent(world: &impl World) {
    let sent = message("order.placed");
    let stored = send(world, std::slice::from_ref(&sent)).await;
    let mut source = subscribe(world, &subscription("a", &["order.placed"])).await;
    let came = next(&mut source).await;
    assert!(came.subject.ends_with(".order.placed"), "{}", came.subject);
    assert_eq!(came.body, sent.body);
    for (name, value) in &sent.headers.0 {
        assert_eq!(came.headers.get(name), Some(value.as_str()), "{name}");
    }
    assert_eq!(came.delivered, 1);
    assert_eq!(
        stored.first().map(|stored| stored.sequence),
        Some(came.stream_seq)
    );
    assert!(
        stored
            .iter()
            .all(|stored| !stored.duplicate && !stored.stream.is_empty())
    );
}

/// Up to the sizes that real events have.
pub async fn a_large_body_arrives_byte_for_byte(world: &impl World) {
    let text = "\u{fc}\\u0000\\\"\u{1f680} ".repeat(2_000);
    let sent = Outgoing {
        body: format!(r#"{{"payload":"{text}"}}"#).into(),
        ..message("a")
    };
    send(world, std::slice::from_ref(&sent)).await;
    let mut source = subscribe(world, &subscription("a", &[">"])).await;
    assert_eq!(next(&mut source).await.body, sent.body);
}

/// However many are stored at once, among those that are stored already: each has its
/// own answer.
pub async fn many_messages_have_an_answer_each(world: &impl World) {
    let mut all: Vec<Outgoing> = (0..150).map(|_| message("a")).collect();
    let early: Vec<Outgoing> = all.iter().skip(3).step_by(40).cloned().collect();
    let known = send(world, &early).await;
    let twice = all.iter().take(100).last().cloned();
    all.splice(100..100, twice);
    let stored = send(world, &all).await;
    assert_eq!(stored.len(), all.len());
    for (index, (message, at)) in all.iter().zip(&stored).enumerate() {
        let before = early
            .iter()
            .position(|one| one.message_id == message.message_id);
        let first = before.and_then(|before| known.get(before));
        assert_eq!(at.duplicate, first.is_some() || index == 100, "{index}");
        assert!(
            first.is_none_or(|first| first.sequence == at.sequence),
            "{index}"
        );
    }
    let place = |index: usize| stored.get(index).map(|at| at.sequence);
    assert_eq!(place(100), place(99));
    let new: Vec<u64> = stored
        .iter()
        .filter(|at| !at.duplicate)
        .map(|at| at.sequence)
        .collect();
    assert!(new.is_sorted_by(|a, b| a < b));
}

/// In another call or in the same one; the answer names the first one's place.
pub async fn a_second_message_with_the_same_id_is_not_stored(world: &impl World) {
    let first = message("a");
    let stored = send(world, std::slice::from_ref(&first)).await;
    let again = send(world, &[first.clone(), first.clone(), message("a")]).await;
    let duplicate: Vec<bool> = again.iter().map(|stored| stored.duplicate).collect();
    assert_eq!(duplicate, [true, true, false]);
    let sequence = stored.first().map(|stored| stored.sequence);
    assert_eq!(again.first().map(|stored| stored.sequence), sequence);
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    take(&mut source, 2).await;
    nothing(&mut source, QUIET).await;
}

/// Positions grow from message to message, over calls too.
pub async fn answers_and_deliveries_stand_in_the_order_of_sending(world: &impl World) {
    let sent: Vec<Outgoing> = (0..60).map(|_| message("a.b")).collect();
    let (early, late) = sent.split_at(25);
    let mut stored = send(world, early).await;
    stored.extend(send(world, late).await);
    assert!(stored.is_sorted_by(|a, b| a.sequence < b.sequence));
    let mut source = subscribe(world, &subscription("a", &["a.b"])).await;
    let came = take(&mut source, sent.len()).await;
    let expected: Vec<Bytes> = sent.iter().map(|message| message.body.clone()).collect();
    assert_eq!(bodies(&came), expected);
}

/// Exact names, `*` for one token, `>` for the rest.
pub async fn a_consumer_gets_what_its_patterns_match_and_nothing_else(world: &impl World) {
    let names = [
        "order",
        "order.placed",
        "order.item.added",
        "user.placed",
        "user.left",
        "ping",
    ];
    let sent: Vec<Outgoing> = names.into_iter().map(message).collect();
    send(world, &sent).await;
    for (component, patterns, expected) in [
        (
            "exact",
            &["order.placed", "ping"][..],
            &["order.placed", "ping"][..],
        ),
        ("one", &["*.placed"], &["order.placed", "user.placed"]),
        ("rest", &["order.>"], &["order.placed", "order.item.added"]),
        (
            "mixed",
            &["ping", "user.*"],
            &["user.placed", "user.left", "ping"],
        ),
        ("all", &[">"], &names),
    ] {
        let mut source = subscribe(world, &subscription(component, patterns)).await;
        let came = take(&mut source, expected.len()).await;
        for (delivery, name) in came.iter().zip(expected) {
            let subject = &delivery.subject;
            assert!(
                subject.ends_with(&format!(".{name}")),
                "{component}: {subject}, not {name}"
            );
        }
        nothing(&mut source, QUIET).await;
    }
}

/// What one settles, the other still gets.
pub async fn every_component_gets_every_message(world: &impl World) {
    let mut first = subscribe(world, &subscription("first", &["a"])).await;
    let mut second = subscribe(world, &subscription("second", &["a"])).await;
    send(world, &[message("a")]).await;
    ok(next(&mut first).await.receipt.ack().await);
    assert_eq!(next(&mut second).await.delivered, 1);
}

/// The caller has a permit for each, and no more.
pub async fn a_fetch_gives_no_more_than_it_was_asked_for(world: &impl World) {
    send(world, &(0..10).map(|_| message("a")).collect::<Vec<_>>()).await;
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    let came = ok(source.fetch(3, PATIENCE).await);
    assert!((1..=3).contains(&came.len()), "{} messages", came.len());
    assert_eq!(
        take(&mut source, 10 - came.len()).await.len(),
        10 - came.len()
    );
}

/// And comes back empty-handed, not with an error.
pub async fn a_fetch_waits_no_longer_than_it_was_told(world: &impl World) {
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    let begun = Instant::now();
    nothing(&mut source, QUIET).await;
    assert!(
        begun.elapsed() >= QUIET / 2,
        "came back after {:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < PATIENCE,
        "came back after {:?}",
        begun.elapsed()
    );
}

/// It need not wait to its end.
pub async fn a_fetch_that_waits_is_woken_by_a_message(world: &impl World) {
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    let begun = Instant::now();
    let messages = [message("a")];
    let (came, _) = both(next(&mut source), send(world, &messages)).await;
    assert_eq!(came.delivered, 1);
    assert!(
        begun.elapsed() < PATIENCE / 2,
        "woken after {:?}",
        begun.elapsed()
    );
}

/// Runs two futures side by side, without a runtime.
async fn both<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> (A, B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut from_left, mut from_right) = (None, None);
    poll_fn(|context| {
        if from_left.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(context)
        {
            from_left = Some(value);
        }
        if from_right.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(context)
        {
            from_right = Some(value);
        }
        match (from_left.take(), from_right.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (from_left, from_right) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

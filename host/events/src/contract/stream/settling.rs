//! What was delivered is settled: acknowledged, handed back, extended or
//! terminated, and comes again when it is not.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    ACK_WAIT, PATIENCE, QUIET, World, bodies, impatient, message, next, nothing, ok, send,
    subscribe, subscription, take,
};
use crate::ports::Subscription;

/// Not even when the wait for the acknowledgement is over.
pub async fn an_acknowledged_message_does_not_come_again(world: &impl World) {
    send(world, &[message("a")]).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    ok(next(&mut source).await.receipt.ack().await);
    nothing(&mut source, ACK_WAIT + QUIET).await;
}

/// After the wait, not before.
pub async fn an_unsettled_message_comes_again_and_is_counted(world: &impl World) {
    send(world, &[message("a")]).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    let first = next(&mut source).await;
    let begun = Instant::now();
    let second = next(&mut source).await;
    assert!(
        begun.elapsed() >= ACK_WAIT / 2,
        "came again after {:?}",
        begun.elapsed()
    );
    assert_eq!((first.delivered, second.delivered), (1, 2));
    assert_eq!(first.stream_seq, second.stream_seq);
}

/// The pause is the host's to compute.
pub async fn a_handed_back_message_comes_again_after_the_pause(world: &impl World) {
    send(world, &[message("a")]).await;
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    let pause = Duration::from_millis(700);
    let begun = Instant::now();
    ok(next(&mut source).await.receipt.nak(pause).await);
    nothing(&mut source, QUIET / 2).await;
    let again = next(&mut source).await;
    assert!(
        begun.elapsed() >= pause / 2,
        "came again after {:?}",
        begun.elapsed()
    );
    assert_eq!(again.delivered, 2);
    ok(again.receipt.nak(Duration::ZERO).await);
    assert_eq!(next(&mut source).await.delivered, 3);
}

/// Later messages come in the meantime.
pub async fn a_handed_back_message_does_not_hold_up_the_others(world: &impl World) {
    let sent = [message("a"), message("a"), message("a")];
    send(world, &sent).await;
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    ok(next(&mut source).await.receipt.nak(PATIENCE * 6).await);
    let came = take(&mut source, 2).await;
    let expected: Vec<Bytes> = sent.iter().skip(1).map(|sent| sent.body.clone()).collect();
    assert_eq!(bodies(&came), expected);
}

/// As long as it is reported in time.
pub async fn progress_keeps_a_message_from_coming_again(world: &impl World) {
    send(world, &[message("a")]).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    let delivery = next(&mut source).await;
    for _ in 0..5 {
        nothing(&mut source, ACK_WAIT / 3).await;
        ok(delivery.receipt.progress().await);
    }
    ok(delivery.receipt.ack().await);
    nothing(&mut source, ACK_WAIT + QUIET).await;
}

/// Its dead letter is written; nobody may see it twice.
pub async fn a_terminated_message_does_not_come_again(world: &impl World) {
    send(world, &[message("a"), message("a")]).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    let first = next(&mut source).await;
    ok(first.receipt.term("rejected: no such order").await);
    let second = next(&mut source).await;
    assert!(second.stream_seq > first.stream_seq);
    ok(second.receipt.ack().await);
    nothing(&mut source, ACK_WAIT + QUIET).await;
}

/// The effects of the first delivery are committed, so the second is over too.
pub async fn a_late_acknowledgement_is_accepted(world: &impl World) {
    send(world, &[message("a")]).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    let first = next(&mut source).await;
    let second = next(&mut source).await;
    ok(first.receipt.ack().await);
    ok(second.receipt.ack().await);
    nothing(&mut source, ACK_WAIT + QUIET).await;
}

/// `in_flight_max` holds over fetches; what is settled makes room.
pub async fn unsettled_messages_are_bounded(world: &impl World) {
    send(world, &(0..5).map(|_| message("a")).collect::<Vec<_>>()).await;
    let bounded = Subscription {
        in_flight_max: 2,
        ..subscription("a", &["a"])
    };
    let mut source = subscribe(world, &bounded).await;
    let mut came = take(&mut source, 2).await;
    nothing(&mut source, QUIET).await;
    let Some(first) = came.pop() else { return };
    ok(first.receipt.ack().await);
    let third = next(&mut source).await;
    assert!(third.stream_seq > first.stream_seq);
    nothing(&mut source, QUIET).await;
}

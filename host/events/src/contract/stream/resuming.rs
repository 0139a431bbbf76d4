//! Taking a durable consumer over, to work alone and in order.

use super::{
    PATIENCE, QUIET, World, bodies, message, next, nothing, ok, resume, send, subscribe,
    subscription, take,
};
use crate::ports::{Delivery, Subscription};
use crate::settings::StartFrom;

fn positions(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|came| came.stream_seq).collect()
}

/// Not when the acknowledgement wait of the former holder is over, which is a
/// minute here; and before anything that is newer.
pub async fn what_was_in_hand_comes_again_at_once_and_in_order(world: &impl World) {
    let sent: Vec<_> = (0..6).map(|_| message("a")).collect();
    let stored = send(world, &sent).await;
    let wanted = subscription("a", &["a"]);
    let mut former = subscribe(world, &wanted).await;
    let held = take(&mut former, 4).await;
    if let Some(second) = held.get(1) {
        ok(second.receipt.ack().await);
    }
    if let Some(fourth) = held.get(3) {
        ok(fourth.receipt.nak(PATIENCE).await);
    }
    nothing_newer_than(world, &mut former).await;
    let mut next_holder = resume(world, &wanted).await;
    let mut came = Vec::new();
    while came.last() != stored.last().map(|stored| &stored.sequence) {
        came.push(next(&mut next_holder).await.stream_seq);
    }
    assert!(came.is_sorted_by(|a, b| a < b), "{came:?}");
    // The second was settled: it may come again, and need not.
    for (nth, stored) in stored.iter().enumerate().filter(|(nth, _)| *nth != 1) {
        assert!(came.contains(&stored.sequence), "{nth}: {came:?}");
    }
}

/// Takes the rest away, so that the acknowledgement before it has arrived.
async fn nothing_newer_than(world: &impl World, former: &mut Box<dyn crate::ports::Source>) {
    take(former, 2).await;
    ok(world.stream().check().await);
}

/// Neither the beginning nor the end of the stream: its own place.
pub async fn what_is_behind_a_consumer_stays_behind_it(world: &impl World) {
    let wanted = subscription("a", &["a"]);
    send(world, &[message("a"), message("a")]).await;
    let mut source = resume(world, &wanted).await;
    for delivery in take(&mut source, 2).await {
        ok(delivery.receipt.ack().await);
    }
    nothing(&mut source, QUIET).await; // The acknowledgements have arrived.
    let later = [message("a"), message("a")];
    send(world, &later).await;
    drop(source);
    let from_now = Subscription {
        start: StartFrom::Now,
        ..wanted.clone()
    };
    let mut source = resume(world, &from_now).await;
    assert_eq!(bodies(&take(&mut source, 2).await), bodies_of(&later));
    drop(source);
    // Whoever does not work in order goes on from the same place.
    let mut source = resume(world, &wanted).await;
    for delivery in take(&mut source, 2).await {
        ok(delivery.receipt.ack().await);
    }
    nothing(&mut source, QUIET).await;
    drop(source);
    let last = [message("a")];
    send(world, &last).await;
    let mut source = subscribe(world, &wanted).await;
    assert_eq!(bodies(&take(&mut source, 1).await), bodies_of(&last));
    nothing(&mut source, QUIET).await;
}

fn bodies_of(sent: &[crate::wire::Outgoing]) -> Vec<bytes::Bytes> {
    sent.iter().map(|message| message.body.clone()).collect()
}

/// As one that is subscribed to.
pub async fn a_consumer_that_was_never_there_begins_where_it_should(world: &impl World) {
    let early = [message("a")];
    send(world, &early).await;
    let mut first = resume(world, &subscription("first", &["a"])).await;
    assert_eq!(bodies(&take(&mut first, 1).await), bodies_of(&early));
    let from_now = Subscription {
        start: StartFrom::Now,
        ..subscription("second", &["a"])
    };
    let mut second = resume(world, &from_now).await;
    nothing(&mut second, QUIET).await;
    let late = [message("a")];
    send(world, &late).await;
    assert_eq!(bodies(&take(&mut second, 1).await), bodies_of(&late));
}

/// Either it is handed nothing, or the new one sees by the count that it was.
pub async fn who_was_resumed_over_gets_nothing_that_is_missed(world: &impl World) {
    let wanted = subscription("a", &["a"]);
    let mut former = resume(world, &wanted).await;
    nothing(&mut former, QUIET).await; // A request may still stand.
    let mut current = resume(world, &wanted).await;
    let stored = send(world, &(0..4).map(|_| message("a")).collect::<Vec<_>>()).await;
    let came = take(&mut current, 4).await;
    let sent: Vec<u64> = stored.iter().map(|stored| stored.sequence).collect();
    assert_eq!(positions(&came), sent);
}

/// From one, with every redelivery.
pub async fn handing_over_is_counted_without_a_gap(world: &impl World) {
    let wanted = subscription("a", &["a"]);
    send(world, &[message("a"), message("a"), message("a")]).await;
    for round in 0..2 {
        let mut source = resume(world, &wanted).await;
        let mut count = 0;
        for delivery in take(&mut source, 3).await {
            count += 1;
            let counted = delivery.handed_over;
            assert!(counted.is_none_or(|n| n == count), "{round}: {counted:?}");
            if count == 1 {
                ok(delivery.receipt.nak(std::time::Duration::ZERO).await);
            }
        }
        let again = next(&mut source).await;
        assert!(again.handed_over.is_none_or(|n| n == 4), "{again:?}");
    }
}

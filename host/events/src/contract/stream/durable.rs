//! A durable consumer outlives its connection: progress, start, patterns, lag.

use bytes::Bytes;

use super::{
    QUIET, World, bodies, impatient, message, next, nothing, ok, send, subscribe, subscription,
    take,
};
use crate::ports::{Lag, Source, Subscription};
use crate::settings::StartFrom;

/// Durable: also what was in flight comes again.
pub async fn a_component_that_comes_back_goes_on_where_it_was(world: &impl World) {
    let sent = [message("a"), message("a"), message("a")];
    send(world, &sent).await;
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    ok(next(&mut source).await.receipt.ack().await);
    drop(next(&mut source).await);
    drop(source);
    let mut source = subscribe(world, &impatient("a", &["a"])).await;
    let mut came = take(&mut source, 2).await;
    came.sort_by_key(|delivery| delivery.stream_seq);
    let expected: Vec<Bytes> = sent.iter().skip(1).map(|sent| sent.body.clone()).collect();
    assert_eq!(bodies(&came), expected);
    let counted: Vec<u32> = came.iter().map(|delivery| delivery.delivered).collect();
    assert_eq!(counted, [2, 1]);
}

/// A durable consumer that is there already is not moved by it.
pub async fn a_component_can_begin_with_what_comes_from_now_on(world: &impl World) {
    send(world, &[message("a")]).await;
    let from_now = Subscription {
        start: StartFrom::Now,
        ..subscription("late", &["a"])
    };
    let mut source = subscribe(world, &from_now).await;
    nothing(&mut source, QUIET).await;
    let sent = message("a");
    send(world, std::slice::from_ref(&sent)).await;
    drop(source);
    let mut source = subscribe(world, &from_now).await;
    assert_eq!(next(&mut source).await.body, sent.body);
}

/// A change of patterns neither skips nor repeats: what the consumer has passed
/// is not looked at again.
pub async fn a_new_pattern_counts_from_now_on_and_repeats_nothing(world: &impl World) {
    send(world, &[message("b"), message("a")]).await;
    let mut source = subscribe(world, &subscription("a", &["a"])).await;
    ok(next(&mut source).await.receipt.ack().await);
    drop(source);
    let mut source = subscribe(world, &subscription("a", &["a", "b"])).await;
    nothing(&mut source, QUIET).await;
    let later = [message("b"), message("a")];
    send(world, &later).await;
    let came = take(&mut source, 2).await;
    let expected: Vec<Bytes> = later.iter().map(|sent| sent.body.clone()).collect();
    assert_eq!(bodies(&came), expected);
}

/// Only messages that are meant for the component.
pub async fn lag_counts_what_waits_and_what_is_in_flight(world: &impl World) {
    let wanted = subscription("a", &["a"]);
    assert_eq!(ok(world.stream().lag(&wanted.component).await), None);
    send(
        world,
        &[message("a"), message("b"), message("a"), message("a")],
    )
    .await;
    let mut source = subscribe(world, &wanted).await;
    let lag = async || ok(world.stream().lag(&wanted.component).await);
    assert_eq!(
        lag().await,
        Some(Lag {
            pending: 3,
            in_flight: 0
        })
    );
    let delivery = next(&mut source).await;
    assert_eq!(
        lag().await,
        Some(Lag {
            pending: 2,
            in_flight: 1
        })
    );
    ok(delivery.receipt.ack().await);
    // The acknowledgement is not confirmed: the next answer need not have it.
    nothing_but_settled(&mut source).await;
    assert_eq!(
        lag().await,
        Some(Lag {
            pending: 0,
            in_flight: 0
        })
    );
}

/// One that has no durable consumer is left out, and so is one that nobody asked for.
pub async fn the_lags_of_many_are_those_of_each(world: &impl World) {
    let [a, b, c] = ["a", "b", "c"].map(|name| subscription(name, &[name]));
    send(world, &[message("a"), message("b"), message("a")]).await;
    let _sources = (subscribe(world, &a).await, subscribe(world, &b).await);
    let wanted = [&a, &c, &b].map(|wanted| wanted.component.clone());
    let lags = ok(world.stream().lags(&wanted).await);
    let pending = |pending| Lag {
        pending,
        in_flight: 0,
    };
    let both = [(a.component.clone(), pending(2)), (b.component, pending(1))];
    assert_eq!(lags, both.into());
    let own = std::slice::from_ref(&a.component);
    let one = ok(world.stream().lags(own).await);
    assert_eq!(one, [(a.component, pending(2))].into());
    assert!(ok(world.stream().lags(&[]).await).is_empty());
}

async fn nothing_but_settled(source: &mut Box<dyn Source>) {
    for delivery in take(source, 2).await {
        ok(delivery.receipt.ack().await);
    }
    nothing(source, QUIET).await;
}

/// The check is cheap and means something.
pub async fn a_stream_that_is_there_says_so(world: &impl World) {
    ok(world.stream().check().await);
}

/// By it the relay finds out what was lost.
pub async fn a_stream_knows_when_it_was_made_and_how_far_it_goes(world: &impl World) {
    let state = async || ok(world.publisher().state().await);
    let empty = state().await;
    assert_eq!(empty.last_seq, 0, "{empty:?}");
    let stored = send(world, &[message("a"), message("b")]).await;
    let full = state().await;
    let last = stored
        .last()
        .map(|stored| (stored.stream.clone(), stored.sequence));
    assert_eq!(last, Some((full.name, full.last_seq)));
    assert_eq!(full.created_ns, empty.created_ns);
    let connection = world.publisher().connection();
    assert_eq!(
        connection,
        world.publisher().connection(),
        "nothing was lost"
    );
}

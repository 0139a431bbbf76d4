//! The stream forgets what it had confirmed: the relay notices, and exactly what
//! was lost goes out again, in the order of the outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::acts::{appends, placed};
use crate::history::{Effect, seen};
use crate::host::{Host, component};
use crate::mischief::Weather;
use crate::models::broker::foreign;
use crate::relay::three_batches_out_and_none_marked;
use crate::world::{World, pass, timed};

async fn published(world: &World, ids: std::ops::RangeInclusive<u128>) {
    for id in ids {
        world.db.insert(&placed(id));
    }
    let none_waits = || world.db.waiting() == 0;
    world.history.until("none waits", none_waits).await;
}

/// Ten events on the stream, and the relay that put them there.
async fn ten() -> (World, Host) {
    let world = World::new();
    let mut host = world.host("a");
    host.relay();
    published(&world, 1..=10).await;
    (world, host)
}

fn stored(world: &World) -> Vec<u128> {
    seen!(world.history, Effect::Stored { event, .. } => *event)
}

fn forgotten(world: &World) -> Vec<u64> {
    seen!(world.history, Effect::Forgotten { rows } => *rows)
}

/// Everything is on the stream again, within the time between two looks.
async fn whole_again(world: &World, ids: std::ops::RangeInclusive<u128>) {
    let whole: Vec<u128> = ids.collect();
    let is_whole = || world.broker.ids() == whole && world.db.waiting() == 0;
    let waited = world.history.until("it is there again", is_whole);
    let ((), took) = timed(&world.history, waited).await;
    assert!(
        took <= Duration::from_secs(10),
        "{took:?}\n{}",
        world.history
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_wiped_gets_every_row_again_once_and_in_order() {
    let (world, _host) = ten().await;
    world.broker.wipe();
    whole_again(&world, 1..=10).await;
    pass(Duration::from_mins(10)).await;
    assert_eq!(stored(&world).len(), 20, "\n{}", world.history);
    assert_eq!(forgotten(&world), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_made_anew_behind_a_standing_connection_gets_every_row_again() {
    let (world, _host) = ten().await;
    world.broker.make_anew();
    whole_again(&world, 1..=10).await;
    assert_eq!(stored(&world).len(), 20, "\n{}", world.history);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_lost_while_it_was_being_marked_goes_out_again() {
    for lost in [1, 150, 250, 300] {
        let (world, _host) = three_batches_out_and_none_marked().await;
        world.broker.lose_tail_unnoticed(lost);
        let is_whole = || {
            let there: BTreeSet<u128> = world.broker.ids().into_iter().collect();
            there.len() == 500 && world.db.waiting() == 0
        };
        let waited = world.history.until("it is there again", is_whole);
        let ((), took) = timed(&world.history, waited).await;
        assert!(took <= Duration::from_secs(20), "{lost}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lost_its_end_gets_exactly_that_again() {
    let (world, _host) = ten().await;
    world.broker.lose_tail(3);
    whole_again(&world, 1..=10).await;
    pass(Duration::from_mins(10)).await;
    assert_eq!(stored(&world)[10..], [8, 9, 10]);
    assert_eq!(forgotten(&world), [3]);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_goes_out_before_what_is_new() {
    let (world, _host) = ten().await;
    world.broker.door.set(Weather::Down);
    world.broker.lose_tail(4);
    for id in 11..=14 {
        world.db.insert(&placed(id));
    }
    world.broker.door.set(Weather::Fair);
    whole_again(&world, 1..=14).await;
    assert_eq!(stored(&world)[10..], (7..=14).collect::<Vec<_>>());
}

/// Nothing tells the relay but the answers themselves: positions are given away a
/// second time. The database may not be there to write it down.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_lost_behind_a_standing_connection_is_found_out_by_the_answers() {
    for forget_fails in [0, 1, 3] {
        let (world, _host) = ten().await;
        world.broker.lose_tail_unnoticed(5);
        world.db.tables().forget_fails = forget_fails;
        for id in 11..=13 {
            world.db.insert(&placed(id));
        }
        let all: BTreeSet<u128> = (1..=13).collect();
        let is_whole = || {
            let there: BTreeSet<u128> = world.broker.ids().into_iter().collect();
            there == all && world.db.waiting() == 0
        };
        world.history.until("it is there again", is_whole).await;
        pass(Duration::from_mins(10)).await;
        assert_eq!(world.broker.ids().len(), 13, "\n{}", world.history);
        assert_eq!(world.db.tables().forget_fails, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_changed_while_no_relay_ran_is_found_out_by_the_next() {
    for tail in [false, true] {
        let (world, mut host) = ten().await;
        host.drain().await;
        if tail {
            world.broker.lose_tail(2);
        } else {
            world.broker.wipe();
        }
        let mut next = world.host("b");
        next.relay();
        whole_again(&world, 1..=10).await;
        let again = stored(&world).len() - 10;
        assert_eq!(again, if tail { 2 } else { 10 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_forgets_nothing_gets_nothing_twice() {
    let (world, _host) = ten().await;
    for outage in 0..5 {
        world.broker_down_for(Duration::from_mins(1)).await;
        published(&world, 11 + outage..=11 + outage).await;
    }
    pass(Duration::from_mins(30)).await;
    assert_eq!(stored(&world).len(), 15);
    assert_eq!(forgotten(&world), [0; 0]);
}

/// A consumer that is made anew begins with the first message; the inbox knows
/// what was handled.
#[tokio::test(start_paused = true)]
async fn what_was_handled_before_the_wipe_is_not_handled_again_and_the_rest_is() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay();
    let slow = appends(|_| "k".to_owned(), Duration::from_secs(1));
    host.serve(&component("stars", "order.placed", slow));
    published(&world, 1..=40).await;
    let handled = |id| world.db.handled("stars", id);
    let some = || (1..=40).any(handled);
    world.history.until("some are handled", some).await;
    world.broker.wipe();
    let all = || (1..=40).all(handled) && world.broker.is_drained();
    world.history.until("all are handled", all).await;
    let text = world.db.state("stars", "k").unwrap();
    let mut traces: Vec<u128> = text
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    traces.sort_unstable();
    assert_eq!(traces, (1..=40).collect::<Vec<_>>(), "\n{}", world.history);
}

/// Its end says nothing: others have written more to it than was there before.
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_made_anew_and_has_grown_since_is_told_by_when_it_was_made() {
    let (world, mut host) = ten().await;
    host.drain().await;
    world.broker.make_anew();
    for id in 101..=130 {
        world.broker.write(foreign("order.left", id, b"{}"));
    }
    let mut next = world.host("b");
    next.relay();
    let again = || world.broker.ids().len() == 40 && world.db.waiting() == 0;
    world.history.until("it is there again", again).await;
    assert_eq!(world.broker.ids()[30..], (1..=10).collect::<Vec<_>>());
}

//! Order by key, one thing at a time: lanes, retries, leases, and hosts that die or
//! are stopped with something in hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::acts::{self, keyed};
use crate::consumer::is_called;
use crate::history::{Effect, seen};
use crate::host::{IN_HAND_MAX, TERM, component};
use crate::mischief::Weather;
use crate::models::handler::Act;
use crate::world::{World, pass, timed};

/// What was committed, in order.
fn committed(world: &World) -> Vec<u128> {
    seen!(world.history, Effect::Committed { event, .. } => *event)
}

async fn until_committed(world: &World, count: usize) {
    let is = |e: &Effect| matches!(e, Effect::Committed { .. });
    world.history.until_seen(count, is).await;
}

/// Event number 1 does `first`, all others `then`.
fn first_does(first: Act, then: Act) -> Act {
    Arc::new(move |invocation| {
        let is_first = invocation.envelope.event_id.as_u128() == 1;
        if is_first {
            first(invocation)
        } else {
            then(invocation)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn events_of_one_key_run_one_by_one_and_those_of_others_beside_them() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let slow = acts::slowly(Duration::from_secs(1), acts::done());
    let spec = component("a", "order.placed", slow).in_order();
    host.serve(&spec);
    for id in 1..=12 {
        world.db.insert(&keyed(id, id % 3));
    }
    let ((), took) = timed(&world.history, until_committed(&world, 12)).await;
    assert!(took >= Duration::from_secs(4), "four of each key: {took:?}");
    assert!(
        took < Duration::from_secs(6),
        "three keys at once: {took:?}"
    );
    assert_eq!(spec.most_at_once(), 3);
    let order = committed(&world);
    for key in 0..3 {
        let own: Vec<u128> = order.iter().copied().filter(|id| id % 3 == key).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_its_own_key_back_and_no_other() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let act = first_does(acts::retry_until(3), acts::done());
    host.serve(&component("a", "order.placed", act).in_order());
    for id in 1..=10 {
        world.db.insert(&keyed(id, u128::from(id > 4)));
    }
    until_committed(&world, 10).await;
    assert_eq!(committed(&world), [5, 6, 7, 8, 9, 10, 1, 2, 3, 4]);
    let nacked = |e: &Effect| matches!(e, Effect::Nacked { .. });
    assert_eq!(world.history.count(nacked), 0, "it stays in hand");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_lets_its_followers_go_on_and_stays_dead() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let act = first_does(acts::reject(), acts::done());
    let spec = component("a", "order.placed", act).in_order();
    host.serve(&spec);
    for id in 1..=3 {
        world.db.insert(&keyed(id, 7));
    }
    until_committed(&world, 2).await;
    assert_eq!((committed(&world), world.db.letters()), (vec![2, 3], 1));
    let calls = world.history.count(is_called);
    host.kill();
    let mut next = world.host("next");
    next.relay();
    next.serve(&spec);
    world.db.insert(&keyed(4, 7));
    until_committed(&world, 3).await;
    assert_eq!(world.history.count(is_called), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_host_goes_on_within_seconds_when_one_dies_with_messages_in_hand() {
    let world = World::new();
    let mut relay = world.host("relay");
    relay.relay();
    let (mut one, mut two) = (world.host("one"), world.host("two"));
    let gate = Arc::new(Semaphore::new(0));
    one.serve(&component("a", "order.placed", acts::gated(&gate, acts::done())).in_order());
    world.db.insert(&keyed(1, 7));
    world.history.until_seen(1, is_called).await;
    two.serve(&component("a", "order.placed", acts::done()).in_order());
    for id in 2..=5 {
        world.db.insert(&keyed(id, 7));
    }
    pass(Duration::from_mins(1)).await;
    assert_eq!(committed(&world), [0; 0], "the other stands by");
    one.kill();
    let ((), took) = timed(&world.history, until_committed(&world, 5)).await;
    assert!(took < TERM + Duration::from_secs(2), "{took:?}");
    assert_eq!(committed(&world), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stops_hands_over_before_its_term_ends() {
    let world = World::new();
    let mut relay = world.host("relay");
    relay.relay();
    let spec = component("a", "order.placed", acts::done()).in_order();
    let (mut one, mut two) = (world.host("one"), world.host("two"));
    one.serve(&spec);
    world.db.insert(&keyed(1, 7));
    until_committed(&world, 1).await;
    two.serve(&spec);
    one.drain().await;
    world.db.insert(&keyed(2, 7));
    let ((), took) = timed(&world.history, until_committed(&world, 2)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Stopped with an outcome in hand, for each kind of outcome: what it writes when it
/// wakes up is refused.
#[tokio::test(start_paused = true)]
async fn who_was_stopped_past_its_lease_commits_and_buries_nothing() {
    for (late, letters) in [(acts::done(), 1), (acts::reject(), 0)] {
        let world = World::new();
        let mut relay = world.host("relay");
        relay.relay();
        let (mut one, mut two) = (world.host("one"), world.host("two"));
        let gate = Arc::new(Semaphore::new(0));
        let other = if letters == 1 {
            acts::reject()
        } else {
            acts::done()
        };
        one.serve(&component("a", "order.placed", acts::gated(&gate, late)).in_order());
        world.db.insert(&keyed(1, 7));
        world.db.insert(&keyed(2, 7));
        world.history.until_seen(1, is_called).await;
        let then = first_does(other, acts::done());
        two.serve(&component("a", "order.placed", then).in_order());
        one.freeze();
        gate.add_permits(1);
        let handled = || world.db.handled("a", 2);
        world.history.until("the other went on", handled).await;
        one.thaw();
        pass(Duration::from_mins(1)).await;
        assert_eq!(world.db.letters(), letters, "\n{}", world.history);
        assert_eq!(
            world.db.handled("a", 1),
            letters == 0,
            "\n{}",
            world.history
        );
        let expected: &[u128] = if letters == 1 { &[2] } else { &[1, 2] };
        assert_eq!(committed(&world), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stands_still_lets_the_others_pass_however_many_follow_it() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let act = first_does(acts::gated(&gate, acts::done()), acts::done());
    host.serve(&component("a", "order.placed", act).in_order());
    let followers = IN_HAND_MAX as u128 * 4;
    for id in 1..=followers {
        world.db.insert(&keyed(id, 0));
    }
    for id in 1..=20 {
        world.db.insert(&keyed(followers + id, id % 4 + 1));
    }
    until_committed(&world, 20).await;
    assert!(committed(&world).iter().all(|id| *id > followers));
    pass(Duration::from_mins(2)).await;
    gate.add_permits(1);
    let all = usize::try_from(followers).unwrap() + 20;
    until_committed(&world, all).await;
    let order = committed(&world);
    let own: Vec<u128> = order.into_iter().filter(|id| *id <= followers).collect();
    assert!(own.is_sorted(), "{own:?}");
    let letters = world.db.letters();
    assert_eq!(letters, 0, "waiting uses up no attempt");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_database_repeats_no_call_and_keeps_the_order() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&component("a", "order.placed", acts::gated(&gate, acts::done())).in_order());
    for id in 1..=5 {
        world.db.insert(&keyed(id, 7));
    }
    world.history.until_seen(1, is_called).await;
    world.db.door.set(Weather::Down);
    gate.add_permits(5);
    pass(Duration::from_hours(1)).await;
    world.db.door.set(Weather::Fair);
    until_committed(&world, 5).await;
    assert_eq!(committed(&world), [1, 2, 3, 4, 5]);
    assert_eq!(world.history.count(is_called), 5);
}

//! Processes that stop or die in the middle of a delivery: the next one finds the
//! message where the outcome left it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::acts::{self, placed};
use crate::consumer::{is_acked, is_called, is_termed};
use crate::history::Effect;
use crate::host::component;
use crate::mischief::Weather;
use crate::world::{World, pass, timed};

#[tokio::test(start_paused = true)]
async fn a_consumer_stops_while_the_ledger_is_away() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    world.db.insert(&placed(1));
    world
        .history
        .until("it is out", || world.db.waiting() == 0)
        .await;
    let mut other = world.host("other");
    other.serve(&component("a", "order.placed", acts::done()));
    for weather in [Weather::Down, Weather::Hung] {
        world.db.door.set(weather);
        pass(Duration::from_mins(1)).await;
        other.stop_consumer("a");
        let ((), took) = timed(&world.history, other.loops_ended()).await;
        assert!(took <= Duration::from_secs(1), "{weather:?}: {took:?}");
        world.db.door.set(Weather::Fair);
        other.consume(&component("a", "order.placed", acts::done()));
    }
    world.history.until_seen(1, is_acked).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_ledger_is_away_leaves_the_message_to_the_next_process() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let spec = component("a", "order.placed", acts::gated(&gate, acts::done()));
    host.serve(&spec);
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.db.door.set(Weather::Down);
    gate.add_permits(10);
    pass(Duration::from_mins(5)).await;
    let ((), took) = timed(&world.history, host.drain()).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    assert_eq!(world.history.count(is_acked), 0);
    world.db.door.set(Weather::Fair);
    let mut next = world.host("next");
    next.serve(&spec);
    world.history.until_seen(1, is_acked).await;
    assert!(world.db.handled("a", 1));
}

#[tokio::test(start_paused = true)]
async fn consumer_1_a_process_that_dies_between_commit_and_acknowledgement_leaves_one_effect() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let act = acts::appends(|_| "k".to_owned(), Duration::from_millis(10));
    let spec = component("a", "order.placed", act);
    host.serve(&spec);
    world.db.insert(&placed(1));
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Returned { .. }))
        .await;
    world.broker.door.set(Weather::Hung);
    world
        .history
        .until("it is committed", || world.db.handled("a", 1))
        .await;
    host.kill();
    world.broker.door.set(Weather::Fair);
    let mut next = world.host("next");
    next.serve(&spec);
    world.history.until_seen(1, is_acked).await;
    assert_eq!(world.history.count(is_called), 1);
    assert_eq!(world.db.state("a", "k").as_deref(), Some("1 "));
}

#[tokio::test(start_paused = true)]
async fn consumer_2_a_process_that_dies_between_letter_and_termination_leaves_one_letter() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let act = acts::slowly(Duration::from_millis(10), acts::reject());
    let spec = component("a", "order.placed", act);
    host.serve(&spec);
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.broker.door.set(Weather::Hung);
    world
        .history
        .until("the letter is written", || world.db.letters() == 1)
        .await;
    host.kill();
    world.broker.door.set(Weather::Fair);
    let mut next = world.host("next");
    next.serve(&spec);
    world.history.until_seen(1, is_termed).await;
    let letter = world.db.only_letter();
    assert_eq!(letter.attempts, 1, "it was not called again");
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_a_letter_cannot_be_written_leaves_the_message_to_the_next_process() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let spec = component("a", "order.placed", acts::gated(&gate, acts::reject()));
    host.serve(&spec);
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.db.door.set(Weather::Down);
    gate.add_permits(10);
    pass(Duration::from_mins(5)).await;
    let ((), took) = timed(&world.history, host.drain()).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    assert_eq!(world.history.count(is_termed), 0);
    world.db.door.set(Weather::Fair);
    let mut next = world.host("next");
    next.serve(&spec);
    world.history.until_seen(1, is_termed).await;
    assert_eq!(world.db.letters(), 1);
}

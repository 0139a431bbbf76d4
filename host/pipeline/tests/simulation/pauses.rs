//! Components that are left alone for a while: their messages wait, use up no
//! attempt and hold nobody up.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use qx_events::ComponentName;
use qx_events::ports::Pause;
use tokio::sync::Semaphore;

use crate::acts::{self, event, placed};
use crate::consumer::{is_acked, is_called};
use crate::history::{Effect, seen};
use crate::host::{ACK_WAIT, component};
use crate::world::{World, pass};

fn calls_of(world: &World, name: &str) -> usize {
    world
        .history
        .count(|e| matches!(e, Effect::Called { component, .. } if component == name))
}

fn saw(world: &World, words: &str) -> usize {
    world.history.count(|e| *e == Effect::Saw(words.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_component_whose_calls_trap_pauses_itself_and_the_others_go_on() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("bad", "order.placed", acts::trap()).concurrency(2));
    host.serve(&component("good", "order.>", acts::done()));
    for id in 1..=200 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(200, is_acked).await;
    pass(Duration::from_secs(1)).await;
    let calls = calls_of(&world, "bad");
    assert!((10..=12).contains(&calls), "{calls}\n{}", world.history);
    assert_eq!(saw(&world, "bad paused by breaker"), 1);
    let name = ComponentName::parse("bad").unwrap();
    let shut = host.dispatcher.gates().shut(&name).unwrap();
    assert!(shut.reason.contains("unreachable"), "{shut:?}");
    assert_eq!(world.db.letters(), 0, "what waits uses up no attempt");
    // One call a pause, and each pause is longer.
    pass(Duration::from_hours(2)).await;
    let probes = calls_of(&world, "bad") - calls;
    assert!((20..=40).contains(&probes), "{probes}");
    let busy = world.broker.books();
    let in_hand = busy.durables.get(&name).unwrap().lag(200);
    assert!(in_hand.in_flight <= 1, "{in_hand:?}");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_works_again_is_found_by_one_call_and_catches_up_by_itself() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let mut script = vec![acts::trap(); 12];
    script.push(acts::done());
    host.serve(&component("a", "order.placed", acts::one_by_one(script)).concurrency(1));
    for id in 1..=100 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(100, is_acked).await;
    assert_eq!(saw(&world, "a unpaused by breaker"), 1);
    assert_eq!(world.db.letters(), 0);
    let name = ComponentName::parse("a").unwrap();
    assert_eq!(host.dispatcher.gates().shut(&name), None);
}

/// Who paused it decides; how it is consumed does not.
#[tokio::test(start_paused = true)]
async fn a_component_in_order_is_paused_like_any_other() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::done()).in_order());
    let pause = Pause {
        component: ComponentName::parse("a").unwrap(),
        since: DateTime::UNIX_EPOCH,
        by: "ada".to_owned(),
        reason: String::new(),
    };
    host.dispatcher.set_pauses(vec![pause]);
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    pass(Duration::from_mins(10)).await;
    assert_eq!(calls_of(&world, "a"), 0, "\n{}", world.history);
    host.dispatcher.set_pauses(Vec::new());
    world.history.until_seen(20, is_called).await;
    // And by its breaker: one call after each pause.
    let bad = component("bad", "order.placed", acts::trap()).in_order();
    host.serve(&bad.concurrency(1));
    pass(Duration::from_hours(1)).await;
    let calls = calls_of(&world, "bad");
    assert!((10..=40).contains(&calls), "{calls}\n{}", world.history);
}

/// Two hosts, one component, and one of them does not know that its order counts.
#[tokio::test(start_paused = true)]
async fn a_host_without_order_stands_by_while_another_keeps_it() {
    let world = World::new();
    let takes = |build| component("a", "order.placed", acts::done()).build(build);
    let mut careless = world.host("careless");
    careless.relay();
    careless.serve(&takes(1));
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(20, is_acked).await;
    // It joins while the other one consumes; and that one finds out by itself.
    let mut careful = world.host("careful");
    careful.serve(&takes(2).in_order());
    pass(Duration::from_secs(30)).await;
    for id in 21..=60 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(60, is_acked).await;
    let by_build = |one: u8| {
        let is_its = |e: &Effect| matches!(e, Effect::Called { build, .. } if *build == one);
        world.history.count(is_its)
    };
    assert_eq!((by_build(1), by_build(2)), (20, 40), "\n{}", world.history);
    assert_eq!(saw(&world, "a paused by order"), 1);
    let name = ComponentName::parse("a").unwrap();
    let shut = careless.dispatcher.gates().shut(&name).unwrap();
    assert!(
        shut.reason.contains("give every host the same file"),
        "{shut:?}"
    );
    // One that joins later does not begin.
    let mut late = world.host("late");
    late.serve(&takes(3));
    pass(Duration::from_mins(1)).await;
    assert_eq!(saw(&world, "a paused by order"), 2);
    // Nobody keeps the order any more: after a while they go on.
    careful.kill();
    for id in 61..=80 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(80, is_acked).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_build_begins_with_a_closed_breaker() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::trap()).concurrency(1));
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    world
        .history
        .until("it pauses", || saw(&world, "a paused by breaker") == 1)
        .await;
    let then = world.history.now();
    host.install(&component("a", "order.placed", acts::done()).build(2));
    world.history.until_seen(1, is_acked).await;
    let took = world.history.since(then);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_refuses_or_puts_off_trips_no_breaker() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("rejects", "order.placed", acts::reject()));
    host.serve(&component("retries", "order.placed", acts::retry()));
    for id in 1..=50 {
        world.db.insert(&placed(id));
    }
    world
        .history
        .until("all are dead", || world.db.letters() == 100)
        .await;
    for name in ["rejects", "retries"] {
        assert_eq!(saw(&world, &format!("{name} paused by breaker")), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_pauses_gets_nothing_until_it_is_resumed() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&component("a", "order.placed", acts::gated(&gate, acts::done())).concurrency(2));
    host.serve(&component("b", "user.left", acts::done()));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    let pause = Pause {
        component: ComponentName::parse("a").unwrap(),
        since: DateTime::UNIX_EPOCH,
        by: "ada".to_owned(),
        reason: "moving house".to_owned(),
    };
    host.dispatcher.set_pauses(vec![pause.clone()]);
    host.dispatcher.set_pauses(vec![pause.clone()]);
    let shut = host.dispatcher.gates().shut(&pause.component).unwrap();
    assert_eq!(
        shut.reason,
        "paused by ada at 1970-01-01T00:00:00Z: moving house"
    );
    gate.add_permits(1_000);
    for id in 2..=9 {
        world.db.insert(&placed(id));
    }
    world.db.insert(&event("user.left", 20));
    pass(ACK_WAIT * 100).await;
    assert!(world.db.handled("a", 1), "what was in hand ends");
    assert!(world.db.handled("b", 20), "the others go on");
    assert_eq!(calls_of(&world, "a"), 1, "\n{}", world.history);
    host.dispatcher.set_pauses(Vec::new());
    world.history.until_seen(10, is_acked).await;
    let attempts = seen!(world.history, Effect::Called { attempt, .. } => *attempt);
    assert_eq!(attempts, [1; 10]);
    assert_eq!(saw(&world, "a paused by operator"), 1, "said once");
    assert_eq!(saw(&world, "a unpaused by operator"), 1);
}

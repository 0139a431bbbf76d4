//! One component's deliveries: each ends as its outcome says, in the order of
//! effects that survives a crash.

use std::sync::Arc;
use std::time::Duration;

use qx_events::DeadReasonKind;
use tokio::sync::Semaphore;

use crate::acts::{self, event, placed};
use crate::history::{Effect, seen};
use crate::host::{ACK_WAIT, ATTEMPTS_MAX, Spec, component};
use crate::models::broker::foreign;
use crate::world::{World, pass, timed};

pub(crate) fn is_acked(effect: &Effect) -> bool {
    matches!(effect, Effect::Acked { .. })
}

pub(crate) fn is_called(effect: &Effect) -> bool {
    matches!(effect, Effect::Called { .. })
}

pub(crate) fn is_termed(effect: &Effect) -> bool {
    matches!(effect, Effect::Termed { .. })
}

pub(crate) fn pauses(world: &World) -> Vec<Duration> {
    seen!(world.history, Effect::Nacked { after, .. } => *after)
}

fn order_taker(act: crate::models::handler::Act) -> Spec {
    component("a", "order.placed", act)
}

fn buried(event: Option<u128>, kind: DeadReasonKind, attempts: u32) -> Effect {
    let component = "a".to_owned();
    Effect::Buried {
        component,
        event,
        kind,
        attempts,
    }
}

fn termed() -> Effect {
    Effect::Termed {
        component: "a".to_owned(),
        message: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_did_is_committed_and_only_then_acknowledged() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::appends(
        |_| "k".to_owned(),
        Duration::ZERO,
    )));
    world.db.insert(&placed(7));
    world.history.until_seen(1, is_acked).await;
    let component = || "a".to_owned();
    world.history.assert_order(&[
        Effect::Delivered {
            component: component(),
            message: 1,
            delivered: 1,
        },
        Effect::Called {
            component: component(),
            build: 1,
            event: 7,
            attempt: 1,
        },
        Effect::Returned {
            component: component(),
            event: 7,
        },
        Effect::Committed {
            component: component(),
            event: 7,
            build: 1,
        },
        Effect::Acked {
            component: component(),
            message: 1,
        },
    ]);
    assert_eq!(world.db.state("a", "k").as_deref(), Some("7 "));
}

#[tokio::test(start_paused = true)]
async fn an_emitted_event_leaves_with_the_commit_and_is_relayed_at_once() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::emits(
        "order.shipped",
        100,
        acts::done(),
    )));
    host.serve(&component("b", "order.shipped", acts::done()));
    pass(Duration::from_secs(20)).await;
    host.dispatcher.dispatch(placed(1)).await.unwrap();
    let b_has_it = world
        .history
        .until("b has it", || world.db.handled("b", 100));
    let ((), took) = timed(&world.history, b_has_it).await;
    assert!(took < Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_acknowledged_without_a_call() {
    let world = World::new();
    let mut host = world.host("h");
    host.serve(&order_taker(acts::done()));
    let message = qx_events::wire::Outgoing {
        body: placed(7).encode().into(),
        ..foreign("order.placed", 7, b"")
    };
    world.broker.write(message.clone());
    world.history.until_seen(1, is_acked).await;
    world.broker.write(message);
    world.history.until_seen(2, is_acked).await;
    assert_eq!(world.history.count(is_called), 1);
    assert_eq!(world.db.state("a", "k"), None);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_the_pause_of_the_policy_and_comes_again() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::retry_until(3)));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    let pauses: Vec<u128> = pauses(&world).iter().map(Duration::as_millis).collect();
    assert_eq!(pauses.len(), 2);
    assert!((500..=1_000).contains(&pauses[0]), "{pauses:?}");
    assert!((1_000..=2_000).contains(&pauses[1]), "{pauses:?}");
    let calls = world.history.times(is_called);
    assert!(calls[1].saturating_sub(calls[0]).as_millis() >= pauses[0]);
    assert!(world.db.handled("a", 1) && world.db.letters() == 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_written_down_before_the_message_is_terminated() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::retry()));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_termed).await;
    let letter = buried(Some(1), DeadReasonKind::Exhausted, ATTEMPTS_MAX);
    world.history.assert_order(&[letter, termed()]);
    assert_eq!(world.history.count(is_called), ATTEMPTS_MAX as usize);
    let letter = world.db.only_letter();
    assert_eq!(letter.digest, Some(acts::digest(1)));
    assert_eq!(letter.body, placed(1).encode().as_bytes());
    assert_eq!(letter.subject, "svc.order.placed");
    assert!(letter.reason.text.contains("busy"), "{}", letter.reason);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_a_dead_letter_at_once() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::reject()));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_termed).await;
    let letter = buried(Some(1), DeadReasonKind::Rejected, 1);
    world.history.assert_order(&[letter, termed()]);
    assert_eq!(world.history.count(is_called), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trap_is_a_failed_attempt_and_stops_nobody() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::one_by_one(vec![
        acts::trap(),
        acts::done(),
    ])));
    world.db.insert(&placed(1));
    world.db.insert(&placed(2));
    world.history.until_seen(2, is_acked).await;
    assert_eq!(pauses(&world).len(), 1);
    assert_eq!(world.db.letters(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_nobody_takes_is_parked() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::done()).versions(&[2, 3]));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_termed).await;
    let letter = buried(Some(1), DeadReasonKind::UnknownVersion, 0);
    world.history.assert_order(&[letter, termed()]);
    assert_eq!(world.history.count(is_called), 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_another_component_takes_is_left_to_it() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::done()).versions(&[2]));
    host.serve(&component("b", "order.placed", acts::done()).versions(&[1]));
    world.db.insert(&placed(1));
    world.history.until_seen(2, is_acked).await;
    assert!(world.db.handled("b", 1) && !world.db.handled("a", 1));
    assert_eq!(world.db.letters(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_envelope_is_parked_to_the_byte() {
    let world = World::new();
    let mut host = world.host("h");
    host.serve(&order_taker(acts::done()));
    let body = b"\xff\x00 not an envelope";
    world.broker.write(foreign("order.placed", 1, body));
    world.history.until_seen(1, is_termed).await;
    let letter = buried(None, DeadReasonKind::Malformed, 0);
    world.history.assert_order(&[letter, termed()]);
    let letter = world.db.only_letter();
    assert_eq!(letter.body.as_ref(), body);
    assert_eq!(letter.event_name, "order.placed", "without the prefix");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_build_in_service_does_not_take_is_acknowledged() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::done()));
    host.install(&component("a", "order.cancelled", acts::done()).build(2));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    assert_eq!(world.history.count(is_called), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_component_that_is_gone_has_in_hand_is_given_back() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let waits = acts::gated(&gate, acts::retry());
    host.serve(&order_taker(waits).concurrency(1));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    host.remove("a");
    gate.add_permits(1);
    pass(Duration::from_hours(1)).await;
    assert_eq!(world.history.count(is_called), 1);
    assert_eq!(world.db.letters(), 0);

    host.install(&order_taker(acts::done()).build(2));
    let handled = world
        .history
        .until("it is handled", || world.db.handled("a", 1));
    let ((), took) = timed(&world.history, handled).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_was_out_of_service_for_long_uses_up_no_attempt() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let spec = order_taker(acts::done());
    host.consume(&spec);
    for id in 1..=10 {
        world.db.insert(&placed(id));
    }
    pass(Duration::from_hours(2)).await;
    assert_eq!(world.db.letters(), 0, "\n{}", world.history);
    host.install(&spec);
    world.history.until_seen(10, is_acked).await;
    let first = |e: &Effect| matches!(e, Effect::Called { attempt: 1, .. });
    assert_eq!(world.history.count(first), 10);
}

#[tokio::test(start_paused = true)]
async fn never_more_calls_run_than_the_concurrency_and_of_slow_ones_nothing_is_fetched_ahead() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let spec = order_taker(acts::slowly(Duration::from_secs(2), acts::done())).concurrency(3);
    host.serve(&spec);
    for id in 1..=40 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(40, is_acked).await;
    assert_eq!(spec.most_at_once(), 3);
    // Three in their calls, and three whose commit and acknowledgement are under way.
    let books = world.broker.books();
    let in_hand_most = books.durables.values().next().unwrap().in_hand_most;
    assert!((3..=6).contains(&in_hand_most), "{in_hand_most}");
}

#[tokio::test(start_paused = true)]
async fn every_permit_comes_back_however_a_delivery_ends() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let ways = vec![acts::done(), acts::reject(), acts::retry(), acts::trap()];
    let gate = Arc::new(Semaphore::new(0));
    let last = acts::gated(&gate, acts::done());
    let mut acts: Vec<_> = (0..20).flat_map(|_| ways.clone()).collect();
    acts.push(last);
    let spec = order_taker(acts::one_by_one(acts)).concurrency(4);
    host.serve(&spec);
    for id in 1..=60 {
        world.db.insert(&placed(id));
    }
    world
        .broker
        .write(foreign("order.placed", 61, b"no envelope"));
    world
        .history
        .until("80 calls ended", || world.history.count(is_called) >= 84)
        .await;
    assert_eq!(spec.most_at_once(), 4);
    gate.add_permits(100);
    world
        .history
        .until("nothing is left", || world.broker.is_drained())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_ten_acknowledgement_waits_is_not_delivered_twice() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&order_taker(acts::slowly(ACK_WAIT * 10, acts::done())));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    assert_eq!(world.history.count(is_called), 1);
    let delivered = |e: &Effect| matches!(e, Effect::Delivered { .. });
    assert_eq!(world.history.count(delivered), 1);
    let beats = world.history.times(|e| matches!(e, Effect::Beat { .. }));
    assert!((28..=30).contains(&beats.len()), "{}", beats.len());
    let longest = beats
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max()
        .unwrap();
    assert!(
        longest <= ACK_WAIT / 3 + Duration::from_millis(5),
        "{longest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_on_the_build_it_began_on_and_the_next_begins_on_the_new_one() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let spec = order_taker(acts::gated(&gate, acts::done())).concurrency(1);
    host.serve(&spec);
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.db.insert(&placed(2));
    host.install(&order_taker(acts::done()).build(2));
    gate.add_permits(1);
    world.history.until_seen(2, is_acked).await;
    let builds = seen!(world.history, Effect::Committed { event, build, .. } => (*event, *build));
    assert_eq!(builds, [(1, 1), (2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_swap_nothing_begins_on_the_old_build_not_even_what_waited_for_its_turn() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    // All calls that the process may make at once are taken by `hog`.
    let hog = component("hog", "hog.fed", acts::gated(&gate, acts::done())).concurrency(8);
    host.serve(&hog);
    for id in 1..=8 {
        world.db.insert(&event("hog.fed", id));
    }
    world.history.until_seen(8, is_called).await;
    host.serve(&order_taker(acts::done()));
    world.db.insert(&placed(20));
    pass(Duration::from_secs(5)).await;
    host.install(&order_taker(acts::done()).build(2));
    gate.add_permits(8);
    world.history.until_seen(9, is_acked).await;
    let builds = seen!(world.history, Effect::Called { event: 20, build, .. } => *build);
    assert_eq!(builds, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_what_is_in_hand_finish_and_takes_no_more() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let slow = acts::slowly(Duration::from_secs(4), acts::done());
    host.serve(&order_taker(slow).concurrency(2));
    for id in 1..=6 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(2, is_called).await;
    let ((), took) = timed(&world.history, host.drain()).await;
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert_eq!(world.history.count(is_called), 2);
    assert_eq!(world.history.count(is_acked), 2);
}

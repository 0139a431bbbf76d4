//! What the host lacks is waited for: no attempt is used up, no handler called
//! for nothing, no message lost.

use std::sync::Arc;
use std::time::Duration;

use qx_events::DeadReasonKind;
use tokio::sync::Semaphore;

use crate::acts::{self, placed};
use crate::consumer::{is_acked, is_called, is_termed, pauses};
use crate::history::{Effect, seen};
use crate::host::{ACK_WAIT, component};
use crate::mischief::Weather;
use crate::world::{World, pass, timed};

fn attempts(world: &World) -> Vec<u32> {
    seen!(world.history, Effect::Called { attempt, .. } => *attempt)
}

#[tokio::test(start_paused = true)]
async fn messages_wait_while_the_ledger_is_away_and_use_up_no_attempt() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    world
        .history
        .until("all are out", || world.db.waiting() == 0)
        .await;
    world.db.door.set(Weather::Down);
    let mut other = world.host("other");
    host.serve(&component("a", "order.placed", acts::done()));
    other.serve(&component("a", "order.placed", acts::done()));
    pass(Duration::from_hours(2)).await;
    assert_eq!(world.history.count(is_called), 0);
    world.db.door.set(Weather::Fair);
    let all = world.history.until_seen(20, is_acked);
    let ((), took) = timed(&world.history, all).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(attempts(&world), [1; 20]);
    let delivered = |e: &Effect| matches!(e, Effect::Delivered { .. });
    assert_eq!(world.history.count(delivered), 20, "heartbeats kept them");
    assert_eq!(world.db.letters(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_cannot_be_made_now_is_made_later_without_another_call() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&component(
        "a",
        "order.placed",
        acts::gated(&gate, acts::done()),
    ));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.db.door.set(Weather::Down);
    gate.add_permits(1);
    pass(Duration::from_hours(2)).await;
    world.db.door.set(Weather::Fair);
    world.history.until_seen(1, is_acked).await;
    assert_eq!(attempts(&world), [1]);
    assert!(world.db.handled("a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_counts_as_done_and_the_handler_is_not_called_again() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let appends = acts::appends(|_| "k".to_owned(), Duration::ZERO);
    let act = acts::emits("order.shipped", 100, appends);
    host.serve(&component("a", "order.placed", act));
    pass(Duration::from_secs(20)).await;
    world.db.tables().commit_answers_lost = 2;
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    assert_eq!(attempts(&world), [1]);
    assert_eq!(world.db.state("a", "k").as_deref(), Some("1 "));
    let done = |e: &Effect| *e == Effect::Saw("a done, emitted 1".to_owned());
    assert_eq!(world.history.count(done), 1, "\n{}", world.history);
    let out = world
        .history
        .until("the emitted event is out", || world.db.waiting() == 0);
    let ((), took) = timed(&world.history, out).await;
    assert!(
        took < Duration::from_millis(10),
        "the relay was nudged: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_host_could_not_serve_is_repeated_as_the_same_attempt() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let mut acts = vec![acts::host_fault(); 40];
    acts.push(acts::done());
    host.serve(&component("a", "order.placed", acts::one_by_one(acts)));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    assert_eq!(attempts(&world), [1; 41]);
    assert_eq!(pauses(&world), []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_host_cannot_serve_moves_to_the_new_build() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::host_fault()));
    world.db.insert(&placed(1));
    world.history.until_seen(5, is_called).await;
    host.install(&component("a", "order.placed", acts::done()).build(2));
    world.history.until_seen(1, is_acked).await;
    let committed = |e: &Effect| matches!(e, Effect::Committed { build: 2, .. });
    assert_eq!(world.history.count(committed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_overtaken_runs_again_on_fresh_state_and_is_not_lost() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let act = acts::appends(|_| "k".to_owned(), Duration::from_millis(10));
    host.serve(&component("a", "order.placed", act).concurrency(16));
    let mut ids: Vec<u128> = (1..=200).collect();
    for id in &ids {
        world.db.insert(&placed(*id));
    }
    world.history.until_seen(200, is_acked).await;
    let all = world.db.state("a", "k").unwrap();
    let mut seen: Vec<u128> = all
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    seen.sort_unstable();
    ids.sort_unstable();
    assert_eq!(seen, ids);
    assert_eq!(world.db.letters(), 0);
    let calls = world.history.count(is_called);
    assert!(calls < 200 * 4, "{calls} calls for 200 events");
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_not_overtaken_for_ever_by_quick_ones_on_the_same_key() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let quick = acts::appends(|_| "k".to_owned(), Duration::from_millis(5));
    let slow = acts::appends(|_| "k".to_owned(), Duration::from_secs(1));
    let act: crate::models::handler::Act = Arc::new(move |invocation| {
        let is_first = invocation.envelope.event_id.as_u128() == 1;
        let act = if is_first { &slow } else { &quick };
        act(invocation)
    });
    host.serve(&component("a", "order.placed", act));
    for id in 1..=3_000 {
        world.db.insert(&placed(id));
    }
    world
        .history
        .until("the slow one is in", || world.db.handled("a", 1))
        .await;
    let took = world.history.now();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(pauses(&world), []);
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_refuses_becomes_a_dead_letter_and_its_group_is_committed() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&component("a", "order.placed", acts::gated(&gate, acts::done())).concurrency(8));
    for id in 1..=8 {
        world.db.insert(&placed(id));
    }
    world.db.tables().unsettleable.insert(placed(5).event_id);
    world.history.until_seen(8, is_called).await;
    gate.add_permits(8);
    world.history.until_seen(1, is_termed).await;
    world.history.until_seen(7, is_acked).await;
    assert!(world.db.tables().groups.iter().any(|size| *size > 1));
    let letter = world.db.only_letter();
    assert_eq!(letter.reason.kind, DeadReasonKind::Unsettleable);
    assert_eq!(letter.event_id, Some(placed(5).event_id));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_now_is_written_later() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&component(
        "a",
        "order.placed",
        acts::gated(&gate, acts::reject()),
    ));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.db.door.set(Weather::Down);
    gate.add_permits(1);
    pass(Duration::from_hours(1)).await;
    assert_eq!(world.history.count(is_termed), 0);
    world.db.door.set(Weather::Fair);
    world.history.until_seen(1, is_termed).await;
    assert_eq!(world.history.count(is_called), 1);
    assert_eq!(world.db.only_letter().reason.kind, DeadReasonKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn letters_that_are_refused_for_good_do_not_hold_the_other_events_up() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let odd_rejected: crate::models::handler::Act = {
        let (reject, done) = (acts::reject(), acts::done());
        Arc::new(move |invocation| {
            let odd = invocation.envelope.event_id.as_u128() % 2 == 1;
            if odd {
                reject(invocation)
            } else {
                done(invocation)
            }
        })
    };
    host.serve(&component("a", "order.placed", odd_rejected).concurrency(2));
    for id in 1..=20 {
        world.db.insert(&placed(id));
        world.db.tables().unburiable.insert(placed(id).event_id);
    }
    world.history.until_seen(10, is_acked).await;
    assert_eq!(
        world.history.count(is_termed),
        0,
        "what is not written down stays"
    );
    assert!(!world.broker.is_drained());
    world.db.tables().unburiable.clear();
    world
        .history
        .until("all are written down", || world.db.letters() == 10)
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dead_is_terminated_when_its_message_comes_again_and_not_called() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    let reject_once = acts::one_by_one(vec![acts::gated(&gate, acts::reject()), acts::done()]);
    host.serve(&component("a", "order.placed", reject_once));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    // The letter is written, and the message cannot be terminated.
    world.broker.door.set(Weather::Down);
    gate.add_permits(1);
    world
        .history
        .until("the letter is written", || world.db.letters() == 1)
        .await;
    pass(Duration::from_secs(1)).await;
    world.broker.door.set(Weather::Fair);
    world.history.until_seen(1, is_termed).await;
    world.broker.wipe();
    world.history.until_seen(2, is_termed).await;
    assert_eq!(world.history.count(is_called), 1);
    assert_eq!(world.db.letters(), 1, "handled or dead, not both");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_subscribed_anew_after_a_pause() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::done()));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_acked).await;
    for round in 2..=5 {
        world.broker.break_sources();
        world.db.insert(&placed(round));
        let acked = world
            .history
            .until_seen(usize::try_from(round).unwrap(), is_acked);
        let ((), took) = timed(&world.history, acked).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    world.broker_down_for(Duration::from_hours(1)).await;
    world.db.insert(&placed(6));
    world.history.until_seen(6, is_acked).await;
    let asked = world
        .history
        .count(|e| matches!(e, Effect::Subscribed { .. }));
    assert_eq!(asked, 6);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_hangs_does_not_hold_the_work_up() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let slow = acts::slowly(ACK_WAIT, acts::done());
    host.serve(&component("a", "order.placed", slow));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    world.broker.door.set(Weather::Hung);
    let committed = world
        .history
        .until("it is committed", || world.db.handled("a", 1));
    let ((), took) = timed(&world.history, committed).await;
    assert!(took <= ACK_WAIT, "{took:?}");
}

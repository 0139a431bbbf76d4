//! Events that bring the process down, and what is remembered of attempts: found
//! after a bounded number of deaths, with no innocent condemned, whatever the
//! broker forgot.

use std::sync::Arc;
use std::time::Duration;

use qx_events::DeadReasonKind;
use qx_events::attempts::{ALONE_FROM, DEATHS_MAX};
use tokio::sync::Semaphore;

use crate::acts::{self, placed};
use crate::consumer::{is_acked, is_called, is_termed, pauses};
use crate::history::{Effect, seen};
use crate::host::{ACK_WAIT, ATTEMPTS_MAX, Spec, component};
use crate::models::handler::Act;
use crate::world::{World, pass};

/// The number of the event that is never survived.
const POISON: u128 = 5;

fn is_poisoned(effect: &Effect) -> bool {
    matches!(effect, Effect::Called { event: POISON, .. })
}

/// Hangs on the poison, until somebody kills the process; takes its time otherwise.
fn poisoned() -> Spec {
    let hangs = acts::gated(&Arc::new(Semaphore::new(0)), acts::done());
    let works = acts::slowly(Duration::from_millis(200), acts::done());
    let act: Act = Arc::new(move |invocation| {
        let id = invocation.envelope.event_id.as_u128();
        let act = if id == POISON { &hangs } else { &works };
        act(invocation)
    });
    component("a", "order.placed", act)
}

/// A process dies whenever it calls the poison; each time `then` happens.
async fn dies_of_it(world: &World, spec: &Spec, then: impl Fn()) -> usize {
    for death in 1..=20 {
        let mut host = world.host("h");
        host.relay();
        host.serve(spec);
        let settled = || world.db.letters() > 0 || world.history.count(is_poisoned) == death;
        world.history.until("it is called, or found", settled).await;
        if world.db.letters() > 0 {
            world.history.until_seen(1, is_termed).await;
            world
                .history
                .until("nothing is left", || world.broker.is_drained())
                .await;
            return death - 1;
        }
        host.kill();
        then();
    }
    panic!("not found\n{}", world.history);
}

fn check_it_is_found(world: &World, deaths: usize, innocents: u128) {
    assert!(deaths <= DEATHS_MAX as usize, "{deaths}\n{}", world.history);
    let letter = world.db.only_letter();
    assert_eq!(letter.event_id, Some(placed(POISON).event_id));
    assert_eq!(letter.reason.kind, DeadReasonKind::CrashLoop);
    assert_eq!(letter.attempts as usize, deaths);
    for id in (1..=innocents).filter(|id| *id != POISON) {
        assert!(world.db.handled("a", id), "{id}\n{}", world.history);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_brings_the_process_down_each_time_is_parked() {
    let world = World::new();
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    let deaths = dies_of_it(&world, &poisoned(), || ()).await;
    check_it_is_found(&world, deaths, 20);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_brings_the_process_down_is_found_though_the_broker_forgets_every_count() {
    let world = World::new();
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    let deaths = dies_of_it(&world, &poisoned(), || world.broker.restart()).await;
    check_it_is_found(&world, deaths, 20);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_brings_the_process_down_is_found_though_the_stream_is_wiped_each_time() {
    let world = World::new();
    for id in 1..=20 {
        world.db.insert(&placed(id));
    }
    let deaths = dies_of_it(&world, &poisoned(), || world.broker.wipe()).await;
    check_it_is_found(&world, deaths, 20);
}

#[tokio::test(start_paused = true)]
async fn who_was_beside_a_death_twice_runs_alone_and_is_not_condemned_for_its_neighbour() {
    let world = World::new();
    // Everybody hangs while the gate is closed: all were in a call at the death.
    let gate = Arc::new(Semaphore::new(0));
    let hang = acts::gated(&gate, acts::slowly(Duration::from_secs(1), acts::done()));
    let never = acts::gated(&Arc::new(Semaphore::new(0)), acts::done());
    let act: Act = Arc::new(move |invocation| {
        let id = invocation.envelope.event_id.as_u128();
        let act = if id == POISON { &never } else { &hang };
        act(invocation)
    });
    let spec = component("a", "order.placed", act).concurrency(8);
    for id in 1..=8 {
        world.db.insert(&placed(id));
    }
    let mut host = world.host("h");
    host.relay();
    host.serve(&spec);
    for death in 1..=ALONE_FROM as usize {
        world.history.until_seen(8 * death, is_called).await;
        host.kill();
        host = world.host("h");
        if death == ALONE_FROM as usize {
            gate.add_permits(1_000);
            // Whoever ran just before the poison must be committed before it is called.
            world.db.tables().commit_takes = Duration::from_millis(100);
        }
        host.serve(&spec);
    }
    // From here on each is called with no other beside it.
    let mut calls = 8 * ALONE_FROM as usize;
    let deaths = loop {
        let dead = || world.db.letters() > 0;
        let poisoned = |world: &World| world.history.count(is_poisoned) > calls / 8;
        let settled = || dead() || poisoned(&world);
        world
            .history
            .until("the poison is alone, or found", settled)
            .await;
        if dead() {
            break world.history.count(is_poisoned);
        }
        host.kill();
        calls += 8;
        host = world.host("h");
        host.serve(&spec);
    };
    world.history.until_seen(7, is_acked).await;
    let returned = seen!(world.history, Effect::Returned { event, .. } => *event);
    assert_eq!(returned.len(), 7, "\n{}", world.history);
    let at = |is: fn(&Effect) -> bool| world.history.times(is);
    let ends = at(|e| matches!(e, Effect::Returned { .. }));
    assert!(
        ends.windows(2)
            .all(|two| two[1] >= two[0] + Duration::from_secs(1)),
        "one after the other: {ends:?}"
    );
    check_it_is_found(&world, deaths, 8);
}

#[tokio::test(start_paused = true)]
async fn deaths_use_up_no_attempt() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    world.db.insert(&placed(1));
    let gate = Arc::new(Semaphore::new(0));
    let spec = component(
        "a",
        "order.placed",
        acts::gated(&gate, acts::retry_until(3)),
    );
    for death in 1..DEATHS_MAX as usize {
        let mut host = world.host("h");
        host.serve(&spec);
        world.history.until_seen(death, is_called).await;
        host.kill();
    }
    gate.add_permits(100);
    let mut last = world.host("h");
    last.serve(&spec);
    world.history.until_seen(1, is_acked).await;
    assert_eq!(world.db.letters(), 0, "\n{}", world.history);
    let attempts = seen!(world.history, Effect::Called { attempt, .. } => *attempt);
    assert_eq!(attempts, [1, 1, 1, 1, 1, 2, 3]);
    assert!(
        world.db.tables().attempts.is_empty(),
        "gone with the commit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_gets_its_attempts_and_no_more_though_the_broker_forgets_every_count() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::retry()));
    world.db.insert(&placed(1));
    for attempt in 1..ATTEMPTS_MAX as usize {
        world
            .history
            .until("it is given back", || pauses(&world).len() == attempt)
            .await;
        world.broker.restart();
    }
    world.history.until_seen(1, is_termed).await;
    let attempts = seen!(world.history, Effect::Called { attempt, .. } => *attempt);
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(world.db.only_letter().attempts, ATTEMPTS_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_asked_for_holds_though_broker_and_host_restart() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let pause = Duration::from_hours(2);
    let later = acts::retry_after(pause);
    let spec = component(
        "a",
        "order.placed",
        acts::one_by_one(vec![later, acts::done()]),
    );
    host.serve(&spec);
    world.db.insert(&placed(1));
    world
        .history
        .until("it is given back", || !pauses(&world).is_empty())
        .await;
    for _ in 0..6 {
        host.kill();
        world.broker.restart();
        host = world.host("h");
        host.serve(&spec);
        pass(Duration::from_mins(15)).await;
    }
    world.history.until_seen(1, is_acked).await;
    let calls = world.history.times(is_called);
    let waited = calls[1].saturating_sub(calls[0]);
    assert!(waited >= pause && waited < pause + ACK_WAIT, "{waited:?}");
    let attempts = seen!(world.history, Effect::Called { attempt, .. } => *attempt);
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_in_the_middle_of_a_call_is_no_death() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    world.db.insert(&placed(1));
    let spec = component("a", "order.placed", acts::host_fault());
    for stop in 1..=DEATHS_MAX as usize + 2 {
        let mut other = world.host("other");
        other.serve(&spec);
        world.history.until_seen(stop * 2, is_called).await;
        other.drain().await;
    }
    let mut last = world.host("last");
    last.serve(&component("a", "order.placed", acts::done()));
    world.history.until_seen(1, is_acked).await;
    assert_eq!(world.db.letters(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_letter_that_brings_the_process_down_is_made_once() {
    let world = World::new();
    let spec = poisoned();
    world.db.insert(&placed(POISON));
    let deaths = dies_of_it(&world, &spec, || ()).await;
    world.db.request_all().await;
    let mut host = world.host("h");
    host.install(&spec);
    host.replay();
    world.history.until_seen(deaths + 1, is_poisoned).await;
    host.kill();
    let mut host = world.host("h");
    host.install(&spec);
    host.replay();
    world
        .history
        .until("it is answered", || world.db.retries() == 0)
        .await;
    assert_eq!(world.history.count(is_poisoned), deaths + 1);
    let letter = world.db.only_letter();
    assert_eq!(letter.reason.kind, DeadReasonKind::CrashLoop);
    // A person who asks again gets another.
    host.install(&component("a", "order.placed", acts::done()).build(2));
    world.db.request_all().await;
    world
        .history
        .until("it is handled", || world.db.handled("a", POISON))
        .await;
    assert_eq!(world.db.letters(), 0);
}

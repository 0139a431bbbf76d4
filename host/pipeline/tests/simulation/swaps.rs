//! A new build in the place of an old one: at once, or tried beside it first.

use std::sync::Arc;
use std::time::Duration;

use qx_events::CanaryPolicy;
use qx_events::canary::Judgement;
use tokio::sync::Semaphore;

use crate::acts::{self, keyed, placed};
use crate::consumer::{is_acked, is_called, is_termed};
use crate::history::{Effect, seen};
use crate::host::{Spec, component};
use crate::models::handler::Act;
use crate::world::{World, pass};

/// Every event goes to it, and three may fail.
const ALL: CanaryPolicy = CanaryPolicy {
    percent: 100,
    events: 100,
    time: Duration::ZERO,
    failed_percent: 3,
    declined_percent: 3,
};

fn orders(act: Act) -> Spec {
    component("a", "order.placed", act)
}

/// Which build was called with an event, and as which attempt, in order.
fn calls(world: &World, id: u128) -> Vec<(u8, u32)> {
    let all = seen!(world.history, Effect::Called { event, build, attempt, .. }
        => (*event, (*build, *attempt)));
    let own = all.into_iter().filter(|(event, _)| *event == id);
    own.map(|(_, call)| call).collect()
}

fn committed_by(world: &World) -> Vec<u8> {
    seen!(world.history, Effect::Committed { build, .. } => *build)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_replaced_build_does_not_end_in_time_is_cut_and_made_on_its_successor() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let never = Arc::new(Semaphore::new(0));
    host.serve(&orders(acts::gated(&never, acts::done())));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    host.install(&orders(acts::done()).build(2));
    assert_eq!(host.draining("a"), 1);
    pass(Duration::from_secs(29)).await;
    assert_eq!(calls(&world, 1), [(1, 1)], "it may go on for a while");
    world.history.until_seen(1, is_acked).await;
    assert_eq!(calls(&world, 1), [(1, 1), (2, 1)], "no attempt is used up");
    assert_eq!(committed_by(&world), [2]);
    assert_eq!(host.draining("a"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_began_on_a_replaced_build_and_ends_in_time_is_committed_as_its_own() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let gate = Arc::new(Semaphore::new(0));
    host.serve(&orders(acts::gated(&gate, acts::done())));
    world.db.insert(&placed(1));
    world.history.until_seen(1, is_called).await;
    host.install(&orders(acts::done()).build(2));
    pass(Duration::from_secs(10)).await;
    gate.add_permits(1);
    world.history.until_seen(1, is_acked).await;
    assert_eq!(calls(&world, 1), [(1, 1)]);
    assert_eq!(committed_by(&world), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_canary_does_not_handle_goes_to_the_build_in_service_at_once() {
    for act in [acts::trap(), acts::retry(), acts::reject()] {
        let world = World::new();
        let mut host = world.host("h");
        host.relay();
        host.serve(&orders(acts::done()));
        host.try_out(&orders(act).build(2).canary(ALL));
        for id in 1..=3 {
            world.db.insert(&placed(id));
        }
        world.history.until_seen(3, is_acked).await;
        for id in 1..=3 {
            assert_eq!(calls(&world, id), [(2, 1), (1, 1)]);
        }
        assert_eq!(committed_by(&world), [1, 1, 1]);
        assert_eq!(world.history.count(is_termed), 0, "no dead letter");
        let pauses = crate::consumer::pauses(&world);
        assert_eq!(pauses, [Duration::ZERO; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_taken_back_with_the_one_failure_too_many_and_no_event_is_lost_by_it() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&orders(acts::done()).concurrency(1));
    let trial = host.try_out(&orders(acts::trap()).build(2).canary(ALL));
    for id in 1..=40 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(40, is_acked).await;
    assert!(matches!(trial.judge(), Judgement::RollBack(_)));
    let on_canary = seen!(world.history, Effect::Called { build: 2, event, .. } => *event);
    assert_eq!(on_canary.len(), 4, "three may fail");
    assert_eq!(committed_by(&world), [1; 40]);
    assert_eq!(world.history.count(is_termed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_well_is_found_fit_and_takes_over_without_a_cut() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&orders(acts::done()));
    let gate = Arc::new(Semaphore::new(99));
    let good = orders(acts::gated(&gate, acts::done()))
        .build(2)
        .canary(ALL);
    let trial = host.try_out(&good);
    for id in 1..=100 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(99, is_acked).await;
    assert_eq!(trial.judge(), Judgement::Continue);
    gate.add_permits(1);
    world.history.until_seen(100, is_acked).await;
    assert_eq!(trial.judge(), Judgement::Promote);
    assert_eq!(committed_by(&world), [2; 100]);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_key_stay_in_order_beside_a_canary_that_fails() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    let half = CanaryPolicy {
        percent: 50,
        failed_percent: 100,
        ..ALL
    };
    host.serve(&orders(acts::done()).in_order());
    host.try_out(&orders(acts::trap()).in_order().build(2).canary(half));
    for id in 1..=60 {
        world.db.insert(&keyed(id, id % 6));
    }
    world.history.until_seen(60, is_acked).await;
    let order = seen!(world.history, Effect::Committed { event, .. } => *event);
    for key in 0..6 {
        let own: Vec<u128> = order.iter().copied().filter(|id| id % 6 == key).collect();
        assert!(own.is_sorted(), "{own:?}");
        // All events of a key meet the same choice.
        let to_canary = own
            .iter()
            .filter(|id| calls(&world, **id)[0].0 == 2)
            .count();
        assert!(
            to_canary == 0 || to_canary == own.len(),
            "{key}: {to_canary}"
        );
    }
    assert_eq!(committed_by(&world), [1; 60]);
}

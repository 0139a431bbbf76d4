//! Events that are dispatched in this process, without a broker.

use std::time::Duration;

use qx_events::Inbox;
use qx_pipeline::{Conclusion, Dispatched};

use crate::acts::{self, placed};
use crate::consumer::is_called;
use crate::history::Effect;
use crate::host::{Host, component};
use crate::world::World;

fn words(all: &[Dispatched]) -> Vec<(String, &'static str)> {
    let word = |one: &Dispatched| match &one.conclusion {
        Conclusion::Done { .. } => "done",
        Conclusion::Duplicate => "duplicate",
        Conclusion::Redeliver { .. } => "redeliver",
        Conclusion::Dead(_) => "dead",
        Conclusion::Elsewhere => "elsewhere",
        Conclusion::Fenced => "fenced",
        Conclusion::Stopped => "stopped",
    };
    all.iter()
        .map(|one| (one.component.to_string(), word(one)))
        .collect()
}

fn all_ways(world: &World) -> Host {
    let host = world.host("h");
    host.install(&component(
        "done",
        "order.placed",
        acts::appends(|_| "k".to_owned(), Duration::ZERO),
    ));
    host.install(&component(
        "emits",
        "order.*",
        acts::emits("order.shipped", 100, acts::done()),
    ));
    host.install(&component("other", "order.cancelled", acts::done()));
    host.install(&component("reject", "order.placed", acts::reject()));
    host.install(&component("retry", "order.placed", acts::retry()));
    host
}

#[tokio::test(start_paused = true)]
async fn every_component_that_takes_the_event_is_called_and_says_what_it_did() {
    let world = World::new();
    let host = all_ways(&world);
    let all = host.dispatcher.dispatch(placed(1)).await.unwrap();
    let expected = [
        ("done", "done"),
        ("emits", "done"),
        ("reject", "dead"),
        ("retry", "redeliver"),
    ];
    let expected = expected.map(|(component, word)| (component.to_owned(), word));
    assert_eq!(words(&all), expected);
    assert_eq!(world.db.state("done", "k").as_deref(), Some("1 "));
    assert_eq!(
        world.db.waiting(),
        1,
        "what was emitted waits for the relay"
    );
    assert_eq!(world.db.letters(), 0, "the caller has the conclusion");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_handled_before_is_a_duplicate_and_not_called() {
    let world = World::new();
    let host = all_ways(&world);
    host.dispatcher.dispatch(placed(1)).await.unwrap();
    let calls = world.history.count(is_called);
    let all = host.dispatcher.dispatch(placed(1)).await.unwrap();
    let again = words(&all);
    assert_eq!(again[0].1, "duplicate");
    assert_eq!(again[1].1, "duplicate");
    assert_eq!(
        world.history.count(is_called),
        calls + 2,
        "those that had failed"
    );
    let seen = |e: &Effect| *e == Effect::Saw("done duplicate".to_owned());
    assert_eq!(world.history.count(seen), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_takes_is_no_fault() {
    let world = World::new();
    let host = all_ways(&world);
    let all = host
        .dispatcher
        .dispatch(acts::event("user.left", 1))
        .await
        .unwrap();
    assert!(all.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_marks_what_changed_nothing_leaves_none_and_an_effect_is_still_committed_once() {
    let world = World::new();
    let host = world.host("h");
    let appends = acts::appends(|_| "k".to_owned(), Duration::ZERO);
    host.install(&component("idle", "order.placed", acts::done()).inbox(Inbox::Effects));
    host.install(&component("writes", "order.placed", appends).inbox(Inbox::Effects));
    let first = host.dispatcher.dispatch(placed(7)).await.unwrap();
    let again = host.dispatcher.dispatch(placed(7)).await.unwrap();
    let ends = |all: &[Dispatched]| words(all).into_iter().map(|(_, word)| word).collect();
    let (first, again): (Vec<_>, Vec<_>) = (ends(&first), ends(&again));
    assert_eq!(first, ["done", "done"]);
    assert_eq!(
        again,
        ["done", "duplicate"],
        "what left no mark is called again"
    );
    assert!(!world.db.handled("idle", 7) && world.db.handled("writes", 7));
    assert_eq!(world.db.state("writes", "k").as_deref(), Some("7 "));
}

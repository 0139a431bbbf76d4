//! What exactly-once effects rest on.

use qx_events::ports::{Settled, Settlement, StateAt, StateValue};
use qx_events::{Known, StateSeen};
use uuid::Uuid;

use crate::world::{World, event, letter, name, settlement, with_state};

use Settled::{Committed, Conflict, Duplicate};

pub(super) async fn settle(world: &World, group: &[Settlement]) -> Vec<Settled> {
    world.ledger.settle(group).await.unwrap()
}

/// Value and version of a key, without tenant.
pub(super) async fn state(world: &World, component: &str, key: &str) -> Option<(String, i64)> {
    let value = world
        .ledger
        .read_state(&name(component), None, key)
        .await
        .unwrap();
    value.map(|value| (value.value, value.version))
}

/// What a call that reads the key remembers.
async fn seen(world: &World, component: &str, key: &str) -> Option<StateSeen> {
    let value = world.ledger.read_state(&name(component), None, key).await;
    value.unwrap().as_ref().map(StateValue::seen)
}

async fn is_handled(world: &World, settlement: &Settlement) -> bool {
    let events = [settlement.event_id];
    let known = world.ledger.known(&settlement.component, &events);
    let known = known.await.unwrap();
    known.get(&settlement.event_id) == Some(&Known::Handled)
}

pub(super) async fn an_event_is_handled_once(world: &World) {
    let first = with_state("a", &[], &[("k", Some("1"))]);
    let mut again = with_state("a", &[], &[("k", Some("2"))]);
    again.event_id = first.event_id;
    let elsewhere = Settlement {
        component: name("b"),
        ..again.clone()
    };
    assert!(!is_handled(world, &first).await);
    assert_eq!(
        settle(world, std::slice::from_ref(&first)).await,
        [Committed]
    );
    assert!(is_handled(world, &first).await);
    assert_eq!(
        settle(world, &[again, elsewhere]).await,
        [Duplicate, Committed]
    );
    assert_eq!(state(world, "a", "k").await.unwrap().0, "1");
    assert_eq!(settle(world, &[]).await, []);
    let unknown = [Uuid::now_v7(), first.event_id];
    let known = world.ledger.known(&first.component, &unknown);
    let known: Vec<_> = known.await.unwrap().into_iter().collect();
    assert_eq!(known, [(first.event_id, Known::Handled)]);
}

pub(super) async fn the_same_event_twice_in_a_group_is_a_duplicate(world: &World) {
    let first = with_state("a", &[], &[("k", Some("1"))]);
    let mut second = with_state("a", &[], &[("k", Some("2"))]);
    second.event_id = first.event_id;
    assert_eq!(
        settle(world, &[first, second]).await,
        [Committed, Duplicate]
    );
    assert_eq!(state(world, "a", "k").await.unwrap().0, "1");
}

pub(super) async fn many_keys_are_read_at_once_each_in_its_place(world: &World) {
    let one = with_state("a", &[], &[("k", Some("1")), ("l", Some("2"))]);
    let other = with_state("b", &[], &[("k", Some("3"))]);
    settle(world, &[one, other]).await;
    let places = [
        ("b", "k"),
        ("a", "absent"),
        ("a", "l"),
        ("a", "k"),
        ("b", "k"),
    ];
    let places = places.map(|(component, key)| StateAt {
        component: name(component),
        tenant_id: None,
        key: key.to_owned(),
    });
    let found = world.ledger.read_states(&places).await.unwrap();
    let values: Vec<Option<&str>> = found
        .iter()
        .map(|one| one.as_ref().map(|state| state.value.as_str()))
        .collect();
    assert_eq!(values, [Some("3"), None, Some("2"), Some("1"), Some("3")]);
    assert_eq!(world.ledger.read_states(&[]).await.unwrap(), []);
    let alone = state(world, "a", "k").await.map(|(_, version)| version);
    let together = found.get(3).and_then(|state| state.as_ref());
    assert_eq!(together.map(|state| state.version), alone);
}

pub(super) async fn state_is_kept_apart_by_component_and_tenant(world: &World) {
    let tenant = Some(Uuid::now_v7());
    let mut of_tenant = with_state("a", &[("k", None)], &[("k", Some("tenant's"))]);
    of_tenant.tenant_id = tenant;
    let group = [
        with_state("a", &[("k", None)], &[("k", Some("a's"))]),
        with_state("b", &[("k", None)], &[("k", Some("b's"))]),
        of_tenant,
    ];
    assert_eq!(settle(world, &group).await, [Committed; 3]);
    assert_eq!(state(world, "a", "k").await.unwrap().0, "a's");
    assert_eq!(state(world, "b", "k").await.unwrap().0, "b's");
    let of_tenant = world
        .ledger
        .read_state(&name("a"), tenant, "k")
        .await
        .unwrap();
    assert_eq!(of_tenant.unwrap().value, "tenant's");
    assert_eq!(state(world, "c", "k").await, None);
}

pub(super) async fn a_stale_read_is_a_conflict_and_leaves_nothing(world: &World) {
    settle(world, &[with_state("a", &[], &[("k", Some("1"))])]).await;
    let before = seen(world, "a", "k").await;
    settle(
        world,
        &[with_state("a", &[("k", before)], &[("k", Some("2"))])],
    )
    .await;
    let newer = state(world, "a", "k").await.unwrap().1;
    let older = before.map(|seen| seen.version);
    assert!(Some(newer) > older, "a version grows");

    let buried = letter("a", "x");
    world.letters.bury(&buried).await.unwrap();
    let mut stale = with_state(
        "a",
        &[("k", before)],
        &[("k", Some("3")), ("other", Some("3"))],
    );
    stale.effects.emitted.push(event("late"));
    stale.replayed = Some(buried.id);
    let reader = with_state("a", &[("k", before)], &[]);
    let fine = with_state("a", &[], &[("fine", Some("1"))]);
    let group = [stale.clone(), reader.clone(), fine];
    assert_eq!(settle(world, &group).await, [Conflict, Conflict, Committed]);
    assert!(!is_handled(world, &stale).await);
    assert!(!is_handled(world, &reader).await);
    assert_eq!(state(world, "a", "k").await.unwrap().0, "2");
    assert_eq!(state(world, "a", "other").await, None);
    assert_eq!(state(world, "a", "fine").await.unwrap().0, "1");
    assert_eq!(world.waiting().await, Vec::<String>::new());
    assert_eq!(
        world
            .letters
            .count(&qx_events::LetterFilter::default())
            .await
            .unwrap(),
        1
    );

    stale.effects.reads[0].seen = seen(world, "a", "k").await;
    assert_eq!(
        settle(world, &[stale]).await,
        [Committed],
        "called again, it goes through"
    );
}

pub(super) async fn a_read_of_what_the_group_has_written_is_a_conflict(world: &World) {
    settle(
        world,
        &[with_state("a", &[], &[("k", Some("1")), ("l", Some("1"))])],
    )
    .await;
    let (k, l) = (seen(world, "a", "k").await, seen(world, "a", "l").await);
    let group = [
        with_state("a", &[("k", k)], &[("k", Some("2"))]),
        with_state("a", &[("k", k), ("l", l)], &[("l", Some("lost"))]),
        with_state("a", &[("l", l)], &[("l", Some("2"))]),
        with_state("a", &[("new", None)], &[("new", Some("1"))]),
        with_state("a", &[("new", None)], &[("new", Some("lost"))]),
    ];
    let expected = [Committed, Conflict, Committed, Committed, Conflict];
    assert_eq!(settle(world, &group).await, expected);
    for (key, value) in [("k", "2"), ("l", "2"), ("new", "1")] {
        assert_eq!(state(world, "a", key).await.unwrap().0, value, "{key}");
    }
}

pub(super) async fn a_duplicate_in_the_group_writes_nothing_that_others_could_read(world: &World) {
    let first = with_state("a", &[], &[("k", Some("1"))]);
    settle(world, std::slice::from_ref(&first)).await;
    let before = seen(world, "a", "k").await;
    let reader = with_state("a", &[("k", before)], &[("k", Some("2"))]);
    assert_eq!(
        settle(world, &[first, reader]).await,
        [Duplicate, Committed]
    );
}

pub(super) async fn a_key_found_absent_must_still_be_absent(world: &World) {
    settle(
        world,
        &[with_state("a", &[("k", None)], &[("k", Some("1"))])],
    )
    .await;
    let late = with_state("a", &[("k", None)], &[("k", Some("2"))]);
    assert_eq!(settle(world, &[late]).await, [Conflict]);
    let reader = with_state("a", &[("k", None)], &[("other", Some("2"))]);
    assert_eq!(settle(world, &[reader]).await, [Conflict]);
}

pub(super) async fn a_key_made_again_does_not_match_its_old_version(world: &World) {
    settle(world, &[with_state("a", &[], &[("k", Some("1"))])]).await;
    let old = seen(world, "a", "k").await;
    assert_eq!(
        settle(world, &[with_state("a", &[], &[("k", None)])]).await,
        [Committed]
    );
    assert_eq!(state(world, "a", "k").await, None);
    let gone = with_state("a", &[("k", old)], &[("k", Some("late"))]);
    assert_eq!(settle(world, &[gone]).await, [Conflict], "deleted since");
    settle(
        world,
        &[with_state("a", &[("k", None)], &[("k", Some("1"))])],
    )
    .await;
    assert_ne!(seen(world, "a", "k").await, old);
    let again = with_state("a", &[("k", old)], &[("k", Some("late"))]);
    assert_eq!(
        settle(world, &[again]).await,
        [Conflict],
        "made again since"
    );
}

pub(super) async fn blind_writes_always_succeed(world: &World) {
    let group = [
        with_state("a", &[], &[("k", Some("1"))]),
        with_state("a", &[], &[("k", Some("2")), ("gone", None)]),
        with_state("a", &[], &[("k", Some("3")), ("l", Some("a\u{fc}"))]),
        with_state("a", &[], &[("l", None), ("m", Some(""))]),
    ];
    assert_eq!(settle(world, &group).await, [Committed; 4]);
    assert_eq!(state(world, "a", "k").await.unwrap().0, "3");
    assert_eq!(state(world, "a", "l").await, None);
    assert_eq!(state(world, "a", "m").await.unwrap().0, "");
}

pub(super) async fn emitted_events_leave_in_their_order(world: &World) {
    let mut group = Vec::new();
    for settled in 0..5 {
        let mut one = settlement("a");
        one.effects.emitted = (0..8).map(|n| event(&format!("e.{settled}.{n}"))).collect();
        group.push(one);
    }
    let ids: Vec<Uuid> = group
        .iter()
        .flat_map(|one| &one.effects.emitted)
        .map(|event| event.0.event_id)
        .collect();
    assert_eq!(settle(world, &group).await, [Committed; 5]);
    let rows = world.outbox.pending(100).await.unwrap();
    let sent: Vec<Uuid> = rows
        .iter()
        .map(|row| qx_events::prepare(row).unwrap().message_id)
        .collect();
    assert_eq!(sent, ids);
    assert_eq!(settle(world, &group).await, [Duplicate; 5]);
    assert_eq!(world.waiting().await.len(), 40);
}

pub(super) async fn a_replayed_letter_goes_with_the_commit_only(world: &World) {
    let (kept, replayed) = (letter("a", "x"), letter("a", "x"));
    world.letters.bury(&kept).await.unwrap();
    world.letters.bury(&replayed).await.unwrap();
    let one = Settlement {
        replayed: Some(replayed.id),
        ..settlement("a")
    };
    assert_eq!(settle(world, &[one]).await, [Committed]);
    let left = world
        .letters
        .list(&qx_events::LetterFilter::default(), 10)
        .await
        .unwrap();
    assert_eq!(
        left.iter().map(|letter| letter.id).collect::<Vec<_>>(),
        [kept.id]
    );
}

pub(super) async fn what_the_database_refuses_is_permanent_and_commits_nothing(world: &World) {
    let fine = settlement("a");
    let mut refused = settlement("a");
    let mut too_new = event("x");
    too_new.0.event_version = u32::MAX;
    refused.effects.emitted.push(too_new);
    let fault = world
        .ledger
        .settle(&[fine.clone(), refused])
        .await
        .unwrap_err();
    assert!(!fault.is_transient(), "{}", fault.chain());
    assert!(fault.chain().contains("4294967295"), "{}", fault.chain());
    assert!(!is_handled(world, &fine).await);
}

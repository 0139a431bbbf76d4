//! What is remembered of events that were not handled at once.

use std::time::Duration;

use qx_events::ports::{Fence, Note, Settled, Settlement};
use qx_events::{Known, Record};
use uuid::Uuid;

use crate::world::{World, letter, name, settlement};

fn note(of: &Settlement, attempts: u32, begun: u32, wait: Duration) -> Note {
    Note {
        component: of.component.clone(),
        event_id: of.event_id,
        attempts,
        begun,
        wait,
        fence: None,
    }
}

async fn known(world: &World, of: &Settlement) -> Option<Known> {
    let events = [of.event_id];
    let known = world.ledger.known(&of.component, &events).await.unwrap();
    known.get(&of.event_id).copied()
}

async fn record(world: &World, of: &Settlement) -> Record {
    match known(world, of).await {
        Some(Known::Attempted(record)) => record,
        other => panic!("{other:?}"),
    }
}

fn counts(attempts: u32, begun: u32) -> Record {
    Record {
        attempts,
        begun,
        ..Record::default()
    }
}

/// What it noted before counts.
pub(super) async fn a_note_of_who_was_fenced_off_is_dropped(world: &World) {
    let take = async |holder, term| world.leases.take("order:a", holder, term).await;
    let (one, other) = (settlement("a"), settlement("a"));
    let under = |of, attempts, fence: &Option<Fence>| Note {
        fence: fence.clone(),
        ..note(of, attempts, 0, Duration::ZERO)
    };
    let former = take("one", Duration::ZERO).await.unwrap();
    let notes = [under(&one, 1, &former)];
    world.ledger.note(&notes).await.unwrap();
    let current = take("two", Duration::from_mins(1)).await.unwrap();
    let notes = [under(&one, 2, &former), under(&other, 1, &current)];
    world.ledger.note(&notes).await.unwrap();
    assert_eq!(record(world, &one).await, counts(1, 0));
    assert_eq!(record(world, &other).await, counts(1, 0));
}

pub(super) async fn what_was_noted_is_known_of_this_component_and_event(world: &World) {
    let (one, other) = (settlement("a"), settlement("a"));
    let elsewhere = Settlement {
        component: name("b"),
        ..one.clone()
    };
    assert_eq!(known(world, &one).await, None);
    let notes = [
        note(&one, 1, 2, Duration::ZERO),
        note(&other, 3, 0, Duration::ZERO),
    ];
    world.ledger.note(&notes).await.unwrap();
    world.ledger.note(&[]).await.unwrap();
    assert_eq!(record(world, &one).await, counts(1, 2));
    assert_eq!(record(world, &other).await, counts(3, 0));
    assert_eq!(known(world, &elsewhere).await, None);
    let ids = [one.event_id, other.event_id, Uuid::now_v7()];
    let all = world.ledger.known(&one.component, &ids).await.unwrap();
    assert_eq!(all.len(), 2);
}

pub(super) async fn a_note_written_twice_is_one_and_attempts_never_fall(world: &World) {
    let one = settlement("a");
    let begun = note(&one, 2, 3, Duration::ZERO);
    world.ledger.note(&[begun.clone(), begun]).await.unwrap();
    assert_eq!(record(world, &one).await, counts(2, 3));
    let older = note(&one, 1, 1, Duration::ZERO);
    world.ledger.note(&[older]).await.unwrap();
    assert_eq!(record(world, &one).await, counts(2, 1));
    let two = [
        note(&one, 3, 0, Duration::ZERO),
        note(&one, 4, 7, Duration::ZERO),
    ];
    world.ledger.note(&two).await.unwrap();
    assert_eq!(record(world, &one).await, counts(4, 7), "the last of them");
    let most = note(&one, u32::MAX, u32::MAX, Duration::ZERO);
    world.ledger.note(&[most]).await.unwrap();
    assert!(record(world, &one).await.begun > 1_000_000);
}

pub(super) async fn a_pause_is_kept_by_the_clock_of_the_database(world: &World) {
    let one = settlement("a");
    let hour = Duration::from_hours(1);
    world.ledger.note(&[note(&one, 1, 0, hour)]).await.unwrap();
    let left = record(world, &one).await.wait;
    assert!(left <= hour && left > Duration::from_mins(59), "{left:?}");
    let for_ever = note(&one, 1, 0, Duration::MAX);
    world.ledger.note(&[for_ever]).await.unwrap();
    let left = record(world, &one).await.wait;
    assert!(left <= qx_events::attempts::WAIT_MAX, "{left:?}");
    let over = if world.url.starts_with("sqlite") {
        "not_before - 86400000 - 1"
    } else {
        "not_before - interval '1 day 1 second'"
    };
    world
        .sql(&format!("UPDATE qx_attempts SET not_before = {over}"))
        .await;
    assert_eq!(record(world, &one).await, counts(1, 0));
}

pub(super) async fn a_record_goes_with_the_commit_and_only_with_it(world: &World) {
    let one = Settlement {
        recorded: true,
        ..settlement("a")
    };
    let other = settlement("a");
    let notes = [&one, &other].map(|of| note(of, 1, 1, Duration::ZERO));
    world.ledger.note(&notes).await.unwrap();
    let settled = world.ledger.settle(&[one.clone(), other.clone()]).await;
    assert_eq!(settled.unwrap(), [Settled::Committed; 2]);
    for of in [&one, &other] {
        assert_eq!(known(world, of).await, Some(Known::Handled));
    }
    let left = "SELECT count(*) FROM qx_attempts";
    assert_eq!(world.number(left).await, 1, "of which nobody said so");
    // A note that was overtaken by the commit changes nothing.
    let late = note(&one, 1, 1, Duration::from_hours(1));
    world.ledger.note(&[late]).await.unwrap();
    assert_eq!(known(world, &one).await, Some(Known::Handled));
}

pub(super) async fn an_event_is_dead_with_its_letter_and_stays_dead_without_it(world: &World) {
    let buried = letter("a", "x");
    let one = Settlement {
        event_id: buried.event_id.unwrap(),
        ..settlement("a")
    };
    let begun = note(&one, 2, 1, Duration::from_hours(1));
    world.ledger.note(&[begun]).await.unwrap();
    world.letters.bury(&buried).await.unwrap();
    let dead = Record {
        dead: true,
        ..counts(buried.attempts, 0)
    };
    assert_eq!(record(world, &one).await, dead);
    let all = qx_events::LetterFilter::default();
    world.letters.drop_letters(&all).await.unwrap();
    assert_eq!(record(world, &one).await, dead);
    let retried = note(&one, 0, 1, Duration::ZERO);
    world.ledger.note(&[retried]).await.unwrap();
    let begun = Record { begun: 1, ..dead };
    assert_eq!(record(world, &one).await, begun);
    let handled = Settlement {
        recorded: true,
        ..one
    };
    world.ledger.settle(&[handled]).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM qx_attempts").await, 0);
}

pub(super) async fn old_records_are_forgotten(world: &World) {
    let (old, new) = (settlement("a"), settlement("a"));
    let notes = [&old, &new].map(|of| note(of, 1, 0, Duration::ZERO));
    world.ledger.note(&notes).await.unwrap();
    world
        .sql(&format!(
            "UPDATE qx_attempts SET noted_at = '2020-01-01T00:00:00.000Z' WHERE event_id = '{}'",
            old.event_id
        ))
        .await;
    let day = Duration::from_hours(24);
    let clean_up = async |retention| world.store.clean_up_attempts(retention, 100).await.unwrap();
    assert_eq!(clean_up(Duration::MAX).await, 0);
    assert_eq!(clean_up(day).await, 1);
    assert_eq!(clean_up(day).await, 0);
    assert_eq!(known(world, &old).await, None);
    assert_eq!(record(world, &new).await, counts(1, 0));
}

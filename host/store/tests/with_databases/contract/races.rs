//! The same promises when several hosts are at it at once.

use std::time::Duration;

use qx_events::ports::{Settled, Settlement, StateValue};
use tokio::task::JoinSet;

use super::ledger::state;
use crate::world::{World, name, settlement, with_state};

/// Hosts at once.
const HOSTS: usize = 8;

/// Each adds one, `TIMES` times, as a handler would: read, write, call again on
/// a conflict. Two keys in opposite order, so that locks could cross.
pub(super) async fn counting_by_many_at_once_loses_nothing(world: &World) {
    const TIMES: usize = 10;
    let mut hosts = JoinSet::new();
    for host in 0..HOSTS {
        let ledger = std::sync::Arc::clone(&world.ledger);
        hosts.spawn(async move {
            let keys = if host % 2 == 0 {
                ["k", "l"]
            } else {
                ["l", "k"]
            };
            for _ in 0..TIMES {
                loop {
                    let mut group = Vec::new();
                    for key in keys {
                        let seen = ledger.read_state(&name("a"), None, key).await.unwrap();
                        let count = seen.as_ref().map_or(0, |seen| seen.value.parse().unwrap());
                        let next = (count + 1_i32).to_string();
                        let seen = seen.as_ref().map(StateValue::seen);
                        group.push(with_state("a", &[(key, seen)], &[(key, Some(&next))]));
                    }
                    // As one settlement, so that both keys count together.
                    let second = group.pop().unwrap();
                    group[0].effects.reads.extend(second.effects.reads);
                    group[0].effects.writes.extend(second.effects.writes);
                    if ledger.settle(&group).await.unwrap() == [Settled::Committed] {
                        break;
                    }
                }
            }
        });
    }
    hosts.join_all().await;
    let expected = (HOSTS * TIMES).to_string();
    assert_eq!(state(world, "a", "k").await.unwrap().0, expected);
    assert_eq!(state(world, "a", "l").await.unwrap().0, expected);
}

async fn all_at_once(world: &World, settlements: Vec<Settlement>) -> Vec<Settled> {
    let mut hosts = JoinSet::new();
    for settlement in settlements {
        let ledger = std::sync::Arc::clone(&world.ledger);
        hosts.spawn(async move { ledger.settle(&[settlement]).await.unwrap()[0] });
    }
    hosts.join_all().await
}

fn committed(answers: &[Settled]) -> usize {
    answers
        .iter()
        .filter(|answer| **answer == Settled::Committed)
        .count()
}

pub(super) async fn an_absent_key_is_made_by_one_of_many(world: &World) {
    for round in 0..10 {
        let key = format!("k{round}");
        let one = |_| with_state("a", &[(&key, None)], &[(&key, Some("1"))]);
        let answers = all_at_once(world, (0..HOSTS).map(one).collect()).await;
        assert_eq!(committed(&answers), 1, "{answers:?}");
    }
}

/// Each finds both absent and makes one: whoever comes second did not see the
/// first, and must be called again.
pub(super) async fn one_of_two_keys_found_absent_is_made(world: &World) {
    for round in 0..10 {
        let (left, right) = (format!("l{round}"), format!("r{round}"));
        let reads = [(left.as_str(), None), (right.as_str(), None)];
        let group = vec![
            with_state("a", &reads, &[(&left, Some("1"))]),
            with_state("a", &reads, &[(&right, Some("1"))]),
        ];
        let answers = all_at_once(world, group).await;
        assert_eq!(committed(&answers), 1, "{answers:?}");
    }
}

pub(super) async fn the_same_event_by_many_at_once_commits_once(world: &World) {
    for _ in 0..10 {
        let one = settlement("a");
        let answers = all_at_once(world, vec![one; HOSTS]).await;
        assert_eq!(committed(&answers), 1, "{answers:?}");
    }
}

pub(super) async fn a_lease_goes_to_one_of_many(world: &World) {
    let mut hosts = JoinSet::new();
    for host in 0..HOSTS {
        let outbox = std::sync::Arc::clone(&world.outbox);
        let term = Duration::from_mins(1);
        hosts.spawn(async move { outbox.lease(&format!("host {host}"), term).await.unwrap() });
    }
    let leases = hosts.join_all().await;
    assert_eq!(leases.iter().flatten().count(), 1, "{leases:?}");
}

/// Given up after ever longer times, so at every place. It has happened or it has
/// not; the next call finds out.
pub(super) async fn a_call_that_is_given_up_leaves_nothing_locked(world: &World) {
    for micros in (0..6_000).step_by(150) {
        let one = with_state("a", &[], &[("k", Some("1")), ("l", None)]);
        let group = std::slice::from_ref(&one);
        let given_up = Duration::from_micros(micros);
        let first = tokio::time::timeout(given_up, world.ledger.settle(group)).await;
        let again = world.ledger.settle(group).await.unwrap();
        if let Ok(first) = first {
            assert_eq!(first.unwrap(), [Settled::Committed]);
            assert_eq!(again, [Settled::Duplicate]);
        }
    }
    let other = with_state("a", &[], &[("k", Some("2"))]);
    assert_eq!(all_at_once(world, vec![other]).await, [Settled::Committed]);
    world.lease().await;
}

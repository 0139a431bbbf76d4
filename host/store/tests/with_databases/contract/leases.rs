//! What only one may do at a time, and what is written under a fence.

use std::sync::Arc;
use std::time::Duration;

use qx_events::LetterFilter;
use qx_events::ports::{Fence, Settled, Settlement};
use tokio::task::JoinSet;

use crate::world::{World, letter, settlement, with_state};

use Settled::{Committed, Duplicate, Fenced};

const LONG: Duration = Duration::from_mins(1);
/// Over as soon as it is taken.
const SHORT: Duration = Duration::ZERO;
const NAME: &str = "order:a";

async fn take(world: &World, holder: &str, term: Duration) -> Option<Fence> {
    world.leases.take(NAME, holder, term).await.unwrap()
}

async fn renew(world: &World, fence: &Fence) -> bool {
    world.leases.renew(fence, LONG).await.unwrap()
}

fn under(fence: &Fence, settlement: Settlement) -> Settlement {
    Settlement {
        fence: Some(fence.clone()),
        ..settlement
    }
}

pub(super) async fn a_lease_is_one_holders_until_its_term_ends(world: &World) {
    let first = take(world, "one", LONG).await.unwrap();
    assert_eq!(&*first.name, NAME);
    assert_eq!(take(world, "two", LONG).await, None);
    let other = world.leases.take("order:b", "two", LONG).await.unwrap();
    assert!(other.is_some(), "another lease is another's");
    assert!(renew(world, &first).await);
    assert!(world.leases.renew(&first, SHORT).await.unwrap());
    assert!(renew(world, &first).await, "nobody took it");
    assert!(world.leases.renew(&first, SHORT).await.unwrap());
    let second = take(world, "two", LONG).await.unwrap();
    assert!(second.token > first.token);
    assert!(!renew(world, &first).await);
    assert!(renew(world, &second).await);
}

pub(super) async fn a_holder_that_takes_its_lease_again_fences_its_former_self_off(world: &World) {
    let first = take(world, "one", LONG).await.unwrap();
    let again = take(world, "one", LONG).await.unwrap();
    assert!(again.token > first.token);
    assert!(!renew(world, &first).await && renew(world, &again).await);
}

pub(super) async fn a_lease_given_back_can_be_taken_at_once(world: &World) {
    let first = take(world, "one", LONG).await.unwrap();
    world.leases.release(&first).await.unwrap();
    assert!(!renew(world, &first).await);
    let second = take(world, "two", LONG).await.unwrap();
    assert!(second.token > first.token);
    world.leases.release(&first).await.unwrap();
    assert!(renew(world, &second).await, "not its own to give back");
}

pub(super) async fn leases_are_listed_with_their_holders(world: &World) {
    let held = async || world.leases.held().await.unwrap();
    assert_eq!(held().await, []);
    let first = take(world, "one", LONG).await.unwrap();
    let listed = held().await;
    let [only] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!((only.name.as_str(), only.holder.as_str()), (NAME, "one"));
    assert!(only.expires_at > chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(365 * 50));
    world.leases.release(&first).await.unwrap();
    assert_eq!(held().await, []);
}

pub(super) async fn what_was_fenced_off_commits_nothing_and_its_group_goes_through(world: &World) {
    let former = take(world, "one", SHORT).await.unwrap();
    let current = take(world, "two", LONG).await.unwrap();
    let of = |fence, key| under(fence, with_state("a", &[], &[(key, Some("1"))]));
    let (stale, fresh, free) = (of(&former, "k"), of(&current, "l"), settlement("b"));
    // The same event, handled by the new holder in one group with the former.
    let same = Settlement {
        event_id: stale.event_id,
        ..of(&current, "m")
    };
    let group = [stale.clone(), fresh, free, same];
    let answers = world.ledger.settle(&group).await.unwrap();
    assert_eq!(answers, [Fenced, Committed, Committed, Committed]);
    let none = super::ledger::state(world, "a", "k").await;
    assert_eq!(none, None);
    assert!(super::ledger::state(world, "a", "m").await.is_some());
    let unknown = Fence {
        name: Arc::from("order:nobody"),
        token: 1,
    };
    // Alone, with nothing that would have to be looked at first.
    for fence in [&unknown, &former] {
        let alone = under(fence, settlement("a"));
        assert_eq!(world.ledger.settle(&[alone]).await.unwrap(), [Fenced]);
    }
    // Handled or not: who was fenced off learns that first.
    assert_eq!(world.ledger.settle(&[stale]).await.unwrap(), [Fenced]);
}

pub(super) async fn an_expired_lease_that_nobody_took_still_commits(world: &World) {
    let fence = take(world, "one", SHORT).await.unwrap();
    let one = under(&fence, settlement("a"));
    let group = std::slice::from_ref(&one);
    assert_eq!(world.ledger.settle(group).await.unwrap(), [Committed]);
    assert_eq!(world.ledger.settle(group).await.unwrap(), [Duplicate]);
}

pub(super) async fn a_letter_of_who_was_fenced_off_is_not_written(world: &World) {
    let former = take(world, "one", SHORT).await.unwrap();
    let bury = async |letter, fence| world.letters.bury_fenced(letter, fence).await.unwrap();
    let (first, second) = (letter("a", "x"), letter("a", "x"));
    assert!(bury(&first, &former).await);
    let current = take(world, "two", LONG).await.unwrap();
    assert!(!bury(&second, &former).await);
    assert_eq!(
        world.letters.count(&LetterFilter::default()).await.unwrap(),
        1
    );
    assert!(bury(&second, &current).await);
    let all = world.letters.list(&LetterFilter::default(), 9).await;
    assert_eq!(all.unwrap().len(), 2);
}

/// Who takes the lease sees all that was ever written under it.
pub(super) async fn a_lease_is_not_taken_while_what_needs_it_is_being_written(world: &World) {
    for round in 0..40 {
        let fence = take(world, &format!("{round}"), SHORT).await.unwrap();
        let one = under(&fence, settlement("a"));
        let (ledger, settled) = (Arc::clone(&world.ledger), one.clone());
        let mut settling = JoinSet::new();
        settling.spawn(async move { ledger.settle(&[settled]).await.unwrap() });
        assert!(take(world, "next", SHORT).await.is_some());
        let handled = world.ledger.known(&one.component, &[one.event_id]).await;
        let seen = !handled.unwrap().is_empty();
        let expected = if seen { Committed } else { Fenced };
        let answers = settling.join_all().await;
        assert_eq!(answers, [[expected]], "round {round}");
    }
}

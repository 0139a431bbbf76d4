//! The bound on what a component keeps over all its calls: nobody passes it, by however
//! many hosts at once, and whoever would is refused alone.

use qx_events::ports::{Settled, Settlement};
use qx_events::{Overfull, StateBounds, StateLimit, StateSize};
use qx_store::{Store, StoreConfig};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ledger::{settle, state};
use crate::world::{World, name, with_state};

use Settled::Committed;

const KEYS: StateBounds = StateBounds {
    keys: 3,
    bytes: 1_000,
};

/// A call that writes these, within these bounds.
fn writes(bounds: StateBounds, component: &str, all: &[(&str, Option<&str>)]) -> Settlement {
    Settlement {
        bounds,
        ..with_state(component, &[], all)
    }
}

fn keys_refused(wanted: u64, most: u64) -> Settled {
    Settled::Overfull(Overfull {
        limit: StateLimit::Keys,
        wanted,
        most,
    })
}

/// By the count that the commits keep.
async fn size(world: &World, component: &str) -> (u64, u64) {
    let sizes = world.ledger.state_sizes().await.unwrap();
    let own = sizes.iter().find(|(one, _)| *one == name(component));
    own.map_or((0, 0), |(_, StateSize { keys, bytes })| (*keys, *bytes))
}

/// What is really there.
async fn counted(world: &World, component: &str) -> (u64, u64) {
    let counted = world.store.count_state().await.unwrap();
    let own = counted.iter().find(|one| one.component == component);
    own.map_or((0, 0), |own| {
        assert_eq!(own.before, own.now, "the commits have counted right");
        (own.now.keys, own.now.bytes)
    })
}

pub(super) async fn one_key_too_many_is_refused_and_its_neighbours_go_through(world: &World) {
    let full = [("k1", Some("1")), ("k2", Some("2")), ("k3", Some("3"))];
    assert_eq!(
        settle(world, &[writes(KEYS, "a", &full)]).await,
        [Committed]
    );
    for round in ["1", "2"] {
        let fresh = format!("fresh {round}");
        let group = [
            writes(KEYS, "b", &[(&fresh, Some("x"))]),
            writes(KEYS, "a", &[("k4", Some("4"))]),
            writes(KEYS, "a", &[("k1", Some(round))]),
        ];
        let refused = keys_refused(4, 3);
        assert_eq!(settle(world, &group).await, [Committed, refused, Committed]);
        assert_eq!(state(world, "a", "k4").await, None);
        assert_eq!(state(world, "a", "k1").await.unwrap().0, round);
        assert!(state(world, "b", &fresh).await.is_some());
        // It left no mark: with more room it is handled.
        let more = StateBounds { keys: 4, ..KEYS };
        let again = Settlement {
            bounds: more,
            ..group[1].clone()
        };
        assert_eq!(settle(world, &[again]).await, [Committed]);
        let gone = writes(KEYS, "a", &[("k4", None)]);
        assert_eq!(settle(world, &[gone]).await, [Committed]);
    }
    assert_eq!(counted(world, "a").await, (3, 9));
    assert_eq!(size(world, "a").await, (3, 9));
}

pub(super) async fn deleting_makes_room_also_within_a_group(world: &World) {
    let full = [("k1", Some("1")), ("k2", Some("2")), ("k3", Some("3"))];
    let no_room = writes(KEYS, "a", &[("k4", Some("4"))]);
    let makes_room = writes(KEYS, "a", &[("k1", None)]);
    let takes_it = writes(KEYS, "a", &[("k5", Some("5"))]);
    settle(world, &[writes(KEYS, "a", &full)]).await;
    // Found to be full by the first: what follows in a group of its own is right too.
    assert_eq!(
        settle(world, std::slice::from_ref(&no_room)).await,
        [keys_refused(4, 3)]
    );
    assert_eq!(
        settle(world, &[makes_room, takes_it]).await,
        [Committed, Committed]
    );
    assert_eq!(settle(world, &[no_room]).await, [keys_refused(4, 3)]);
    assert_eq!(counted(world, "a").await, (3, 9));
}

pub(super) async fn bytes_are_those_of_keys_and_values_over_all_tenants(world: &World) {
    let bounds = StateBounds {
        keys: 100,
        bytes: 20,
    };
    let of = |tenant: u128, value: &str| Settlement {
        tenant_id: Some(Uuid::from_u128(tenant)),
        ..writes(bounds, "a", &[("kä", Some(value))])
    };
    assert_eq!(settle(world, &[of(1, "1234567")]).await, [Committed]);
    assert_eq!(settle(world, &[of(2, "1234567")]).await, [Committed]);
    let over = Overfull {
        limit: StateLimit::Bytes,
        wanted: 21,
        most: 20,
    };
    let too_long = of(2, "12345678");
    assert_eq!(settle(world, &[too_long]).await, [Settled::Overfull(over)]);
    assert_eq!(settle(world, &[of(2, "1")]).await, [Committed]);
    assert_eq!(settle(world, &[of(1, "1234567890123")]).await, [Committed]);
    assert_eq!(counted(world, "a").await, (2, 20));
    assert_eq!(size(world, "a").await, (2, 20));
}

pub(super) async fn what_is_too_much_already_can_be_changed_and_deleted(world: &World) {
    let full = [("k1", Some("1")), ("k2", Some("2")), ("k3", Some("3"))];
    settle(world, &[writes(KEYS, "a", &full)]).await;
    let less = StateBounds { keys: 1, bytes: 4 };
    for (change, answer) in [
        (("k1", Some("9")), Committed),
        (("k2", None), Committed),
        (("k4", Some("")), keys_refused(3, 1)),
    ] {
        let one = writes(less, "a", &[change]);
        assert_eq!(settle(world, &[one]).await, [answer]);
    }
    assert_eq!(counted(world, "a").await, (2, 6));
}

/// Each with groups of its own keys: nothing but the counts is between them. Two
/// components become full at different times, so that locks could cross.
pub(super) async fn many_hosts_at_once_do_not_pass_it(world: &World) {
    const HOSTS: usize = 8;
    const EACH: usize = 6;
    let bounds = |keys| StateBounds {
        keys,
        bytes: 1_000_000,
    };
    let (a, z) = (bounds(25), bounds(31));
    let mut hosts = JoinSet::new();
    for host in 0..HOSTS {
        let config = StoreConfig::new(&world.url);
        hosts.spawn(async move {
            let ledger = Store::connect(&config).await.unwrap().ledger();
            let mut committed = [0_u64; 2];
            for round in 0..EACH {
                let key = format!("{host}/{round}");
                let new = [(key.as_str(), Some("1"))];
                let neighbour = writes(a, &format!("m{host}"), &new);
                let group = [writes(a, "a", &new), neighbour, writes(z, "z", &new)];
                let answers = ledger.settle(&group).await.unwrap();
                assert_eq!(answers[1], Committed, "a neighbour is not refused");
                committed[0] += u64::from(answers[0] == Committed);
                committed[1] += u64::from(answers[2] == Committed);
            }
            committed
        });
    }
    let all = hosts.join_all().await.into_iter();
    let all = all.fold([0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    assert_eq!(all, [a.keys, z.keys], "as many as there is room for");
    for (component, bounds) in [("a", a), ("z", z)] {
        assert_eq!(counted(world, component).await.0, bounds.keys);
        assert_eq!(size(world, component).await.0, bounds.keys);
    }
}

pub(super) async fn what_was_changed_beside_the_count_is_counted_when_somebody_asks(world: &World) {
    let two = [("k1", Some("1")), ("k2", Some("2"))];
    settle(world, &[writes(KEYS, "a", &two)]).await;
    world.sql("DELETE FROM qx_state WHERE key = 'k1'").await;
    assert_eq!(size(world, "a").await, (2, 6));
    let counted = world.store.count_state().await.unwrap();
    let own = counted.iter().find(|one| one.component == "a").unwrap();
    let of = |keys, bytes| StateSize { keys, bytes };
    assert_eq!((own.before, own.now), (of(2, 6), of(1, 3)));
    assert_eq!(size(world, "a").await, (1, 3));
}

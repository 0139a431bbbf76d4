//! What is kept, of whom, for how long; with things instead of instances.

use super::*;

/// Something that says how it went.
struct Thing(u32, Arc<Mutex<Vec<(u32, Retired)>>>);

impl Keep for Thing {
    fn retire(self, because: Retired) {
        self.1.lock().unwrap().push((self.0, because));
    }
}

struct World {
    slots: Slots<Thing>,
    owner: Owner,
    gone: Arc<Mutex<Vec<(u32, Retired)>>>,
    now: Instant,
}

impl World {
    fn new(slots: u32) -> Self {
        let slots = Slots::new(slots, 1_000);
        Self {
            owner: slots.owner(),
            slots,
            gone: Arc::default(),
            now: Instant::now(),
        }
    }

    fn of(&self, tenant: u128) -> Use {
        Use {
            owner: self.owner,
            tenancy: Tenancy::Only(Some(Uuid::from_u128(tenant))),
        }
    }

    async fn keep(&self, number: u32, used_for: Use, instances: usize) {
        let slot = self.slots.slot().await;
        self.keep_in(slot, number, used_for, self.terms(instances, 1));
    }

    fn keep_in(&self, slot: Slot, number: u32, used_for: Use, terms: Terms) {
        let what = (Thing(number, Arc::clone(&self.gone)), slot);
        self.slots.keep(what, used_for, terms);
    }

    fn terms(&self, instances: usize, bytes: usize) -> Terms {
        Terms {
            instances,
            bytes,
            until: self.now + Duration::from_mins(1),
        }
    }

    fn take(&self, used_for: Use) -> Option<u32> {
        let taken = self.slots.take(used_for, self.now);
        taken.map(|(thing, _)| thing.0)
    }

    fn gone(&self) -> Vec<(u32, Retired)> {
        std::mem::take(&mut self.gone.lock().unwrap())
    }
}

#[tokio::test]
async fn what_is_kept_serves_its_own_build_and_tenant_and_the_newest_comes_first() {
    let world = World::new(8);
    for (number, tenant) in [(1, 1), (2, 1), (3, 2)] {
        world.keep(number, world.of(tenant), 8).await;
    }
    let other = Use {
        owner: world.slots.owner(),
        ..world.of(1)
    };
    assert_eq!(world.take(other), None);
    let nobodys = Tenancy::Only(None);
    for tenancy in [nobodys, Tenancy::All] {
        let owner = world.owner;
        assert_eq!(world.take(Use { owner, tenancy }), None);
    }
    assert_eq!(world.take(world.of(1)), Some(2));
    assert_eq!(world.take(world.of(1)), Some(1));
    assert_eq!(world.take(world.of(1)), None);
    assert_eq!(world.take(world.of(2)), Some(3));
}

#[tokio::test]
async fn a_build_keeps_no_more_than_it_may_and_the_oldest_goes() {
    let world = World::new(8);
    for number in 0..4 {
        world.keep(number, world.of(number.into()), 2).await;
    }
    assert_eq!(world.gone(), [(0, Retired::Room), (1, Retired::Room)]);
}

#[tokio::test]
async fn what_is_kept_has_a_bound_on_its_memory_taken_together() {
    let world = World::new(8);
    for (number, bytes) in [(1, 400), (2, 400), (3, 300)] {
        let slot = world.slots.slot().await;
        world.keep_in(slot, number, world.of(1), world.terms(8, bytes));
    }
    assert_eq!(world.gone(), [(1, Retired::Room)]);
    assert_eq!(world.take(world.of(1)), Some(3));
    let slot = world.slots.slot().await;
    world.keep_in(slot, 4, world.of(1), world.terms(8, 2_000));
    assert_eq!(world.gone(), [(2, Retired::Room), (4, Retired::Room)]);
}

#[tokio::test]
async fn what_is_kept_gives_way_to_whoever_needs_its_slot() {
    let world = World::new(2);
    world.keep(1, world.of(1), 8).await;
    world.keep(2, world.of(2), 8).await;
    let first = world.slots.slot().await;
    assert_eq!(world.gone(), [(1, Retired::Room)]);
    let second = world.slots.slot().await;
    assert_eq!(world.gone(), [(2, Retired::Room)]);
    // Now somebody waits: what comes back is not kept.
    let third = world.slots.slot();
    tokio::pin!(third);
    assert!(once(&mut third).await.is_none());
    world.keep_in(first, 3, world.of(3), world.terms(8, 1));
    assert_eq!(world.gone(), [(3, Retired::Room)]);
    let third = third.await;
    // Nobody waits any longer.
    world.keep_in(second, 4, world.of(4), world.terms(8, 1));
    assert_eq!(world.take(world.of(4)), Some(4));
    drop(third);
}

/// Polls once.
async fn once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    use std::task::Poll;
    std::future::poll_fn(|cx| {
        Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn who_stops_waiting_is_in_nobodys_way() {
    let world = World::new(1);
    let only = world.slots.slot().await;
    {
        let second = world.slots.slot();
        tokio::pin!(second);
        assert!(once(&mut second).await.is_none());
    }
    world.keep_in(only, 1, world.of(1), world.terms(8, 1));
    assert_eq!(world.take(world.of(1)), Some(1));
}

#[tokio::test]
async fn what_was_kept_too_long_is_not_used_and_goes() {
    let world = World::new(2);
    world.keep(1, world.of(1), 8).await;
    let later = world.now + Duration::from_mins(1);
    assert!(world.slots.take(world.of(1), later).is_none());
    world.slots.sweep(later);
    assert_eq!(world.gone(), [(1, Retired::Idle)]);
}

#[tokio::test]
async fn nothing_is_kept_of_a_build_that_is_no_longer_wanted() {
    let world = World::new(4);
    let other = Use {
        owner: world.slots.owner(),
        tenancy: Tenancy::All,
    };
    world.keep(1, world.of(1), 8).await;
    world.keep(2, other, 8).await;
    world.slots.forget(world.owner);
    assert_eq!(world.gone(), [(1, Retired::Rest)]);
    assert_eq!(world.take(other), Some(2));
}

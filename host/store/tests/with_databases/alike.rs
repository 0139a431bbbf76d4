//! Settling straight away, settling after a look, and SQLite: the same groups come to the
//! same, whatever their calls have read. With dice.

use std::collections::HashMap;

use qx_events::ports::{Settled, Settlement, StateValue};
use qx_events::{StateBounds, StateRead, StateSeen, StateWrite};

use crate::world::{World, event, name, settlement};

const COMPONENTS: [&str; 2] = ["a", "b"];
const KEYS: [&str; 4] = ["k", "l", "m", "n"];
const GROUPS: u32 = 60;
const SEEDS: u64 = 2;

/// Small, so that some are too much.
const BOUNDS: StateBounds = StateBounds { keys: 3, bytes: 40 };

/// A key of a component, and how many changes ago it was read.
type Read = (usize, usize);

/// One settlement, in words that mean the same in every database.
#[derive(Debug, Clone)]
struct Drawn {
    component: usize,
    /// Of an event that was there before, or of none.
    again: Option<usize>,
    reads: Vec<Read>,
    writes: Vec<(usize, Option<String>)>,
    emits: bool,
}

fn draw(dice: &mut fastrand::Rng, events: usize) -> Drawn {
    let mut keys: Vec<usize> = (0..KEYS.len()).collect();
    dice.shuffle(&mut keys);
    keys.truncate(dice.usize(0..3));
    let mut writes = Vec::new();
    for key in &keys {
        let value = (!dice.bool() || dice.bool()).then(|| "x".repeat(dice.usize(0..20)));
        if dice.u8(0..4) > 0 {
            writes.push((*key, value));
        }
    }
    let read = |key: &usize| (dice.u8(0..20) > 0).then(|| (*key, usize::from(dice.u8(0..8) == 0)));
    let reads = keys.iter().filter_map(read).collect();
    Drawn {
        component: dice.usize(0..COMPONENTS.len()),
        again: (events > 0 && dice.u8(0..10) == 0).then(|| dice.usize(0..events)),
        reads,
        writes,
        emits: dice.bool(),
    }
}

/// A database, and what each key was at all times.
struct Side {
    world: World,
    past: HashMap<(usize, usize), Vec<Option<StateSeen>>>,
}

impl Side {
    fn new(world: World) -> Self {
        let past = HashMap::new();
        Self { world, past }
    }

    fn settlement(&self, drawn: &Drawn, base: &Settlement) -> Settlement {
        let mut made = Settlement {
            component: name(COMPONENTS[drawn.component]),
            bounds: BOUNDS,
            ..base.clone()
        };
        for (key, ago) in &drawn.reads {
            let past = self.past.get(&(drawn.component, *key));
            let seen = past.and_then(|past| past.iter().rev().nth(*ago).copied().flatten());
            made.effects.reads.push(StateRead {
                key: KEYS[*key].to_owned(),
                seen,
            });
        }
        for (key, value) in &drawn.writes {
            made.effects.writes.push(StateWrite {
                key: KEYS[*key].to_owned(),
                value: value.clone(),
            });
        }
        made
    }

    /// What is there now, by key.
    async fn look(&mut self) -> Vec<Option<String>> {
        let mut all = Vec::new();
        for (component, of) in COMPONENTS.iter().enumerate() {
            let of = name(of);
            for (key, named) in KEYS.iter().enumerate() {
                let value = self.world.ledger.read_state(&of, None, named);
                let value = value.await.unwrap();
                let past = self.past.entry((component, key)).or_default();
                let seen = value.as_ref().map(StateValue::seen);
                if past.last() != Some(&seen) {
                    past.push(seen);
                }
                all.push(value.map(|value| value.value));
            }
        }
        all
    }

    async fn rows(&self) -> (i64, i64) {
        let marks = self.world.number("SELECT count(*) FROM qx_inbox").await;
        let rows = self.world.number("SELECT count(*) FROM qx_outbox_events");
        (marks, rows.await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_groups_come_to_the_same_whichever_way_they_are_settled() {
    for seed in 0..SEEDS {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut sides = [
            Side::new(World::postgres().await),
            Side::new(World::wary().await),
            Side::new(World::sqlite().await),
        ];
        let mut bases: Vec<Settlement> = Vec::new();
        for round in 0..GROUPS {
            let group: Vec<Drawn> = (0..dice.usize(1..6))
                .map(|_| draw(&mut dice, bases.len()))
                .collect();
            let of_this: Vec<Settlement> = group.iter().map(|drawn| base(drawn, &bases)).collect();
            let mut seen = Vec::new();
            for side in &mut sides {
                let whole = group.iter().zip(&of_this);
                let whole: Vec<Settlement> = whole
                    .map(|(drawn, base)| side.settlement(drawn, base))
                    .collect();
                let answers: Vec<Settled> = side.world.ledger.settle(&whole).await.unwrap();
                let stored = side.world.ledger.state_sizes().await.unwrap();
                let mut stored: Vec<String> = stored.iter().map(|one| format!("{one:?}")).collect();
                stored.sort();
                seen.push((answers, (side.look().await, stored, side.rows().await)));
            }
            let at = format!("seed {seed}, group {round}: {group:?}");
            for other in 1..sides.len() {
                for (straight, looked) in seen[0].0.iter().zip(&seen[other].0) {
                    // Who is overtaken within the group is called again before anybody
                    // looks whether the event was handled long ago.
                    let is_alike = straight == looked
                        || (*straight, *looked) == (Settled::Conflict, Settled::Duplicate);
                    assert!(is_alike, "{straight:?}, {looked:?} on side {other}: {at}");
                }
                assert_eq!(seen[0].1, seen[other].1, "side {other}: {at}");
            }
            bases.extend(of_this);
        }
        for side in &sides {
            let counted = side.world.store.count_state().await.unwrap();
            assert!(
                counted.iter().all(|one| one.before == one.now),
                "{counted:?}"
            );
        }
    }
}

/// The same event, digest and emitted event on every side.
fn base(drawn: &Drawn, bases: &[Settlement]) -> Settlement {
    let mut base = settlement("a");
    if let Some(again) = drawn.again {
        base.event_id = bases[again].event_id;
    }
    if drawn.emits {
        base.effects.emitted.push(event("drawn"));
    }
    base
}

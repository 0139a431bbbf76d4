//! Everything that can go wrong with order, by the dice of a seed: hosts die, freeze
//! past their lease and wake up, stop, lose database and broker, swap builds; then
//! everything behaves, and each key must have been handled in the order of the stream
//! (I4), each event once (I3), none lost (I1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::Invocation;
use qx_events::{ComponentName, DeadLetter};
use qx_pipeline::{RelayConfig, RowOrder};
use uuid::Uuid;

use crate::acts::{self, keyed};
use crate::history::{Effect, seen};
use crate::host::{Host, Spec, TERM, component};
use crate::mischief::{Mischief, Weather};
use crate::mix::{number_in, percent, play_all, runtime};
use crate::models::handler::Act;
use crate::world::{World, pass};

/// Things that happen for one seed before everything behaves.
const STEPS: u32 = 30;
/// Keys, of which the first has half of the events.
const KEYS: u32 = 5;

/// By the dice of each call, not by the event: it is rejected, fails, takes long, or
/// leaves its number in the state. Two hosts that call it come to different ends.
fn moody(mischief: &Arc<Mischief>) -> Act {
    let quick = acts::appends(|id| format!("k{}", key_of(id)), Duration::from_millis(3));
    let slow = acts::slowly(Duration::from_secs(4), Arc::clone(&quick));
    let acts = [acts::reject(), acts::retry(), slow];
    let mischief = Arc::clone(mischief);
    Arc::new(move |invocation: Invocation| {
        let nth = mischief.below(12) as usize;
        acts.get(nth).unwrap_or(&quick)(invocation)
    })
}

fn specs(mischief: &Arc<Mischief>) -> Vec<Spec> {
    let logs = acts::appends(|id| format!("k{}", key_of(id)), Duration::from_millis(3));
    vec![
        component("steady", "order.placed", logs).in_order(),
        component("moody", "order.placed", moody(mischief)).in_order(),
    ]
}

fn key_of(id: u128) -> u128 {
    let dice = u32::try_from(id * 7 % 10).unwrap();
    u128::from(dice.saturating_sub(5) % KEYS)
}

struct Mix {
    world: World,
    specs: Vec<Spec>,
    hosts: Vec<Host>,
    frozen: Vec<Host>,
    started: u32,
    inserted: u128,
}

impl Mix {
    fn new(seed: u64) -> Self {
        let world = World::with(Mischief::seeded(seed, percent(seed)));
        world.history.push(Effect::Note(format!("QX_SEED={seed}")));
        Self {
            specs: specs(&world.mischief),
            world,
            hosts: Vec::new(),
            frozen: Vec::new(),
            started: 0,
            inserted: 0,
        }
    }

    fn below(&self, end: u32) -> u32 {
        self.world.mischief.below(end)
    }

    fn start(&mut self) {
        self.started += 1;
        let mut host = self.world.host(&format!("h{}", self.started));
        host.relay_with(RelayConfig {
            batch: 8,
            poll_max: Duration::from_secs(1),
            lease_term: TERM,
            order: RowOrder::Eager,
            retention: Duration::from_hours(10_000),
            beside_others: false,
            holder: host.name.clone(),
        });
        for spec in &self.specs {
            host.serve(spec);
        }
        self.hosts.push(host);
    }

    fn insert(&mut self) {
        for _ in 0..=self.below(12) {
            self.inserted += 1;
            let id = self.inserted;
            self.world.db.insert(&keyed(id, key_of(id)));
        }
    }

    fn pick_host(&mut self) -> Option<Host> {
        let count = u32::try_from(self.hosts.len()).unwrap();
        (count > 0).then(|| {
            let nth = self.below(count) as usize;
            self.hosts.swap_remove(nth)
        })
    }

    fn thaw(&mut self) {
        for host in self.frozen.drain(..) {
            host.thaw();
            self.hosts.push(host);
        }
    }

    fn swap(&mut self) {
        let nth = self.below(2) as usize;
        self.specs[nth].build += 1;
        for host in &self.hosts {
            host.install(&self.specs[nth]);
        }
    }

    async fn step(&mut self) {
        match self.below(100) {
            0..40 => self.insert(),
            40..50 => {
                if let Some(host) = self.pick_host() {
                    host.kill();
                }
            }
            50..62 => {
                if let Some(host) = self.pick_host() {
                    host.freeze();
                    self.frozen.push(host);
                }
            }
            62..70 => self.thaw(),
            70..74 => {
                if let Some(mut host) = self.pick_host() {
                    host.drain().await;
                }
            }
            74..79 => self.world.db.door.set(Weather::Down),
            79..84 => self.world.broker.door.set(Weather::Down),
            84..88 => self.swap(),
            88..93 => self.world.broker.break_sources(),
            _ => pass(Duration::from_secs(40)).await,
        }
        if self.hosts.len() < 2 {
            self.start();
        }
        pass(Duration::from_millis(u64::from(self.below(3_000)))).await;
        if self.below(2) == 0 {
            self.world.db.door.set(Weather::Fair);
            self.world.broker.door.set(Weather::Fair);
        }
    }

    async fn quiesce(&mut self) {
        self.world.mischief.end();
        self.world.db.door.set(Weather::Fair);
        self.world.broker.door.set(Weather::Fair);
        self.thaw();
        while self.hosts.len() > 2 {
            self.hosts.pop().unwrap().kill();
        }
        if self.hosts.is_empty() {
            self.start();
        }
        let (db, broker) = (&self.world.db, &self.world.broker);
        let is_idle = || {
            let taken_up = broker.books().durables.len() == self.specs.len();
            taken_up && db.waiting() == 0 && broker.is_drained()
        };
        self.world
            .history
            .until("everything is idle", is_idle)
            .await;
    }

    /// Where each event stands on the stream; the first place counts.
    fn places(&self) -> BTreeMap<u128, usize> {
        let ids = self.world.broker.ids();
        let mut places = BTreeMap::new();
        for (place, id) in ids.into_iter().enumerate() {
            places.entry(id).or_insert(place);
        }
        places
    }

    fn check(&self) {
        let places = self.places();
        let history = &self.world.history;
        for spec in &self.specs {
            let name = ComponentName::parse(spec.name).unwrap();
            let mut by_key: BTreeMap<u128, Vec<u128>> = BTreeMap::new();
            let ended = seen!(history, Effect::Committed { component, event, .. } => (component.clone(), *event));
            for (_, event) in ended.into_iter().filter(|(of, _)| of == spec.name) {
                by_key.entry(key_of(event)).or_default().push(event);
            }
            for (key, events) in &by_key {
                let is_ordered = events.is_sorted_by(|a, b| places[a] < places[b]);
                assert!(
                    is_ordered,
                    "I4: {name} handled key {key} as {events:?}\n{history}"
                );
            }
            let tables = self.world.db.tables();
            for id in 1..=self.inserted {
                let event = Uuid::from_u128(id);
                let handled = tables.inbox.contains_key(&(name.clone(), event));
                let letter = DeadLetter::id_for(&name, Some(event), 0);
                let dead = tables.letters.contains_key(&letter);
                assert!(handled != dead, "I1: {name} and {id}\n{history}");
            }
        }
    }
}

fn play(seed: u64) {
    fastrand::seed(seed); // The jitter of the loops.
    runtime().block_on(async {
        let mut mix = Mix::new(seed);
        mix.start();
        mix.start();
        for _ in 0..STEPS {
            mix.step().await;
        }
        mix.quiesce().await;
        mix.check();
    });
}

#[test]
fn whatever_goes_wrong_each_key_is_handled_in_the_order_of_the_stream() {
    match number_in("QX_SEED") {
        Some(seed) => play(seed),
        None => play_all(play),
    }
}

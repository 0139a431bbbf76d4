//! The order of the outbox survives the relay: no row is on the stream before one
//! that was recorded earlier, whatever is lost on the way, and whoever relays; where
//! that is asked for, also when the transactions of the producers end in another order.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use qx_events::KeyField;
use qx_events::shard::Split;
use qx_pipeline::{RelayConfig, RowOrder};

use crate::acts::placed;
use crate::host::{Host, TERM};
use crate::mischief::{Mischief, Weather};
use crate::models::database::Tables;
use crate::world::{World, pass};

/// Seeds of one run.
const SEEDS: u64 = 400;
/// Things that happen for one seed before everything behaves.
const STEPS: u32 = 40;

fn relay(world: &World, number: u32, (order, split): (RowOrder, Split)) -> Host {
    let mut host = world.host(&format!("h{number}"));
    let config = RelayConfig {
        batch: 7,
        poll_max: Duration::from_millis(200),
        lease_term: TERM,
        order,
        retention: Duration::from_hours(10_000),
        beside_others: split != Split::Whole,
        holder: host.name.clone(),
    };
    for shard in split.all() {
        host.relay_of(shard, config.clone());
    }
    host
}

/// Producers, and what they have committed.
struct Producers<'a> {
    world: &'a World,
    /// In the order of their rows.
    committed: BTreeSet<u128>,
    recorded: u128,
    /// Transactions that are open, with their events.
    open: Vec<(i64, Vec<u128>)>,
}

impl Producers<'_> {
    fn below(&self, end: u32) -> u32 {
        self.world.mischief.below(end)
    }

    /// One transaction after the other.
    fn record(&mut self) {
        for _ in 0..self.below(20) {
            self.recorded += 1;
            self.world.db.insert(&placed(self.recorded));
            self.committed.insert(self.recorded);
        }
    }

    /// Several at once: one begins, one records, one ends, one is taken back.
    fn record_at_once(&mut self) {
        for _ in 0..self.below(12) {
            let mut tables = self.world.db.tables();
            let open = u32::try_from(self.open.len()).unwrap();
            let nth = self.below(open.max(1)) as usize;
            match self.below(5) {
                0 => self.open.push((tables.begin(), Vec::new())),
                1..4 if open > 0 => {
                    self.recorded += 1;
                    let (transaction, events) = &mut self.open[nth];
                    tables.insert_in(*transaction, &placed(self.recorded));
                    events.push(self.recorded);
                }
                _ if open > 0 => self.end(nth, &mut tables),
                _ => {}
            }
        }
    }

    /// Now and then as if there had been nothing.
    fn end(&mut self, nth: usize, tables: &mut Tables) {
        let (transaction, events) = self.open.swap_remove(nth);
        if self.below(4) > 0 {
            tables.commit(transaction);
            self.committed.extend(events);
        } else {
            tables.open.remove(&transaction);
        }
    }
}

/// Rows come, relays come and go, and out of a hundred messages some are lost in
/// the middle of their batch, or stored without an answer.
async fn play(seed: u64, how: (RowOrder, Split)) {
    let (order, split) = how;
    let percent = 2 + u32::try_from(seed % 20).unwrap();
    let world = World::with(Mischief::seeded(seed, percent));
    let below = |end| world.mischief.below(end);
    let mut hosts = vec![relay(&world, 0, how)];
    let mut producers = Producers {
        world: &world,
        committed: BTreeSet::new(),
        recorded: 0,
        open: Vec::new(),
    };
    for step in 1..=STEPS {
        match below(10) {
            0..6 if order == RowOrder::Strict => producers.record_at_once(),
            0..6 => producers.record(),
            6 => hosts
                .swap_remove(below(u32::try_from(hosts.len()).unwrap()) as usize)
                .kill(),
            7 => world.broker.door.set(Weather::Down),
            8 => world.broker.books().answers_lost = below(5),
            _ => world.broker.door.set(Weather::Fair),
        }
        if hosts.len() < 2 {
            hosts.push(relay(&world, step, how));
        }
        pass(Duration::from_millis(u64::from(below(1_500)))).await;
    }
    while !producers.open.is_empty() {
        producers.end(0, &mut world.db.tables());
    }
    world.mischief.end();
    world.broker.door.set(Weather::Fair);
    let all_out = || world.db.waiting() == 0;
    world.history.until("every row is out", all_out).await;
    let mut found = HashSet::new();
    let firsts: Vec<u128> = world
        .broker
        .ids()
        .into_iter()
        .filter(|id| found.insert(*id))
        .collect();
    let history = &world.history;
    let committed: Vec<u128> = producers.committed.into_iter().collect();
    // Between two parts there is no order.
    for number in 0..u128::from(split.shards()) {
        let of = |ids: &[u128]| -> Vec<u128> {
            let own = |id: &u128| id % u128::from(split.shards()) == number;
            ids.iter().copied().filter(own).collect()
        };
        let (firsts, committed) = (of(&firsts), of(&committed));
        assert_eq!(firsts, committed, "QX_SEED={seed}\n{history}");
    }
}

fn play_all(how: (RowOrder, Split)) {
    let one = std::env::var("QX_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let seeds = one.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        fastrand::seed(seed); // The jitter of the loops.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(seed, how));
    }
}

#[test]
fn no_row_is_stored_before_an_earlier_one_whatever_the_broker_loses() {
    play_all((RowOrder::Eager, Split::Whole));
}

#[test]
fn a_strict_relay_stores_no_row_before_an_earlier_one_whoever_commits_first() {
    play_all((RowOrder::Strict, Split::Whole));
}

#[test]
fn relays_of_several_parts_keep_the_order_of_each_whatever_the_broker_loses() {
    let split = Split::By(KeyField::OrderingKey, 3);
    play_all((RowOrder::Eager, split));
    play_all((RowOrder::Strict, split));
}

/// And it does not wait for those that began later: they may be as long as they like.
#[tokio::test(start_paused = true)]
async fn rows_wait_for_the_transactions_that_were_open_before_them_and_for_no_other() {
    let world = World::new();
    let mut host = relay(&world, 0, (RowOrder::Strict, Split::Whole));
    pass(Duration::from_secs(1)).await;
    let early = world.db.tables().begin();
    world.db.tables().insert_in(early, &placed(1));
    world.db.insert(&placed(2));
    pass(Duration::from_mins(1)).await;
    assert_eq!(world.broker.ids(), []);
    let late = world.db.tables().begin();
    world.db.tables().insert_in(late, &placed(3));
    world.db.tables().commit(early);
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.broker.ids(), [1, 2]);
    world.db.tables().commit(late);
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.broker.ids(), [1, 2, 3]);
    // One that nobody knew is waited for by who takes over, and goes on then.
    let long = world.db.tables().begin();
    host.kill();
    world.db.insert(&placed(4));
    host = relay(&world, 1, (RowOrder::Strict, Split::Whole));
    pass(TERM * 3).await;
    assert_eq!(world.broker.ids(), [1, 2, 3]);
    world.db.tables().commit(long);
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.broker.ids(), [1, 2, 3, 4]);
    host.kill();
}

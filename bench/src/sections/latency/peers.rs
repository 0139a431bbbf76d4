//! The same of what people would use instead: graphile-worker, which has the same
//! producer and the same effect, and the predecessor, whose handler commits nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{HERE, Outbox, ms, produce, seconds};
use crate::cpu;
use crate::host::{Ground, Tuning, World};
use crate::lab::{Lab, PATIENCE};
use crate::peers::seed::Manner;
use crate::peers::{graphile, seed};
use crate::report::{Report, percentile};
use crate::sections::raw;

/// The predecessor gets through 196 a second at its defaults: less than the least
/// of those above, so it is measured at a rate that it can hold.
const RATE_SEED: u64 = 50;

/// The lower of our rates. Transactions that notify commit one at a time, the producer's
/// and the worker's: the higher one would be 2,000 waits for the disk a second, in a row.
const RATE_GRAPHILE: u64 = 200;

fn percentiles(report: &mut Report, name: &str, times: &[f64]) {
    for percent in [50, 99] {
        let value = percentile(times, percent).unwrap_or(f64::NAN);
        report.add(HERE, &format!("{name}, p{percent}"), "ms", value);
    }
}

/// graphile-worker at its best, until its effect is committed. `NOTIFY` wakes it.
pub(super) async fn graphile(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let Some(modules) = graphile::modules(lab, report, HERE) else {
        return Ok(());
    };
    let rate = RATE_GRAPHILE;
    let mut worker = graphile::Effects::start(lab, modules).await?;
    let warm = rate.min(100);
    produce(&worker.pool, Outbox::Graphile, rate, warm).await?;
    worker.drained(warm).await?;
    let before = cpu::of_tree(worker.pid());
    let count = rate * seconds(lab.size);
    let committed = produce(&worker.pool, Outbox::Graphile, rate, count).await?;
    worker.drained(warm + count).await?;
    let worker_us = (cpu::of_tree(worker.pid()) - before) * 1e6 / count as f64;
    let effects = worker.committed().await?;
    let mut times = Vec::new();
    for (id, commit) in &committed {
        let effect = effects.get(id).context("an effect is missing")?;
        times.push(ms(*commit, *effect));
    }
    percentiles(report, &format!("graphile-worker, {rate}/s"), &times);
    let name = format!("graphile-worker's processor time at {rate}/s");
    report.add(HERE, &name, "µs/event", worker_us);
    worker.end(warm + count).await
}

/// The predecessor at its defaults, until its handler is called; it commits nothing.
pub(super) async fn predecessor(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    if !seed::is_here(lab, report, HERE) {
        return Ok(());
    }
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), Tuning::default()).await?;
    raw::make_stream(&world).await?;
    let pool = world.pool().await?;
    let worker = seed::start_worker(lab, &world, Manner::Default, &["says"]).await?;
    let relay = seed::start_relay(lab, &world, Manner::Default).await?;
    let count = RATE_SEED * seconds(lab.size);
    let committed: HashMap<_, _> = produce(&pool, Outbox::Ours, RATE_SEED, count)
        .await?
        .into_iter()
        .collect();
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < committed.len() {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{} of {}",
            times.len(),
            committed.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        let said = std::fs::read_to_string(world.path("seed-worker.log"))?;
        times = said
            .lines()
            .filter_map(|line| handled(line, &committed))
            .collect();
    }
    let name = format!("qx-events and qx-worker at their defaults, {RATE_SEED}/s");
    percentiles(report, &name, &times);
    drop((worker, relay));
    pool.close().await;
    world.tidy().await
}

/// A line `handled <event id> <seconds since 1970>`, as milliseconds since the commit.
fn handled(line: &str, committed: &HashMap<Uuid, DateTime<Utc>>) -> Option<f64> {
    let mut words = line.strip_prefix("handled ")?.split(' ');
    let commit = committed.get(&words.next()?.parse().ok()?)?;
    let at: f64 = words.next()?.parse().ok()?;
    let committed = commit.timestamp_micros() as f64 / 1e3;
    Some(at * 1e3 - committed)
}

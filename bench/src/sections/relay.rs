//! The relay alone, beside bare publishing, the database's bare share of it, and
//! the relays of the predecessor and of faststream-outbox; on a broker with its defaults and on one that syncs
//! its disk on every write.

use crate::cpu::Cpu;
use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, Tuning, World};
use crate::lab::{Broker, Lab};
use crate::peers::{faststream, seed};
use crate::report::Report;
use crate::sections::{Section, progress, raw};

const HERE: Section = Section::Relay;

/// Rows of a full run.
const ROWS: u64 = 100_000;

/// On a stream that is synced on every write, where bare publishing is slow.
const ROWS_SYNCED: u64 = 20_000;

/// Rows for the predecessor at its best, and at its defaults.
const ROWS_SEED: u64 = 15_000;
const ROWS_SEED_DEFAULT: u64 = 1_000;

/// Rows for faststream-outbox.
const ROWS_FASTSTREAM: u64 = 10_000;

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let servers = lab.servers().await?;
    let synced = lab.synced_broker().await?;
    let rows = lab.size.of(ROWS);
    for _ in 0..lab.runs {
        publish(lab, report, &servers.broker, rows, "raw pipelined publish").await?;
        ours(lab, report, &servers.broker, rows, BEST, "relay").await?;
        ours(
            lab,
            report,
            &servers.broker,
            rows,
            Tuning::default(),
            "relay at its defaults",
        )
        .await?;
        read_and_mark(lab, report, rows).await?;
        let few = lab.size.of(ROWS_SYNCED);
        publish(lab, report, synced, few, "raw publish, synced stream").await?;
        ours(lab, report, synced, few, BEST, "relay, synced stream").await?;
        seed::relay(
            lab,
            report,
            HERE,
            lab.size.of(ROWS_SEED),
            seed::Manner::Best,
        )
        .await?;
        faststream::relay(lab, report, HERE, lab.size.of(ROWS_FASTSTREAM)).await?;
    }
    seed::relay(
        lab,
        report,
        HERE,
        lab.size.of(ROWS_SEED_DEFAULT),
        seed::Manner::Default,
    )
    .await
}

async fn publish(
    lab: &Lab,
    report: &mut Report,
    broker: &Broker,
    rows: u64,
    name: &str,
) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    raw::make_stream(&world).await?;
    let events = orders(0, rows, ENVELOPE_BYTES)?;
    let before = Cpu {
        host: crate::cpu::own(),
        ..world.cpu(None)
    };
    let seconds = raw::publish(&world, &events).await?;
    let after = Cpu {
        host: crate::cpu::own(),
        ..world.cpu(None)
    };
    report.add_with_cpu(
        HERE,
        name,
        rows as f64 / seconds,
        after.since(before).per(rows),
    );
    world.tidy().await
}

async fn ours(
    lab: &Lab,
    report: &mut Report,
    broker: &Broker,
    rows: u64,
    tuning: Tuning,
    name: &str,
) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Servers(broker), tuning).await?;
    let mut host = world.run("relay").await?;
    let pool = world.pool().await?;
    raw::record(&pool, &orders(0, rows, ENVELOPE_BYTES)?).await?;
    let speed = progress::relayed(&world, &mut host, rows).await?;
    report.add_with_cpu(HERE, name, speed.rate, speed.cpu);
    pool.close().await;
    drop(host);
    world.tidy().await
}

async fn read_and_mark(lab: &Lab, report: &mut Report, rows: u64) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Servers(&lab.servers().await?.broker), BEST).await?;
    let pool = world.pool().await?;
    raw::record(&pool, &orders(0, rows, ENVELOPE_BYTES)?).await?;
    let seconds = raw::read_and_mark(&pool, rows).await?;
    report.add(HERE, "bare read and mark", "rows/s", rows as f64 / seconds);
    pool.close().await;
    world.tidy().await
}

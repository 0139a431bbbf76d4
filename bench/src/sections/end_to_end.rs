//! From the committed row to the committed effect, with the relay, the broker, the
//! consumer and the database on the same processors; the emitted events are
//! relayed too. Beside the predecessor, and queues in PostgreSQL that need no stream.

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, Tuning, World};
use crate::lab::Lab;
use crate::peers::graphile::Task;
use crate::peers::{faststream, graphile, seed};
use crate::report::Report;
use crate::sections::consumer::{Expects, check};
use crate::sections::progress::{self, Clock};
use crate::sections::{Section, raw};

const HERE: Section = Section::EndToEnd;

/// Rows of a full run.
const ROWS: u64 = 40_000;

/// Rows for the predecessor.
const ROWS_SEED: u64 = 10_000;

/// Jobs for graphile-worker: where it does nothing, writes a row, and adds a job too.
const JOBS_NOOP: u64 = 40_000;
const JOBS_ROW: u64 = 10_000;
const JOBS_EFFECT: u64 = 5_000;

/// Rows for faststream-outbox.
const ROWS_FASTSTREAM: u64 = 10_000;

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let rows = lab.size.of(ROWS);
    for _ in 0..lab.runs {
        let speed = ours(
            lab,
            rows,
            BEST,
            "bench-effect",
            Expects::Effects,
            ENVELOPE_BYTES,
        )
        .await?;
        report.add_with_cpu(HERE, "effect once", speed.rate, speed.cpu);
        let speed = ours(
            lab,
            rows / 2,
            Tuning::default(),
            "bench-effect",
            Expects::Effects,
            ENVELOPE_BYTES,
        )
        .await?;
        report.add_with_cpu(HERE, "effect once at the defaults", speed.rate, speed.cpu);
        seed::end_to_end(lab, report, HERE, lab.size.of(ROWS_SEED)).await?;
        for (task, jobs) in [
            (Task::Effect, JOBS_EFFECT),
            (Task::Row, JOBS_ROW),
            (Task::Noop, JOBS_NOOP),
        ] {
            graphile::throughput(lab, report, HERE, lab.size.of(jobs), task).await?;
        }
        faststream::handle(lab, report, HERE, lab.size.of(ROWS_FASTSTREAM)).await?;
    }
    Ok(())
}

/// One run of ours, with envelopes of this size.
pub(crate) async fn ours(
    lab: &Lab,
    rows: u64,
    tuning: Tuning,
    component: &str,
    expects: Expects,
    bytes: usize,
) -> anyhow::Result<progress::Speed> {
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), tuning).await?;
    world.put(component, &lab.component(component)?)?;
    let mut host = world.run("relay,consumer").await?;
    let consumer = progress::the_consumer(&world).await?;
    let pool = world.pool().await?;
    raw::record(&pool, &orders(0, rows, bytes)?).await?;
    let mut clock = Clock::new(&world, Some(host.pid()), rows);
    let speed = loop {
        let settled = consumer.settled().await?;
        clock.saw(settled.min(rows))?;
        if settled >= rows && consumer.left().await? == 0 && progress::pending(&pool).await? == 0 {
            break clock.end()?;
        }
        host.alive()?;
        tokio::time::sleep(crate::host::LOOK * 2).await;
    };
    drop(host);
    check(&world, rows, expects).await?;
    pool.close().await;
    world.tidy().await?;
    Ok(speed)
}

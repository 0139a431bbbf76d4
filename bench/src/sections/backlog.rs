//! The outbox with many published rows that are still kept: what a read of the
//! rows that wait costs, and how fast they leave.

use std::time::Instant;

use qx_events::ports::Outbox;
use qx_store::{Store, StoreConfig};

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, World};
use crate::lab::Lab;
use crate::report::{Report, median};
use crate::sections::{Section, progress, raw};

const HERE: Section = Section::Backlog;

/// Published rows that are kept.
const KEPT: [u64; 4] = [0, 10_000, 100_000, 1_000_000];
const KEPT_HUGE: u64 = 10_000_000;

/// Rows that wait.
const PENDING: u64 = 10_000;

/// Reads of a batch that are timed; half as many come before them.
const READS: usize = 200;

/// Rows of one read.
const BATCH: u32 = 200;

/// Rows of one statement that fills the table.
const FILL: u64 = 250_000;

pub(crate) async fn run(lab: &Lab, report: &mut Report, huge: bool) -> anyhow::Result<()> {
    let sizes = KEPT.into_iter().chain(huge.then_some(KEPT_HUGE));
    for kept in sizes {
        // A table of a million rows takes longer to fill than all of the rest.
        let runs = if kept < 1_000_000 {
            lab.runs_of_long()
        } else {
            1
        };
        for _ in 0..runs {
            one(
                lab,
                report,
                kept.min(lab.size.of(kept).max(1) * u64::from(kept > 0)),
            )
            .await?;
        }
    }
    Ok(())
}

async fn one(lab: &Lab, report: &mut Report, kept: u64) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Servers(&lab.servers().await?.broker), BEST).await?;
    let pool = world.pool().await?;
    fill(&pool, kept).await?;
    let pending = lab.size.of(PENDING);
    raw::record(&pool, &orders(0, pending, ENVELOPE_BYTES)?).await?;
    let store = Store::connect(&StoreConfig::new(world.database_url.clone())).await?;
    let outbox = store.outbox();
    let us = read_us(&*outbox).await?;
    report.add(HERE, &format!("read of 200 rows, {kept} kept"), "µs", us);
    store.close().await;
    let mut host = world.run("relay").await?;
    let speed = progress::relayed(&world, &mut host, pending).await?;
    report.add_with_cpu(HERE, &format!("relay, {kept} kept"), speed.rate, speed.cpu);
    pool.close().await;
    drop(host);
    world.tidy().await
}

async fn read_us(outbox: &dyn Outbox) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(READS);
    for turn in 0..READS + READS / 2 {
        let begun = Instant::now();
        outbox.pending(BATCH).await?;
        if turn >= READS / 2 {
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(median(&times).unwrap_or(f64::NAN))
}

/// Rows that are published already, of the same size.
async fn fill(pool: &sqlx::PgPool, kept: u64) -> anyhow::Result<()> {
    let body = crate::events::order(1, ENVELOPE_BYTES)?.0.encode();
    let mut made = 0;
    while made < kept {
        let count = FILL.min(kept - made);
        let sql = "INSERT INTO qx_outbox_events (id, event_name, payload, occurred_at, published_at, stream_name, stream_seq)
                   SELECT gen_random_uuid(), $1, $2::jsonb, now(), now(), 'kept', n
                   FROM generate_series($3::bigint, $4::bigint) AS n";
        sqlx::query(sql)
            .bind(crate::events::NAME)
            .bind(&body)
            .bind(i64::try_from(made)? + 1)
            .bind(i64::try_from(made + count)?)
            .execute(pool)
            .await?;
        made += count;
    }
    sqlx::raw_sql("VACUUM ANALYZE qx_outbox_events")
        .execute(pool)
        .await?;
    Ok(())
}

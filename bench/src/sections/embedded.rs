//! Everything in one process on SQLite, with the disk waited for: end to end.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, Tuning, World};
use crate::lab::{Lab, PATIENCE};
use crate::report::Report;
use crate::sections::Section;

const HERE: Section = Section::Embedded;

/// Rows of a full run.
const ROWS: u64 = 15_000;

/// Marks of one bare commit: as many as the host commits together at most.
const GROUP: usize = 256;

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let rows = lab.size.of(ROWS);
    for _ in 0..lab.runs {
        ours(lab, report, rows, BEST, "end to end, effect once").await?;
        ours(
            lab,
            report,
            rows,
            Tuning::default(),
            "the same at the defaults",
        )
        .await?;
        bare(lab, report, rows).await?;
    }
    Ok(())
}

async fn open(world: &World<'_>) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::from_str(&world.database_url)?;
    let options = options
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30));
    Ok(SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?)
}

async fn ours(
    lab: &Lab,
    report: &mut Report,
    rows: u64,
    tuning: Tuning,
    name: &str,
) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Embedded, tuning).await?;
    world.put("bench-effect", &lab.component("bench-effect")?)?;
    let mut host = world.run("relay,consumer").await?;
    let pool = open(&world).await?;
    let events = orders(0, rows, ENVELOPE_BYTES)?;
    let mut tx = pool.begin().await?;
    qx_store::producer::record_all(&mut *tx, &events).await?;
    tx.commit().await?;
    let begun = Instant::now();
    let before = world.cpu(Some(host.pid()));
    loop {
        let marks: i64 = sqlx::query_scalar("SELECT count(*) FROM qx_inbox")
            .fetch_one(&pool)
            .await?;
        let open = "SELECT count(*) FROM qx_outbox_events WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await?;
        if marks == i64::try_from(rows)? && open == 0 {
            break;
        }
        host.alive()?;
        ensure!(begun.elapsed() < PATIENCE, "{marks} of {rows}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = world.cpu(Some(host.pid())).since(before).per(rows);
    report.add_with_cpu(HERE, name, rows as f64 / seconds, cpu);
    let state: i64 =
        sqlx::query_scalar("SELECT coalesce(sum(CAST(value AS INTEGER)), 0) FROM qx_state")
            .fetch_one(&pool)
            .await?;
    ensure!(
        state == i64::try_from(rows)?,
        "the state counts {state}, not {rows}"
    );
    pool.close().await;
    Ok(())
}

/// Marks alone, in groups, each waiting for the disk.
async fn bare(lab: &Lab, report: &mut Report, rows: u64) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Embedded, BEST).await?;
    let pool = open(&world).await?;
    let events = orders(0, rows, ENVELOPE_BYTES)?;
    let begun = Instant::now();
    for group in events.chunks(GROUP) {
        let mut tx = pool.begin().await?;
        for event in group {
            let sql =
                "INSERT INTO qx_inbox (component, event_id, digest) VALUES ('bare', ?1, x'00')";
            sqlx::query(sql)
                .bind(event.0.event_id.to_string())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
    }
    report.add(
        HERE,
        "bare ledger insert, groups of 256",
        "marks/s",
        rows as f64 / begun.elapsed().as_secs_f64(),
    );
    pool.close().await;
    Ok(())
}

//! The predecessor, from `PyPI`: its relay and its worker, at their defaults and at
//! their best settings, on its own tables. Optional: absent, the report says so.
//!
//! Its handler does nothing and writes nothing down: less than ours does.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, World};
use crate::lab::Lab;
use crate::report::Report;
use crate::sections::progress::{self, Clock, Speed};
use crate::sections::{Section, raw};

/// Longest wait for Python to import everything.
const START_MAX: Duration = Duration::from_mins(1);

/// How the predecessor is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it comes.
    Default,
    /// As fast as its settings make it.
    Best,
}

impl Manner {
    const fn relay(self) -> [&'static str; 2] {
        match self {
            Self::Default => ["100", "0.5"],
            Self::Best => ["1000", "0"],
        }
    }

    const fn worker(self) -> &'static str {
        match self {
            Self::Default => "4",
            Self::Best => "500",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Default => "at its defaults",
            Self::Best => "at its best",
        }
    }
}

/// Its table, as its own migration makes it.
const TABLE: &str = "
    DROP TABLE IF EXISTS qx_outbox_events CASCADE;
    CREATE TABLE qx_outbox_events (
        id uuid PRIMARY KEY, event_name varchar(255) NOT NULL, event_version int NOT NULL DEFAULT 1,
        payload jsonb NOT NULL, occurred_at timestamptz NOT NULL, correlation_id uuid,
        causation_id uuid, tenant_id uuid, published_at timestamptz,
        attempts int NOT NULL DEFAULT 0, last_error varchar(2048));
    CREATE INDEX ix_outbox_unpublished ON qx_outbox_events (published_at, occurred_at);
    CREATE INDEX ix_outbox_event_name ON qx_outbox_events (event_name);";

/// A running part of it. Killed when dropped.
pub(crate) struct Python {
    child: Child,
}

impl Python {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a part of it, and waits until its loop begins. What it prints further
/// goes into a file.
pub(crate) async fn start(
    lab: &Lab,
    world: &World<'_>,
    role: &str,
    args: &[&str],
) -> anyhow::Result<Python> {
    let python = lab
        .seed_python
        .as_ref()
        .context("the predecessor is not installed")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/seed.py");
    let printed = world.path(&format!("seed-{role}.log"));
    let out = std::fs::File::create(&printed)?;
    let child = Command::new(python)
        .arg(script)
        .arg(role)
        .args(args)
        .env("PYTHONWARNINGS", "ignore")
        .stdin(Stdio::null())
        .stderr(out.try_clone()?)
        .stdout(out)
        .spawn()?;
    let mut python = Python { child };
    let begun = std::time::Instant::now();
    loop {
        let file = tokio::fs::File::open(&printed).await?;
        let mut lines = BufReader::new(file).lines();
        while let Some(line) = lines.next_line().await.unwrap_or_default() {
            if line.contains("ready") {
                return Ok(python);
            }
        }
        let ended = python.child.try_wait()?.is_some();
        let said = std::fs::read_to_string(&printed).unwrap_or_default();
        ensure!(
            !ended && begun.elapsed() < START_MAX,
            "seed.py {role}: {said}"
        );
        tokio::time::sleep(crate::host::LOOK).await;
    }
}

/// `false`, with a remark, when it is not there.
pub(crate) fn is_here(lab: &Lab, report: &mut Report, section: Section) -> bool {
    let here = lab.seed_python.is_some();
    if !here {
        report.remark(section, "the predecessor (qx-events, qx-worker) is not installed here: nothing is compared with it");
    }
    here
}

/// Its table instead of ours, with these rows.
pub(crate) async fn fill(pool: &sqlx::PgPool, rows: u64) -> anyhow::Result<()> {
    sqlx::raw_sql(TABLE).execute(pool).await?;
    insert(pool, rows).await?;
    sqlx::raw_sql("ANALYZE qx_outbox_events")
        .execute(pool)
        .await?;
    Ok(())
}

async fn insert(pool: &sqlx::PgPool, rows: u64) -> anyhow::Result<()> {
    let events = orders(0, rows, ENVELOPE_BYTES)?;
    let mut tx = pool.begin().await?;
    for group in events.chunks(2_000) {
        let bodies: Vec<String> = group.iter().map(|event| event.0.encode()).collect();
        let sql = "INSERT INTO qx_outbox_events (id, event_name, event_version, payload, occurred_at)
                   SELECT gen_random_uuid(), $2, 1, body::jsonb, now() FROM unnest($1::text[]) AS t (body)";
        sqlx::query(sql)
            .bind(&bodies)
            .bind(crate::events::NAME)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Its relay alone.
pub(crate) async fn relay(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    rows: u64,
    manner: Manner,
) -> anyhow::Result<()> {
    if !is_here(lab, report, section) {
        return Ok(());
    }
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    raw::make_stream(&world).await?;
    let pool = world.pool().await?;
    fill(&pool, rows).await?;
    let [batch, pause] = manner.relay();
    let url = broker.nats.url();
    let python = start(
        lab,
        &world,
        "relay",
        &[&world.database_url, &url, &world.prefix, batch, pause],
    )
    .await?;
    let context = world.jetstream().await?;
    let mut clock = Clock::new(&world, Some(python.pid()), rows);
    let sql = "SELECT count(*) FROM qx_outbox_events WHERE published_at IS NULL";
    let speed = loop {
        let end = progress::stream_end(&context, &world.stream).await?;
        clock.saw(end)?;
        if end >= rows && sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await? == 0 {
            break clock.end()?;
        }
        tokio::time::sleep(crate::host::LOOK).await;
    };
    report.add_with_cpu(
        section,
        &format!("qx-events relay {}", manner.word()),
        speed.rate,
        speed.cpu,
    );
    pool.close().await;
    drop(python);
    world.tidy().await
}

/// Its worker alone.
pub(crate) async fn worker(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    count: u64,
    manner: Manner,
) -> anyhow::Result<()> {
    if !is_here(lab, report, section) {
        return Ok(());
    }
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    raw::make_stream(&world).await?;
    raw::publish(&world, &orders(0, count, ENVELOPE_BYTES)?).await?;
    let url = broker.nats.url();
    let python = start(
        lab,
        &world,
        "worker",
        &[&url, &world.stream, &world.prefix, manner.worker()],
    )
    .await?;
    let speed = progress::consumed(&world, python.pid(), 0, count).await?;
    report.add_with_cpu(
        section,
        &format!("qx-worker {}", manner.word()),
        speed.rate,
        speed.cpu,
    );
    drop(python);
    world.tidy().await
}

/// Both, as two processes, at their best.
pub(crate) async fn end_to_end(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    rows: u64,
) -> anyhow::Result<()> {
    if !is_here(lab, report, section) {
        return Ok(());
    }
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    let (worker, relay) = both(lab, &world, Manner::Best, rows).await?;
    let speed: Speed = progress::consumed(&world, worker.pid(), 0, rows).await?;
    report.add_with_cpu(
        section,
        "qx-events and qx-worker at their best",
        speed.rate,
        speed.cpu,
    );
    drop((worker, relay));
    world.tidy().await
}

/// Its worker, and then its relay, on a table with these rows.
pub(crate) async fn both(
    lab: &Lab,
    world: &World<'_>,
    manner: Manner,
    rows: u64,
) -> anyhow::Result<(Python, Python)> {
    let url = lab.servers().await?.broker.nats.url();
    raw::make_stream(world).await?;
    let pool = world.pool().await?;
    fill(&pool, rows).await?;
    pool.close().await;
    let worker = start(
        lab,
        world,
        "worker",
        &[&url, &world.stream, &world.prefix, manner.worker()],
    )
    .await?;
    let [batch, pause] = manner.relay();
    let relay = start(
        lab,
        world,
        "relay",
        &[&world.database_url, &url, &world.prefix, batch, pause],
    )
    .await?;
    Ok((worker, relay))
}

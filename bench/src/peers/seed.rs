//! The predecessor, from `PyPI`: its relay and its worker, at their defaults and at
//! their best settings, on its own tables. Optional: absent, the report says so.
//!
//! Its handler does nothing and writes nothing down: less than ours does.

use std::process::Command;

use anyhow::Context as _;

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, World};
use crate::lab::Lab;
use crate::peers::{self, Peer};
use crate::report::Report;
use crate::sections::progress::{self, Clock, Speed};
use crate::sections::{Section, raw};

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

/// Starts a part of it, and waits until its loop begins.
async fn start(lab: &Lab, world: &World<'_>, role: &str, args: &[&str]) -> anyhow::Result<Peer> {
    let python = lab.peers.seed_python.as_ref();
    let mut command = Command::new(python.context("the predecessor is not installed")?);
    command.arg(peers::script("seed.py")).arg(role).args(args);
    command.env("PYTHONWARNINGS", "ignore");
    Peer::start(command, world.path(&format!("seed-{role}.log"))).await
}

/// Its relay, on the tables of this world.
pub(crate) async fn start_relay(
    lab: &Lab,
    world: &World<'_>,
    manner: Manner,
) -> anyhow::Result<Peer> {
    let url = lab.servers().await?.broker.nats.url();
    let [batch, pause] = manner.relay();
    let args = [&world.database_url, &url, &world.prefix, batch, pause];
    start(lab, world, "relay", &args).await
}

/// Its worker, on the stream of this world. `also`: what else it is told.
pub(crate) async fn start_worker(
    lab: &Lab,
    world: &World<'_>,
    manner: Manner,
    also: &[&str],
) -> anyhow::Result<Peer> {
    let url = lab.servers().await?.broker.nats.url();
    let mut args = vec![&*url, &world.stream, &world.prefix, manner.worker()];
    args.extend(also);
    start(lab, world, "worker", &args).await
}

/// What the report says where it is not there.
const ABSENT: &str =
    "the predecessor (qx-events, qx-worker) is not installed here: nothing is compared with it";

/// `false`, with a remark, when it is not there.
pub(crate) fn is_here(lab: &Lab, report: &mut Report, section: Section) -> bool {
    peers::found(lab.peers.seed_python.as_deref(), report, section, ABSENT).is_some()
}

/// The rows that a producer would have written.
const FILL: &str =
    "INSERT INTO qx_outbox_events (id, event_name, event_version, payload, occurred_at)
     SELECT gen_random_uuid(), 'bench.order.placed', 1, body::jsonb, now() FROM unnest($1::text[]) AS t (body)";

/// Its table instead of ours, with these rows.
async fn fill(pool: &sqlx::PgPool, rows: u64) -> anyhow::Result<()> {
    sqlx::raw_sql(TABLE).execute(pool).await?;
    peers::fill(pool, rows, FILL).await
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
    let python = start_relay(lab, &world, manner).await?;
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
    let python = start_worker(lab, &world, manner, &[]).await?;
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
) -> anyhow::Result<(Peer, Peer)> {
    raw::make_stream(world).await?;
    let pool = world.pool().await?;
    fill(&pool, rows).await?;
    pool.close().await;
    let worker = start_worker(lab, world, manner, &[]).await?;
    let relay = start_relay(lab, world, manner).await?;
    Ok((worker, relay))
}

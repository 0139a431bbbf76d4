//! faststream-outbox, from `PyPI`: a broker for `FastStream` whose queue is a table of
//! PostgreSQL. Measured are the two things that its documentation begins with: the
//! relay, here to a stream of NATS, and rows that are handled where they are.
//!
//! At its best: rows fetched and deleted in batches, more workers than one. Both are
//! at least once. A row of its carries the event's id as the header by which the
//! stream tells duplicates, as ours does.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use sqlx::PgPool;

use crate::host::{BEST, Ground, LOOK, World};
use crate::lab::Lab;
use crate::peers::{self, Peer};
use crate::report::Report;
use crate::sections::progress::{self, Clock};
use crate::sections::{Section, raw};

/// What the report says where it is not there.
const ABSENT: &str = "faststream-outbox is not installed here, so it is left out; for it `make bench` needs Python 3.11 or later and PyPI";

/// Its settings: workers, rows that are fetched at once, rows that are deleted at once.
/// More of any of them brings nothing: one process of Python is what bounds it.
const BEST_SETTINGS: [&str; 3] = ["8", "500", "100"];

/// The rows that a producer would have written.
const FILL: &str = "
    INSERT INTO outbox (queue, payload, headers)
    SELECT 'orders', convert_to(body, 'UTF8'), jsonb_build_object(
        'content-type', 'application/json', 'correlation_id', id, 'Nats-Msg-Id', id)
    FROM unnest($1::text[]) AS t (body), LATERAL (SELECT body::json ->> 'event_id') AS e (id)";

fn python<'a>(lab: &'a Lab, report: &mut Report, section: Section) -> Option<&'a Path> {
    let python = lab.peers.faststream_python.as_deref();
    peers::found(python, report, section, ABSENT)
}

fn command(python: &Path, role: &str, world: &World<'_>, args: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.arg(peers::script("outbox.py")).arg(role);
    command.arg(&world.database_url).args(args);
    command
}

async fn fill(python: &Path, world: &World<'_>, rows: u64) -> anyhow::Result<PgPool> {
    peers::finish(command(python, "schema", world, &[])).await?;
    let pool = world.pool().await?;
    peers::fill(&pool, rows, FILL).await?;
    Ok(pool)
}

/// Rows that are still to be done, or done and not yet deleted.
async fn left(pool: &PgPool) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM outbox";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// From rows that are there to messages in the stream.
pub(crate) async fn relay(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    rows: u64,
) -> anyhow::Result<()> {
    let Some(python) = python(lab, report, section) else {
        return Ok(());
    };
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    raw::make_stream(&world).await?;
    let pool = fill(python, &world, rows).await?;
    let context = world.jetstream().await?;
    let subject = format!("{}.{}", world.prefix, crate::events::NAME);
    let url = broker.nats.url();
    let [workers, fetch, flush] = BEST_SETTINGS;
    let args = [workers, fetch, flush, &url, &world.stream, &subject];
    let command = command(python, "relay", &world, &args);
    let mut relay = Peer::start(command, world.path("faststream-outbox.log")).await?;
    let mut clock = Clock::new(&world, Some(relay.pid()), rows);
    let speed = loop {
        let end = progress::stream_end(&context, &world.stream).await?;
        clock.saw(end)?;
        if end >= rows && left(&pool).await? == 0 {
            break clock.end()?;
        }
        relay.alive()?;
        tokio::time::sleep(LOOK).await;
    };
    let said = relay.stop().await?;
    let end = progress::stream_end(&context, &world.stream).await?;
    ensure!(
        end == rows,
        "the stream has {end} of {rows} messages: {said}"
    );
    let name = "faststream-outbox relay at its best";
    report.add_with_cpu(section, name, speed.rate, speed.cpu);
    pool.close().await;
    world.tidy().await
}

/// From rows that are there to none, with a handler that does nothing.
pub(crate) async fn handle(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    rows: u64,
) -> anyhow::Result<()> {
    let Some(python) = python(lab, report, section) else {
        return Ok(());
    };
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    let pool = fill(python, &world, rows).await?;
    let command = command(python, "handle", &world, &BEST_SETTINGS);
    let mut worker = Peer::start(command, world.path("faststream-outbox.log")).await?;
    let mut clock = Clock::new(&world, Some(worker.pid()), rows);
    let speed = loop {
        let [ran] = worker.ran()?;
        clock.saw(ran.min(rows))?;
        if ran >= rows && left(&pool).await? == 0 {
            break clock.end()?;
        }
        worker.alive()?;
        tokio::time::sleep(LOOK).await;
    };
    let said = worker.stop().await?;
    let [ran] = peers::ran(&said);
    ensure!(ran == rows, "it handled {ran} of {rows} rows: {said}");
    let name = "faststream-outbox, no-op";
    report.add_with_cpu(section, name, speed.rate, speed.cpu);
    pool.close().await;
    world.tidy().await
}

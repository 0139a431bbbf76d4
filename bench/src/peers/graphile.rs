//! graphile-worker, from npm: a queue in PostgreSQL whose jobs are written with the
//! producer's transaction, and run by a worker in Node. At the settings of its page on
//! performance: 24 jobs at once, 500 fetched ahead, ended jobs deleted in batches.
//!
//! Its jobs are at least once: one that was done and not yet deleted when the worker
//! dies is run again, and its effect happens twice. Ours does not; what is the same
//! is the envelope, the row and the event that is added.
//!
//! Adding a job notifies, within the transaction. PostgreSQL lets such transactions
//! commit one at a time, each with its wait for the disk, which is what bounds the
//! effect here; the row alone is measured too, which does not notify.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use qx_events::NewEvent;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::host::{BEST, Ground, LOOK, World};
use crate::lab::{Lab, PATIENCE};
use crate::peers::{self, Peer};
use crate::report::Report;
use crate::sections::Section;
use crate::sections::progress::Clock;

/// Jobs at once, as its page on performance has it.
const CONCURRENCY: &str = "24";

/// What the report says where it is not there.
const ABSENT: &str = "graphile-worker is not installed here, so it is left out; for it `make bench` needs Node and npm, 18 or later \
    (`sudo apt-get install -y nodejs npm`, or `make languages`, which fetches them from PyPI)";

/// What its tasks count in.
const STATE: &str = "CREATE TABLE bench_state (customer text PRIMARY KEY, orders bigint NOT NULL, last uuid NOT NULL)";

/// The jobs that a producer would have added.
const FILL: &str = "
    SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
        SELECT ROW ('placed', body::json, NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec
        FROM unnest($1::text[]) AS t (body)))";

/// What is done for each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing.
    Noop,
    /// A row is counted up.
    Row,
    /// A row is counted up and another job added, in one transaction; the job that was
    /// added is run too, and does nothing.
    Effect,
}

impl Task {
    const fn role(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Row => "row",
            Self::Effect => "effect",
        }
    }

    const fn figure(self) -> &'static str {
        match self {
            Self::Noop => "graphile-worker, no-op",
            Self::Row => "graphile-worker, row, at least once",
            Self::Effect => "graphile-worker, row and job, at least once",
        }
    }

    /// Jobs that are run when so many were there in the beginning: those, and those that they added.
    const fn jobs(self, rows: u64) -> [u64; 2] {
        match self {
            Self::Noop | Self::Row => [rows, 0],
            Self::Effect => [rows, rows],
        }
    }

    /// What the rows have been counted up to then, in all.
    const fn counts(self, rows: u64) -> u64 {
        match self {
            Self::Noop => 0,
            Self::Row | Self::Effect => rows,
        }
    }
}

/// Its `node_modules`; without them a remark says so.
pub(crate) fn modules<'a>(lab: &'a Lab, report: &mut Report, section: Section) -> Option<&'a Path> {
    let modules = lab.peers.graphile_modules.as_deref();
    peers::found(modules, report, section, ABSENT)
}

fn command(lab: &Lab, modules: &Path, world: &World<'_>, args: &[&str]) -> Command {
    let mut command = Command::new(&lab.peers.node);
    command.arg(peers::script("graphile/worker.cjs"));
    command.arg(&world.database_url).args(args);
    // It logs each job otherwise, which its own measurements leave out too.
    command.env("NODE_PATH", modules).env("NO_LOG_SUCCESS", "1");
    command
}

/// Its tables, and the one that its tasks write.
async fn make_tables(lab: &Lab, modules: &Path, world: &World<'_>) -> anyhow::Result<PgPool> {
    peers::finish(command(lab, modules, world, &["schema"])).await?;
    let pool = world.pool().await?;
    sqlx::raw_sql(STATE).execute(&pool).await?;
    Ok(pool)
}

async fn start(lab: &Lab, modules: &Path, world: &World<'_>, task: Task) -> anyhow::Result<Peer> {
    let command = command(lab, modules, world, &[task.role(), CONCURRENCY]);
    Peer::start(command, world.path("graphile-worker.log")).await
}

/// From jobs that are there to none, at its best.
pub(crate) async fn throughput(
    lab: &Lab,
    report: &mut Report,
    section: Section,
    rows: u64,
    task: Task,
) -> anyhow::Result<()> {
    let Some(modules) = modules(lab, report, section) else {
        return Ok(());
    };
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    let pool = make_tables(lab, modules, &world).await?;
    peers::fill(&pool, rows, FILL).await?;
    let mut worker = start(lab, modules, &world, task).await?;
    let mut clock = Clock::new(&world, Some(worker.pid()), rows);
    let jobs = task.jobs(rows);
    let speed = loop {
        let ran: [u64; 2] = worker.ran()?;
        clock.saw(ran.first().copied().unwrap_or(0).min(rows))?;
        if ran >= jobs && left(&pool).await? == 0 {
            break clock.end()?;
        }
        worker.alive()?;
        tokio::time::sleep(LOOK).await;
    };
    check(&pool, &worker.stop().await?, task, rows).await?;
    report.add_with_cpu(section, task.figure(), speed.rate, speed.cpu);
    pool.close().await;
    world.tidy().await
}

/// Jobs that are still to be done, or done and not yet deleted.
async fn left(pool: &PgPool) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM graphile_worker._private_jobs";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// Speed that loses or repeats a job counts for nothing.
async fn check(pool: &PgPool, said: &str, task: Task, rows: u64) -> anyhow::Result<()> {
    let counted = "SELECT coalesce(sum(orders), 0)::bigint FROM bench_state";
    let counted: i64 = sqlx::query_scalar(counted).fetch_one(pool).await?;
    let ran: [u64; 2] = peers::ran(said);
    let left = left(pool).await?;
    let jobs = task.jobs(rows);
    ensure!(
        ran == jobs && left == 0 && u64::try_from(counted)? == task.counts(rows),
        "graphile-worker ran {ran:?} of {jobs:?} jobs, counted {counted}, left {left}: {said}"
    );
    Ok(())
}

/// Adds the job of one event on the producer's own transaction.
pub(crate) async fn add(tx: &mut PgConnection, event: &NewEvent) -> anyhow::Result<()> {
    sqlx::query("SELECT graphile_worker.add_job('placed', $1::json)")
        .bind(event.0.encode())
        .execute(tx)
        .await?;
    Ok(())
}

/// A worker that does the effect, for events that come one by one.
pub(crate) struct Effects<'a> {
    pub(crate) world: World<'a>,
    pub(crate) pool: PgPool,
    worker: Peer,
}

impl<'a> Effects<'a> {
    pub(crate) async fn start(lab: &'a Lab, modules: &Path) -> anyhow::Result<Self> {
        let broker = &lab.servers().await?.broker;
        let world = World::new(lab, Ground::Servers(broker), BEST).await?;
        let pool = make_tables(lab, modules, &world).await?;
        let worker = start(lab, modules, &world, Task::Effect).await?;
        Ok(Self {
            world,
            pool,
            worker,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.worker.pid()
    }

    /// Waits until so many events are done, and no job is left.
    pub(crate) async fn drained(&mut self, events: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let ran: [u64; 2] = self.worker.ran()?;
            if ran >= Task::Effect.jobs(events) && left(&self.pool).await? == 0 {
                return Ok(());
            }
            self.worker.alive()?;
            ensure!(begun.elapsed() < PATIENCE, "{ran:?} of {events}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// When the effect of each of the events was committed: its customer has had none since.
    pub(crate) async fn committed(&self) -> anyhow::Result<HashMap<Uuid, DateTime<Utc>>> {
        let sql = "SELECT last, pg_xact_commit_timestamp(xmin) FROM bench_state";
        let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    /// Ends it, once so many events are done in all.
    pub(crate) async fn end(self, events: u64) -> anyhow::Result<()> {
        let said = self.worker.stop().await.context("end graphile-worker")?;
        check(&self.pool, &said, Task::Effect, events).await?;
        self.pool.close().await;
        self.world.tidy().await
    }
}

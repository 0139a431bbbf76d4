//! From the producer's commit to the commit of the effect, at a steady rate, with
//! a transaction for each event. Both ends are commits as the database keeps them,
//! and between them stands the time at which the stream had the message.

mod peers;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use sqlx::PgPool;
use uuid::Uuid;

use crate::cpu;
use crate::events::{ENVELOPE_BYTES, now, order};
use crate::host::{Ground, Tuning, World};
use crate::lab::{Lab, PATIENCE, Size};
use crate::peers::graphile;
use crate::report::{Report, percentile};
use crate::sections::{Section, progress};

const HERE: Section = Section::Latency;

/// Events each second.
const RATES: [u64; 2] = [200, 1_000];

/// Events before those that are measured. A host that has just started records each
/// call before it begins, as its predecessor may have died of it: for as many events as
/// may be in flight, 2,784 at the defaults.
const WARM: u64 = 3_000;

/// The same for a host that has just started: connections, plans, caches.
const WARM_JUST_STARTED: u64 = 100;

/// Producers: connections that commit side by side.
const PRODUCERS: u64 = 8;

const fn seconds(size: Size) -> u64 {
    match size {
        Size::Smoke => 1,
        Size::Quick => 4,
        Size::Full => 10,
    }
}

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..lab.runs {
        for rate in RATES {
            let rate = if lab.size == Size::Smoke {
                rate / 10
            } else {
                rate
            };
            ours(lab, report, rate, Age::Settled).await?;
            ours(lab, report, rate, Age::JustStarted).await?;
        }
        peers::graphile(lab, report).await?;
    }
    peers::predecessor(lab, report).await
}

/// How long the host has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Settled,
    JustStarted,
}

async fn ours(lab: &Lab, report: &mut Report, rate: u64, age: Age) -> anyhow::Result<()> {
    let warm = match (age, lab.size) {
        (Age::Settled, Size::Quick | Size::Full) => WARM,
        (Age::JustStarted, _) | (_, Size::Smoke) => rate.min(WARM_JUST_STARTED),
    };
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), Tuning::default()).await?;
    world.put("bench-effect", &lab.component("bench-effect")?)?;
    let host = world.run("relay,consumer").await?;
    progress::the_consumer(&world).await?;
    let pool = world.pool().await?;
    produce(&pool, Outbox::Ours, rate.max(warm), warm).await?;
    drained(&pool, warm).await?;
    let before = cpu::of_tree(host.pid());
    let committed = produce(&pool, Outbox::Ours, rate, rate * seconds(lab.size)).await?;
    let count = committed.len() as u64;
    drained(&pool, count + warm).await?;
    let host_us = (cpu::of_tree(host.pid()) - before) * 1e6 / count as f64;
    let settled = settled(&pool).await?;
    let stored = stored(&world, (count + warm) * 2).await?;
    let mut spans = Spans::default();
    for (id, commit) in &committed {
        let (begun, ended) = settled.get(id).context("an event was not handled")?;
        let stored = stored.get(id).context("an event was not published")?;
        spans.total.push(ms(*commit, *ended));
        spans.relay.push(ms(*commit, *stored));
        spans.handle.push(ms(*stored, *begun));
        spans.commit.push(ms(*begun, *ended));
    }
    match age {
        Age::Settled => spans.report(report, rate, host_us),
        Age::JustStarted => spans.report_start(report, rate),
    }
    pool.close().await;
    drop(host);
    world.tidy().await
}

/// Milliseconds of each event.
#[derive(Default)]
struct Spans {
    total: Vec<f64>,
    relay: Vec<f64>,
    handle: Vec<f64>,
    commit: Vec<f64>,
}

impl Spans {
    fn report_start(&self, report: &mut Report, rate: u64) {
        for percent in [50, 99] {
            let value = percentile(&self.total, percent).unwrap_or(f64::NAN);
            let name = format!("the first {rate}/s after a start, p{percent}");
            report.add(HERE, &name, "ms", value);
        }
    }

    fn report(&self, report: &mut Report, rate: u64, host_us: f64) {
        for percent in [50, 99] {
            let mut add = |name: &str, values: &[f64]| {
                let value = percentile(values, percent).unwrap_or(f64::NAN);
                report.add(HERE, &format!("{name}, {rate}/s, p{percent}"), "ms", value);
            };
            add("commit to effect", &self.total);
            add("stage: commit → in the stream", &self.relay);
            add(
                "stage: in the stream → called, settling begins",
                &self.handle,
            );
            add("stage: settling begins → committed", &self.commit);
        }
        let name = format!("host's processor time at {rate}/s");
        report.add(HERE, &name, "µs/event", host_us);
    }
}

fn ms(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3
}

/// Where a producer leaves its event, on its own transaction.
#[derive(Debug, Clone, Copy)]
enum Outbox {
    /// In our outbox; the predecessor's is like it.
    Ours,
    /// In the queue of graphile-worker.
    Graphile,
}

/// Commits `count` events at a rate, each in a transaction of its own, whether or
/// not the earlier ones are done; returns when each was committed.
async fn produce(
    pool: &PgPool,
    outbox: Outbox,
    rate: u64,
    count: u64,
) -> anyhow::Result<Vec<(Uuid, DateTime<Utc>)>> {
    let begun = tokio::time::Instant::now();
    let lane = |lane: u64| async move {
        let mut conn = pool.acquire().await?;
        let mut committed = Vec::new();
        let mut number = lane;
        while number < count {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            tokio::time::sleep_until(begun + due).await;
            let event = order(number, ENVELOPE_BYTES)?;
            let mut tx = sqlx::Connection::begin(&mut *conn).await?;
            match outbox {
                Outbox::Ours => {
                    qx_store::producer::record(&mut *tx, &event).await?;
                }
                Outbox::Graphile => graphile::add(&mut tx, &event).await?,
            }
            tx.commit().await?;
            committed.push((event.0.event_id, now()));
            number += PRODUCERS;
        }
        anyhow::Ok(committed)
    };
    let lanes = futures::future::try_join_all((0..PRODUCERS).map(lane)).await?;
    Ok(lanes.into_iter().flatten().collect())
}

async fn drained(pool: &PgPool, marks: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM qx_inbox")
            .fetch_one(pool)
            .await?;
        if seen >= i64::try_from(marks)? && progress::pending(pool).await? == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{seen} of {marks}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

type Settling = (DateTime<Utc>, DateTime<Utc>);

/// When the settling of each event began, and when it was committed.
async fn settled(pool: &PgPool) -> anyhow::Result<HashMap<Uuid, Settling>> {
    let sql = "SELECT event_id, handled_at, pg_xact_commit_timestamp(xmin) FROM qx_inbox";
    let rows: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)> =
        sqlx::query_as(sql).fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|(id, begun, ended)| (id, (begun, ended)))
        .collect())
}

/// When the stream had each message, by the broker's clock.
async fn stored(world: &World<'_>, count: u64) -> anyhow::Result<HashMap<Uuid, DateTime<Utc>>> {
    let context = world.jetstream().await?;
    let stream = context.get_stream(&world.stream).await?;
    let count = stream.cached_info().state.messages.min(count);
    let config = async_nats::jetstream::consumer::pull::Config {
        ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut found = HashMap::new();
    let mut messages = consumer.messages().await?.take(usize::try_from(count)?);
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info().map_err(|error| anyhow::anyhow!(error))?;
        let nanos = i64::try_from(info.published.unix_timestamp_nanos())?;
        let id = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Msg-Id"));
        if let Some(id) = id.and_then(|id| Uuid::parse_str(id.as_str()).ok()) {
            found.insert(id, DateTime::from_timestamp_nanos(nanos));
        }
    }
    Ok(found)
}

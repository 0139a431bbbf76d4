//! What the broker and the database can do at most: the same messages and rows,
//! with nothing around them.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self};
use futures::StreamExt as _;
use qx_events::NewEvent;
use serde::Deserialize;
use uuid::Uuid;

use crate::host::World;

/// Messages on their way at once; more do not make it faster.
const WINDOW: usize = 1_000;

/// Messages of one pull.
const PULL: usize = 500;

/// Rows of one bare pass, and marks of one bare commit.
const ROWS: i64 = 1_000;

/// Makes the stream as the host makes it.
pub(crate) async fn make_stream(world: &World<'_>) -> anyhow::Result<()> {
    let config = Config {
        name: world.stream.clone(),
        subjects: vec![format!("{}.>", world.prefix)],
        storage: StorageType::File,
        duplicate_window: std::time::Duration::from_mins(2),
        allow_direct: true,
        ..Config::default()
    };
    world
        .jetstream()
        .await?
        .get_or_create_stream(config)
        .await?;
    Ok(())
}

/// Publishes with message ids and headers as the host does, pipelined; returns
/// the seconds it took.
pub(crate) async fn publish(world: &World<'_>, events: &[NewEvent]) -> anyhow::Result<f64> {
    let context = world.jetstream().await?;
    let subject = format!("{}.{}", world.prefix, crate::events::NAME);
    let messages: Vec<_> = events.iter().map(|event| message(&event.0)).collect();
    let begun = Instant::now();
    let mut window = VecDeque::with_capacity(WINDOW);
    for message in messages {
        if window.len() == WINDOW {
            settle(window.pop_front()).await?;
        }
        window.push_back(context.send_publish(subject.clone(), message).await?);
    }
    while !window.is_empty() {
        settle(window.pop_front()).await?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn settle(oldest: Option<jetstream::context::PublishAckFuture>) -> anyhow::Result<()> {
    oldest
        .context("a window that is full has an oldest")?
        .await?;
    Ok(())
}

fn message(envelope: &qx_events::Envelope) -> PublishMessage {
    let mut headers = HeaderMap::new();
    let id = envelope.event_id.to_string();
    headers.insert("qx.event_name", envelope.event_name.as_str());
    headers.insert("qx.event_version", "1");
    headers.insert("qx.event_id", id.as_str());
    PublishMessage::build()
        .headers(headers)
        .payload(envelope.encode().into())
        .message_id(id)
}

/// What of an envelope a native worker reads.
#[derive(Deserialize)]
struct Read {
    event_id: Uuid,
    payload: Order,
}

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "order")]
    number: u64,
    customer: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    article: String,
    cents: u64,
}

/// How a message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Sent, and not waited for.
    Sent,
    /// Each waited for, many at a time.
    Confirmed,
}

/// Takes this many messages with a durable pull consumer, parses each as far as
/// the bench's handler does, and acknowledges it; returns the seconds.
pub(crate) async fn pull(world: &World<'_>, count: u64, acks: Acks) -> anyhow::Result<f64> {
    let context = world.jetstream().await?;
    let name = format!("raw-{acks:?}-{}", Uuid::new_v4().simple());
    let config = pull::Config {
        durable_name: Some(name),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    };
    let consumer = context
        .create_consumer_on_stream(config, &world.stream)
        .await?;
    let begun = Instant::now();
    let mut seen = 0;
    let mut sum = 0;
    while seen < count {
        let mut batch = consumer.fetch().max_messages(PULL).messages().await?;
        let mut confirming = Vec::new();
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| anyhow::anyhow!(error))?;
            let read: Read = serde_json::from_slice(&message.payload)?;
            let lines = read.payload.lines.iter();
            sum += lines
                .map(|line| line.cents + line.article.len() as u64)
                .sum::<u64>();
            sum += read.payload.number + read.payload.customer.len() as u64;
            sum += read.event_id.as_u64_pair().0 & 1;
            seen += 1;
            match acks {
                Acks::Sent => message
                    .ack()
                    .await
                    .map_err(|error| anyhow::anyhow!(error))?,
                Acks::Confirmed => confirming.push(async move { message.double_ack().await }),
            }
        }
        for confirmed in futures::future::join_all(confirming).await {
            confirmed.map_err(|error| anyhow::anyhow!(error))?;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    ensure!(sum > 0, "nothing was read");
    Ok(took)
}

/// Reads pending rows and marks them published, with the two statements that are
/// needed at least; returns the seconds for this many.
pub(crate) async fn read_and_mark(pool: &sqlx::PgPool, count: u64) -> anyhow::Result<f64> {
    let read = "SELECT seq, id, event_name, event_version, payload::text FROM qx_outbox_events
                WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
                ORDER BY seq LIMIT $1";
    let mark = "UPDATE qx_outbox_events SET published_at = now()
                WHERE seq = ANY($1) AND published_at IS NULL AND failed_at IS NULL AND due_at IS NULL";
    let begun = Instant::now();
    let mut seen = 0;
    while seen < count {
        let rows: Vec<(i64, Uuid, String, i32, String)> =
            sqlx::query_as(read).bind(ROWS).fetch_all(pool).await?;
        ensure!(!rows.is_empty(), "rows are missing");
        seen += rows.len() as u64;
        let seqs: Vec<i64> = rows.iter().map(|row| row.0).collect();
        sqlx::query(mark).bind(&seqs).execute(pool).await?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Sets marks in the inbox, a commit for each thousand; returns the seconds.
pub(crate) async fn ledger_insert(pool: &sqlx::PgPool, events: &[NewEvent]) -> anyhow::Result<f64> {
    let mark = "INSERT INTO qx_inbox (component, event_id, digest)
                SELECT 'bare', event_id, $2 FROM unnest($1::uuid[]) AS t (event_id) ON CONFLICT DO NOTHING";
    let digest = [0_u8; 32];
    let begun = Instant::now();
    for group in events.chunks(usize::try_from(ROWS)?) {
        let ids: Vec<Uuid> = group.iter().map(|event| event.0.event_id).collect();
        sqlx::query(mark)
            .bind(&ids)
            .bind(&digest[..])
            .execute(pool)
            .await?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Records the events in one transaction, so that all of them are there at once.
pub(crate) async fn record(pool: &sqlx::PgPool, events: &[NewEvent]) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    for group in events.chunks(2_000) {
        qx_store::producer::record_all(&mut *tx, group).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// How many rows each of these counts gives: a name and a query for one number.
pub(crate) async fn counts(
    pool: &sqlx::PgPool,
    queries: &[(&'static str, &'static str)],
) -> anyhow::Result<HashMap<&'static str, i64>> {
    let mut found = HashMap::new();
    for (name, sql) in queries {
        let count: i64 = sqlx::query_scalar(*sql).fetch_one(pool).await?;
        found.insert(*name, count);
    }
    Ok(found)
}

//! How far something has come, seen from outside: the stream's end, a durable
//! consumer's acknowledgements, the rows that wait.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream::{self, stream};
use futures::TryStreamExt as _;

use crate::cpu::Cpu;
use crate::host::{Host, World};
use crate::lab::PATIENCE;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Speed, and the processor time that each event took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) rate: f64,
    pub(crate) cpu: Cpu,
}

/// A clock over a span of progress: from the first sign of it to the end.
pub(crate) struct Clock<'a> {
    world: &'a World<'a>,
    pid: Option<u32>,
    begun: Instant,
    first: Option<(Instant, u64, Cpu)>,
    /// What the bench had used itself by then: no part of a peer's time.
    total: u64,
}

impl<'a> Clock<'a> {
    /// Over `total` events, with the process whose time counts.
    pub(crate) fn new(world: &'a World<'a>, pid: Option<u32>, total: u64) -> Self {
        Self {
            world,
            pid,
            begun: Instant::now(),
            first: None,
            total,
        }
    }

    /// Notes how many are done.
    pub(crate) fn saw(&mut self, done: u64) -> anyhow::Result<()> {
        if self.first.is_none() && done > 0 {
            self.first = Some((Instant::now(), done, self.world.cpu(self.pid)));
        }
        let (begun, total) = (self.begun, self.total);
        ensure!(
            begun.elapsed() < PATIENCE,
            "{done} of {total} after {PATIENCE:?}"
        );
        Ok(())
    }

    /// All are done, now.
    pub(crate) fn end(self) -> anyhow::Result<Speed> {
        let now = Instant::now();
        let (at, before, cpu) = self.first.context("no progress was seen")?;
        // All at once: count from the beginning.
        let (at, before) = if before >= self.total {
            (self.begun, 0)
        } else {
            (at, before)
        };
        let events = self.total - before;
        Ok(Speed {
            rate: events as f64 / (now - at).as_secs_f64(),
            cpu: self.world.cpu(self.pid).since(cpu).per(events),
        })
    }
}

/// The end of the stream.
pub(crate) async fn stream_end(context: &jetstream::Context, stream: &str) -> anyhow::Result<u64> {
    let stream = context.get_stream(stream).await?;
    Ok(stream.cached_info().state.last_sequence)
}

/// Waits until the host's relay has published and marked so many rows.
pub(crate) async fn relayed(
    world: &World<'_>,
    host: &mut Host,
    total: u64,
) -> anyhow::Result<Speed> {
    let context = world.jetstream().await?;
    let pool = world.pool().await?;
    let mut clock = Clock::new(world, Some(host.pid()), total);
    loop {
        let end = stream_end(&context, &world.stream).await.unwrap_or(0);
        clock.saw(end)?;
        if end >= total && pending(&pool).await? == 0 {
            pool.close().await;
            return clock.end();
        }
        host.alive()?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Rows that wait. In the words of their index: else each look reads all that are kept.
pub(crate) async fn pending(pool: &sqlx::PgPool) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM qx_outbox_events
               WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// The one durable consumer of the stream, once it is there.
pub(crate) async fn the_consumer(world: &World<'_>) -> anyhow::Result<Watched> {
    let context = world.jetstream().await?;
    let begun = Instant::now();
    loop {
        if let Ok(stream) = context.get_stream(&world.stream).await {
            let names: Vec<String> = stream.consumer_names().try_collect().await?;
            if let Some(name) = names.into_iter().next() {
                return Ok(Watched { stream, name });
            }
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "nobody consumes {}",
            world.stream
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// A durable consumer that is looked at.
pub(crate) struct Watched {
    stream: stream::Stream,
    name: String,
}

impl Watched {
    /// Messages whose end it has been told, redelivered ones each time.
    pub(crate) async fn settled(&self) -> anyhow::Result<u64> {
        let info = self.stream.consumer_info(&self.name).await?;
        let open = info.num_ack_pending as u64;
        Ok(info.delivered.consumer_sequence.saturating_sub(open))
    }

    /// Messages that it has neither given out nor seen settled.
    pub(crate) async fn left(&self) -> anyhow::Result<u64> {
        let info = self.stream.consumer_info(&self.name).await?;
        Ok(info.num_pending + info.num_ack_pending as u64)
    }
}

/// Waits until the stream's one consumer has settled so many messages, of which the
/// first are the warm-up and do not count.
pub(crate) async fn consumed(
    world: &World<'_>,
    pid: u32,
    warm: u64,
    total: u64,
) -> anyhow::Result<Speed> {
    let consumer = the_consumer(world).await?;
    let mut clock = Clock::new(world, Some(pid), total - warm);
    loop {
        let settled = consumer.settled().await?.min(total);
        clock.saw(settled.saturating_sub(warm))?;
        if settled >= total && consumer.left().await? == 0 {
            return clock.end();
        }
        tokio::time::sleep(LOOK).await;
    }
}

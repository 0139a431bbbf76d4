//! Sends messages to the stream, in order, each with an answer: pipelined, or in
//! atomic batches where that is faster or asked for. Pipelined messages have one answer
//! for many where server and stream know that (`ingest`), else each its own (`chain`).
//!
//! Never: stores a message before one that was given earlier, unless that one was
//! refused for good. Whatever is wrong with the broker makes `Unknown`; only what is
//! wrong with the message itself is `Refused`.

mod batch;
pub(crate) mod chain;
pub(crate) mod gait;
mod headers;
pub(crate) mod ingest;
mod judge;
pub(crate) mod tail;

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Published, Publisher, StoredAt, StreamState};
use qx_events::wire::{Outgoing, subject};
use tokio::time::Instant;

use crate::broker::{Broker, Inner};
use crate::config::Beside;
use crate::outbound::Line;
use chain::Chained;
use gait::{Batches, Gait, Way};
use judge::describe;

/// Times that a part is tried as a batch, when messages of it are stored already:
/// what a crash leaves behind lies together, so the second time is the last.
const BATCH_TRIES_MAX: u32 = 3;

#[async_trait]
impl Publisher for Broker {
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published> {
        if messages.is_empty() {
            return Vec::new();
        }
        match ready(&self.inner).await {
            Ok(line) => send(&self.inner, line, messages).await,
            Err(why) => vec![Published::Unknown(why); messages.len()],
        }
    }

    async fn state(&self) -> Result<StreamState, Fault> {
        let doing = "ask how far the stream goes";
        let info = self.inner.stream_state().await;
        let info = info.map_err(|error| error.into_fault(doing))?;
        let created = i64::try_from(info.created.unix_timestamp_nanos()).ok();
        Ok(StreamState {
            name: info.config.name,
            // Later than the year 2262 nobody makes one.
            created_ns: created.ok_or_else(|| Fault::refusal("read when the stream was made"))?,
            last_seq: info.state.last_sequence,
        })
    }

    fn connection(&self) -> u64 {
        self.inner.link.losses() + self.inner.outbound.changes()
    }
}

/// A line that stands, to a stream that is there.
async fn ready(inner: &Inner) -> Result<Line, String> {
    let line = inner
        .outbound
        .line()
        .await
        .map_err(|error| describe(&error))?;
    if inner.stream_doubtful.load(Ordering::Acquire) {
        let stream = &inner.config.stream;
        tracing::warn!(stream, "nobody took a message; looking for the stream");
        inner
            .ensure_stream()
            .await
            .map_err(|error| describe(&error))?;
    }
    Ok(line)
}

/// The way that is the better one, with the other where it does not work.
async fn send(inner: &Inner, line: Line, messages: &[Outgoing]) -> Vec<Published> {
    let batches = match (
        inner.batches.load(Ordering::Acquire),
        inner.many_copies.load(Ordering::Acquire) || inner.config.beside == Beside::Relays,
    ) {
        (false, _) => Batches::None,
        (true, false) => Batches::Taken,
        (true, true) => Batches::Needed,
    };
    let way = with_gait(inner, |gait| gait.next(messages.len(), batches));
    let begun = Instant::now();
    let mut chained = Chained::new(inner, line);
    let (answers, as_chosen) = match way {
        Way::Pipelined if inner.config.beside == Beside::Relays => {
            (chained.send_all(messages).await, true)
        }
        Way::Pipelined if ingest::is_tried(inner, messages.len()) => {
            ingest::send(inner, &mut chained, messages).await
        }
        Way::Pipelined => (chained.send(messages).await, true),
        Way::Batch => in_batches(inner, &mut chained, messages).await,
    };
    let stored = |answer: &Published| matches!(answer, Published::Stored(at) if !at.duplicate);
    let is_clean = answers.iter().all(stored);
    inner.with_ingest(|odds| odds.went(is_clean));
    if as_chosen && is_clean {
        with_gait(inner, |gait| {
            gait.took(way, messages.len(), begun.elapsed());
        });
    }
    answers
}

/// Batch by batch. `false`: some went another way.
async fn in_batches(
    inner: &Inner,
    chained: &mut Chained<'_>,
    messages: &[Outgoing],
) -> (Vec<Published>, bool) {
    let mut answers = Vec::with_capacity(messages.len());
    let mut as_chosen = true;
    for part in messages.chunks(batch::MESSAGES_MAX) {
        let mut rest = part;
        let mut tries = BATCH_TRIES_MAX;
        while !rest.is_empty() {
            tries -= 1;
            let some = match batch::send(inner, chained, rest).await {
                batch::Sent::Answered(all) => all,
                batch::Sent::Duplicate if tries > 0 => chained.send_duplicates(rest).await,
                batch::Sent::Duplicate | batch::Sent::Refused => chained.send_all(rest).await,
            };
            as_chosen &= some.len() == part.len();
            rest = rest.get(some.len()..).unwrap_or_default();
            answers.extend(some);
        }
    }
    (answers, as_chosen)
}

fn with_gait<T>(inner: &Inner, work: impl FnOnce(&mut Gait) -> T) -> T {
    work(&mut inner.gait.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Where messages lie that lie side by side, from the place of the last.
fn side_by_side(stream: &str, last: u64, count: usize) -> Vec<Published> {
    let behind = (0..count as u64).rev();
    let places = behind.map(|behind| StoredAt {
        stream: stream.to_owned(),
        sequence: last.saturating_sub(behind),
        duplicate: false,
    });
    places.map(Published::Stored).collect()
}

/// The subject of a message, and everything but what its place among the others
/// adds. `Err`: why it can never be sent.
fn outgoing(inner: &Inner, message: &Outgoing) -> Result<(String, PublishMessage), String> {
    let config = &inner.config;
    let publish = PublishMessage::build()
        .headers(headers::header_map(&message.headers)?)
        .payload(message.body.clone())
        .message_id(message.message_id.to_string());
    let subject = subject(&config.subject_prefix, message.event_name.as_str());
    Ok((subject, publish))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_were_stored_together_lie_side_by_side() {
        let places = side_by_side("QX", 12, 3);
        let sequences: Vec<u64> = places
            .iter()
            .map(|place| match place {
                Published::Stored(at) => at.sequence,
                Published::Refused(_) | Published::Unknown(_) => 0,
            })
            .collect();
        assert_eq!(sequences, [10, 11, 12]);
    }
}

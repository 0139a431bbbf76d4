//! The atomic way: all messages of a batch are stored together, in order and with
//! one write to the disk, or none of them is.
//!
//! Three headers make it (ADR-50 of NATS, server 2.12): the batch's id, a number
//! for each message, and a commit on the last, which alone is answered. A batch
//! that the server refuses is not stored at all, and goes message by message. One
//! that has messages which are stored already is what a crash leaves behind: those
//! are sent one by one, and the rest of them as a batch again.

use async_nats::jetstream::context::PublishError;
use qx_events::ports::Published;
use qx_events::wire::Outgoing;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::chain::{Chained, with_tail};
use super::judge::{Consequence, consequence, describe};
use super::tail::Tail;
use super::{outgoing, side_by_side};
use crate::broker::Inner;
use crate::config::Beside;
use crate::outbound::Line;

/// The most that the server takes as one batch.
pub(super) const MESSAGES_MAX: usize = 1_000;

/// Header: which batch.
const BATCH_ID: &str = "Nats-Batch-Id";
/// Header: the message's number in it, from 1.
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
/// Header: this is the last.
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// What became of a batch.
pub(super) enum Sent {
    /// An answer for each message.
    Answered(Vec<Published>),
    /// Nothing is stored, because some of it was already.
    Duplicate,
    /// Nothing is stored: it cannot go as one.
    Refused,
}

/// Why a batch is not stored.
enum Failed {
    /// The stream has one of its messages.
    Duplicate,
    /// The stream does not end where it should. Nothing of it is stored.
    OutOfLine(Option<u64>),
    /// Nothing of it is stored.
    Refused(String),
    /// All of it may be, or nothing.
    Unknown(String),
    /// Nobody took it.
    StreamGone,
}

/// Sends them as one batch, of at most [`MESSAGES_MAX`].
pub(super) async fn send(inner: &Inner, chained: &mut Chained<'_>, messages: &[Outgoing]) -> Sent {
    let all = |published: Published| Sent::Answered(vec![published; messages.len()]);
    if let Some(why) = chained.stopped() {
        return all(Published::Unknown(why));
    }
    let mut expected = match inner.config.beside {
        Beside::Nobody => with_tail(inner, |tail| tail.at()),
        Beside::Relays => None,
    };
    loop {
        return match within(inner, &chained.line, messages, expected).await {
            Ok((last, answers)) => {
                with_tail(inner, |tail| tail.stored(last));
                Sent::Answered(answers)
            }
            Err(Failed::OutOfLine(ends_at)) => {
                if let (Some(begins), Some(ends)) = (expected, ends_at)
                    && ends < begins
                {
                    with_tail(inner, Tail::doubt);
                    let why = "the stream ends before messages that it had stored";
                    return all(chained.stop(why));
                }
                if expected.take().is_some() {
                    continue; // Another program writes to the stream: a batch does not mind.
                }
                Sent::Refused
            }
            Err(Failed::Duplicate) => Sent::Duplicate,
            Err(Failed::Refused(why)) => {
                tracing::debug!(
                    why,
                    messages = messages.len(),
                    "a batch goes out one by one"
                );
                Sent::Refused
            }
            Err(Failed::Unknown(why)) => all(chained.stop(&why)),
            Err(Failed::StreamGone) => all(chained.gone()),
        };
    }
}

/// One attempt, as long as the line stands and patience lasts.
async fn within(
    inner: &Inner,
    line: &Line,
    messages: &[Outgoing],
    expected: Option<u64>,
) -> Result<(u64, Vec<Published>), Failed> {
    let unknown = |why: &str| Err(Failed::Unknown(why.to_owned()));
    let until = Instant::now() + inner.outbound.answer_timeout();
    tokio::select! {
        biased; // An answer that is here counts, whatever became of the line.
        sent = timeout_at(until, attempt(inner, line, messages, expected)) => {
            sent.unwrap_or_else(|_| unknown("the NATS server did not answer in time"))
        }
        () = line.clone().into_broken() => unknown("the connection to NATS was lost before the answer"),
    }
}

async fn attempt(
    inner: &Inner,
    line: &Line,
    messages: &[Outgoing],
    expected: Option<u64>,
) -> Result<(u64, Vec<Published>), Failed> {
    // All of them first: one that cannot be sent is found before anything is.
    let ready: Result<Vec<_>, String> = messages.iter().map(|it| outgoing(inner, it)).collect();
    let ready = ready.map_err(Failed::Refused)?;
    let id = Uuid::new_v4().simple().to_string();
    let count = ready.len();
    let mut commit = None;
    for (index, (subject, publish)) in ready.into_iter().enumerate() {
        let number = index + 1;
        let publish = match expected.filter(|_| number == 1) {
            Some(at) => publish.expected_last_sequence(at),
            None => publish,
        };
        let publish = publish
            .expected_stream(&inner.config.stream)
            .header(BATCH_ID, id.as_str())
            .header(BATCH_SEQUENCE, number.to_string().as_str());
        if number < count {
            let message = publish.outbound_message(subject);
            let headers = message.headers.unwrap_or_default();
            let sending =
                line.client
                    .publish_with_headers(message.subject, headers, message.payload);
            // What does not leave this process ends the batch: the server forgets it.
            let sent = sending.await;
            sent.map_err(|error| Failed::Refused(describe(&error)))?;
        } else {
            let publish = publish.header(BATCH_COMMIT, "1");
            let sending = line.context.send_publish(subject, publish);
            commit = Some(sending.await.map_err(|error| failed(&error))?);
        }
    }
    let commit = commit.ok_or_else(|| Failed::Refused("an empty batch".to_owned()))?;
    let last = commit.await.map_err(|error| failed(&error))?;
    let sequence = last.sequence;
    Ok((sequence, side_by_side(&last.stream, sequence, count)))
}

fn failed(error: &PublishError) -> Failed {
    match consequence(error) {
        Consequence::Refused(why) | Consequence::Rejected(why) => Failed::Refused(why),
        Consequence::OutOfLine { ends_at } => Failed::OutOfLine(ends_at),
        Consequence::Duplicate => Failed::Duplicate,
        Consequence::Unknown(why) => Failed::Unknown(why),
        Consequence::StreamGone => Failed::StreamGone,
    }
}

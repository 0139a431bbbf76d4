//! Finds or makes a durable consumer, and remembers where it stood, so that one
//! which the server lost is made again from there: neither from the beginning
//! nor from now.

use async_nats::datetime::DateTime;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerErrorKind, Info};
use async_nats::jetstream::{
    self, ErrorCode,
    consumer::{self, DeliverPolicy},
};
use futures::TryStreamExt;
use qx_events::StartFrom;

use crate::anew;
use crate::broker::Inner;
use crate::consumer::{Wanted, conflicts};
use crate::error::BrokerError;
use crate::stream;

/// Times that a consumer may come and go under our hands before we give up.
const RACES_MAX: usize = 3;

/// Where a consumer stood when it was last seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Footing {
    /// When its stream was made: another time means another stream.
    stream_created: DateTime,
    /// Everything up to this stream sequence is settled.
    floor: u64,
}

impl Footing {
    pub(crate) fn of(stream: &Info, consumer: &consumer::Info) -> Self {
        let start = match consumer.config.deliver_policy {
            DeliverPolicy::ByStartSequence { start_sequence } => start_sequence.saturating_sub(1),
            DeliverPolicy::All
            | DeliverPolicy::Last
            | DeliverPolicy::New
            | DeliverPolicy::ByStartTime { .. }
            | DeliverPolicy::LastPerSubject => 0,
        };
        Self {
            stream_created: stream.created,
            floor: consumer.ack_floor.stream_sequence.max(start),
        }
    }

    /// Begins with the first message, if the consumer is gone: the inbox knows what
    /// was handled.
    pub(crate) fn forget_floor(&mut self) {
        self.floor = 0;
    }

    /// Whether both were seen on one stream: positions mean the same messages.
    pub(crate) fn is_on_the_stream_of(&self, other: &Self) -> bool {
        self.stream_created == other.stream_created
    }

    /// The floor only rises while the consumer lives.
    pub(crate) fn raise(&mut self, consumer: &consumer::Info) {
        self.floor = self.floor.max(consumer.ack_floor.stream_sequence);
    }
}

/// Whether everything that the consumer has handed over is settled.
pub(crate) fn is_at_rest(consumer: &consumer::Info) -> bool {
    consumer.num_ack_pending == 0
        && consumer.ack_floor.stream_sequence >= consumer.delivered.stream_sequence
}

/// Takes up the consumer, brings it up to date, or makes it. `known` is where it
/// stood, when it was there before.
pub(crate) async fn take_up(
    inner: &Inner,
    wanted: &Wanted,
    start: StartFrom,
    known: Option<Footing>,
) -> Result<Footing, BrokerError> {
    for _ in 0..RACES_MAX {
        let stream = inner.ensure_stream().await?;
        if let Some(found) = find(inner, &wanted.name).await? {
            ahead_of_its_stream(inner, &found).await?;
            let found = bring_up_to_date(inner, wanted, found).await?;
            return Ok(Footing::of(&stream, &found));
        }
        let policy = match anew::kept(inner, &wanted.name).await? {
            Some(kept) if known.is_none() => kept,
            Some(_) | None => begin(start, known, stream.created, stream.state.last_sequence),
        };
        if known.is_some() {
            tracing::warn!(
                consumer = wanted.name,
                stream = inner.config.stream,
                from = ?policy,
                "the durable consumer is gone; making it again"
            );
        }
        let Some(made) = make(inner, wanted, policy).await? else {
            continue;
        };
        let now = inner.ensure_stream().await?;
        if now.created == stream.created || policy == DeliverPolicy::All {
            return Ok(Footing::of(&now, &made));
        }
        // It came onto a stream that was made anew meanwhile, with a place on the one
        // before: it would skip as many messages.
        remove(inner, &wanted.name).await?;
    }
    Err(BrokerError::Unanswered {
        doing: format!("keep the consumer `{}` in place", wanted.name),
        source: "somebody else makes and removes it".into(),
    })
}

/// A power cut can take the end of a stream and leave the consumer behind it. Newer
/// servers notice (2.15.1 does); 2.9.10 skips as many new events, so it is said.
async fn ahead_of_its_stream(inner: &Inner, found: &consumer::Info) -> Result<(), BrokerError> {
    let consumer = found.delivered.stream_sequence;
    // Looked at after the consumer: it can only be too new.
    let last = inner.ensure_stream().await?.state.last_sequence;
    if consumer > last {
        tracing::error!(
            consumer = found.name,
            at = consumer,
            stream_ends_at = last,
            "the stream lost its end and the durable consumer did not notice: the next events are not delivered to it; update the server, or remove the consumer (`nats consumer rm`)"
        );
    }
    Ok(())
}

/// Where a consumer that is not there begins, on a stream that was made then and
/// has so many messages.
pub(crate) fn begin(
    start: StartFrom,
    known: Option<Footing>,
    stream_created: DateTime,
    stream_last: u64,
) -> DeliverPolicy {
    let after = |sequence: u64| DeliverPolicy::ByStartSequence {
        start_sequence: sequence.saturating_add(1),
    };
    match (known, start) {
        // A stream that was made anew, or that fell back: its numbers mean other
        // messages now. The inbox knows which of them were handled.
        (Some(known), _) if known.stream_created != stream_created || known.floor > stream_last => {
            DeliverPolicy::All
        }
        (Some(Footing { floor: 0, .. }), _) | (None, StartFrom::Beginning) => DeliverPolicy::All,
        (Some(known), _) => after(known.floor),
        // Not `New`: a number can be found again when the consumer is lost.
        (None, StartFrom::Now) => after(stream_last),
    }
}

/// The consumer, when it is there.
pub(crate) async fn find(inner: &Inner, name: &str) -> Result<Option<consumer::Info>, BrokerError> {
    let doing = || format!("show the consumer `{name}`");
    let stream = inner.context.get_stream_no_info(&inner.config.stream).await;
    let stream = stream.map_err(|error| BrokerError::Unanswered {
        doing: doing(),
        source: Box::new(error),
    })?;
    match stream.consumer_info(name).await {
        Ok(info) => Ok(Some(info)),
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => Ok(None),
            ConsumerInfoErrorKind::JetStream(cause) => Err(stream::answered(doing(), &cause)),
            ConsumerInfoErrorKind::InvalidName
            | ConsumerInfoErrorKind::Offline
            | ConsumerInfoErrorKind::Request
            | ConsumerInfoErrorKind::TimedOut
            | ConsumerInfoErrorKind::NoResponders => Err(BrokerError::Unanswered {
                doing: doing(),
                source: Box::new(error),
            }),
        },
    }
}

/// Every durable consumer of the stream, whoever has made it.
pub(crate) async fn list(inner: &Inner) -> Result<Vec<consumer::Info>, BrokerError> {
    let unanswered = |source: Box<dyn std::error::Error + Send + Sync>| BrokerError::Unanswered {
        doing: "list the consumers".to_owned(),
        source,
    };
    let name = &inner.config.stream;
    let stream = inner.context.get_stream_no_info(name).await;
    let stream = stream.map_err(|error| unanswered(Box::new(error)))?;
    let listed = stream.consumers().try_collect().await;
    listed.map_err(|error| unanswered(Box::new(error)))
}

/// Refuses what cannot be changed, changes what can.
async fn bring_up_to_date(
    inner: &Inner,
    wanted: &Wanted,
    found: consumer::Info,
) -> Result<consumer::Info, BrokerError> {
    let mismatches = conflicts(&inner.config.stream, &wanted.name, &found.config);
    if !mismatches.is_empty() {
        return Err(BrokerError::ConsumerMismatch {
            stream: inner.config.stream.clone(),
            consumer: wanted.name.clone(),
            mismatches,
        });
    }
    let Some(update) = wanted.update_of(&found.config) else {
        return Ok(found);
    };
    tracing::info!(
        consumer = wanted.name,
        filters = ?wanted.filters,
        ack_wait = ?update.ack_wait,
        max_ack_pending = update.max_ack_pending,
        "bringing the durable consumer up to date; its progress is kept"
    );
    let updated = apply(inner, update).await;
    updated.map_err(|cause| cause.explain(format!("update the consumer `{}`", wanted.name)))
}

/// `None` when somebody else was faster.
async fn make(
    inner: &Inner,
    wanted: &Wanted,
    policy: DeliverPolicy,
) -> Result<Option<consumer::Info>, BrokerError> {
    match apply(inner, wanted.fresh(policy)).await {
        Ok(made) => {
            tracing::info!(consumer = wanted.name, filters = ?wanted.filters, from = ?policy, "made the durable consumer");
            Ok(Some(made))
        }
        Err(denied) => {
            // Another host's was first, and differs from ours by where it begins.
            if find(inner, &wanted.name).await?.is_some() {
                return Ok(None);
            }
            Err(denied.explain(format!("make the consumer `{}`", wanted.name)))
        }
    }
}

/// Takes a consumer away, if it is there.
pub(crate) async fn remove(inner: &Inner, name: &str) -> Result<(), BrokerError> {
    let stream = inner.config.stream.as_str();
    let removed = inner
        .context
        .delete_consumer_from_stream(name, stream)
        .await;
    let Err(error) = removed else {
        return Ok(());
    };
    match error.kind() {
        ConsumerErrorKind::JetStream(cause)
            if cause.error_code() == ErrorCode::CONSUMER_NOT_FOUND =>
        {
            Ok(())
        }
        ConsumerErrorKind::JetStream(_)
        | ConsumerErrorKind::TimedOut
        | ConsumerErrorKind::Request
        | ConsumerErrorKind::InvalidConsumerType
        | ConsumerErrorKind::InvalidName
        | ConsumerErrorKind::Other => Err(BrokerError::Unanswered {
            doing: format!("remove the consumer `{name}`"),
            source: Box::new(error),
        }),
    }
}

/// The server did not take a consumer's configuration.
pub(crate) enum Denied {
    Answered(jetstream::Error),
    Unanswered(Box<dyn std::error::Error + Send + Sync>),
}

impl Denied {
    pub(crate) fn explain(self, doing: String) -> BrokerError {
        match self {
            Self::Answered(cause) => stream::answered(doing, &cause),
            Self::Unanswered(source) => BrokerError::Unanswered { doing, source },
        }
    }
}

pub(crate) async fn apply(
    inner: &Inner,
    config: consumer::Config,
) -> Result<consumer::Info, Denied> {
    let name = inner.config.stream.as_str();
    let applied = inner.context.create_consumer_on_stream(config, name).await;
    match applied {
        Ok(consumer) => Ok(consumer.cached_info().clone()),
        Err(error) => Err(match error.kind() {
            ConsumerErrorKind::JetStream(cause) => Denied::Answered(cause),
            ConsumerErrorKind::TimedOut
            | ConsumerErrorKind::Request
            | ConsumerErrorKind::InvalidConsumerType
            | ConsumerErrorKind::InvalidName
            | ConsumerErrorKind::Other => Denied::Unanswered(Box::new(error)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::datetime::from_nanos;

    #[test]
    fn a_consumer_is_at_rest_once_all_is_settled_that_it_has_handed_over() {
        let info = |delivered: u64, floor: u64, pending: usize| {
            let at =
                |sequence| serde_json::json!({"consumer_seq": sequence, "stream_seq": sequence});
            let info = serde_json::json!({
                "stream_name": "QX", "name": "qx_stars", "created": "2026-03-01T10:00:00Z",
                "config": {"durable_name": "qx_stars", "deliver_policy": "all", "ack_policy": "explicit", "replay_policy": "instant"},
                "delivered": at(delivered), "ack_floor": at(floor), "num_ack_pending": pending,
                "num_redelivered": 0, "num_waiting": 1, "num_pending": 5,
            });
            serde_json::from_value(info).unwrap()
        };
        for (delivered, floor, pending, expected) in [
            (0, 0, 0, true),
            (7, 7, 0, true),
            (7, 6, 1, false),
            (7, 3, 0, false),
            (0, 9, 0, true),
        ] {
            let found = is_at_rest(&info(delivered, floor, pending));
            assert_eq!(found, expected, "{delivered} {floor} {pending}");
        }
    }

    #[test]
    fn a_lost_consumer_begins_where_it_was_unless_the_stream_is_another() {
        let (then, later) = (from_nanos(1).unwrap(), from_nanos(2).unwrap());
        let at = |floor| {
            Some(Footing {
                stream_created: then,
                floor,
            })
        };
        let from = |start_sequence| DeliverPolicy::ByStartSequence { start_sequence };
        let table = [
            (StartFrom::Beginning, None, then, 9, DeliverPolicy::All),
            (StartFrom::Now, None, then, 9, from(10)),
            (StartFrom::Now, None, then, 0, from(1)),
            (StartFrom::Beginning, at(0), then, 9, DeliverPolicy::All),
            (StartFrom::Beginning, at(4), then, 9, from(5)),
            (StartFrom::Now, at(4), then, 9, from(5)),
            (StartFrom::Now, at(9), then, 9, from(10)),
            (StartFrom::Now, at(4), later, 9, DeliverPolicy::All),
            (StartFrom::Now, at(4), then, 3, DeliverPolicy::All),
        ];
        for (start, known, created, last, expected) in table {
            let found = begin(start, known, created, last);
            assert_eq!(found, expected, "{start:?} {known:?} {last}");
        }
    }
}

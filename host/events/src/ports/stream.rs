//! The stream: NATS JetStream, or the embedded one. Same port, same suite.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::fault::Fault;
use crate::name::ComponentName;
use crate::pattern::Pattern;
use crate::settings::StartFrom;
use crate::wire::{Headers, Outgoing};

/// Where the stream put a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAt {
    /// Name of the stream.
    pub stream: String,
    /// Position in it.
    pub sequence: u64,
    /// The stream had a message with this id already.
    pub duplicate: bool,
}

/// Which stream this is, and how far it goes.
///
/// An answer that a message is stored is no proof that it stays: a broker that
/// loses power, or its disk, comes back with less. This is how it is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Its name.
    pub name: String,
    /// When it was made, in nanoseconds since 1970. No two streams of one place have
    /// the same: another time means another stream, whatever it is called.
    pub created_ns: i64,
    /// The highest position that it has given away; 0 when it has given none. Stays
    /// as it is when messages expire or are deleted.
    pub last_seq: u64,
}

impl StreamState {
    /// Whether a message is lost that was put on the stream of this identity, at
    /// this position. Of one whose stream is not known nothing is assumed, and one
    /// that only expired, or was purged, is not lost.
    pub fn lost(&self, created_ns: Option<i64>, sequence: u64) -> bool {
        created_ns.is_some_and(|then| then != self.created_ns || sequence > self.last_seq)
    }
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The stream has stored it.
    Stored(StoredAt),
    /// This message will never be accepted, and why. Others may.
    Refused(String),
    /// No answer, or the stream is not there: it may be stored or not. Send it
    /// again, with the same id.
    Unknown(String),
}

/// The sending side.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Sends all of them, in order. The answer at index i belongs to message i; there
    /// are as many answers as messages.
    ///
    /// None is stored before one that was given earlier, in this call or in one
    /// before, unless that one was refused: what the way or the server loses in the
    /// middle takes everything behind it along.
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published>;

    /// Which stream this is now, and how far it goes. A stream that is gone is made
    /// again first. What was answered before the call counts in `last_seq`.
    async fn state(&self) -> Result<StreamState, Fault>;

    /// Another number means that the way to the stream was lost since, so that it
    /// may have lost messages too. Asks nobody.
    fn connection(&self) -> u64;
}

/// What a component wants from the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Names the durable consumer.
    pub component: ComponentName,
    /// Events it takes. Not empty.
    pub patterns: Vec<Pattern>,
    /// A message that is neither acknowledged nor extended for so long comes again.
    pub ack_wait: Duration,
    /// Most messages that are delivered and not yet settled.
    pub in_flight_max: usize,
    /// Where a durable consumer begins that does not exist yet.
    pub start: StartFrom,
}

/// The receiving side.
#[async_trait]
pub trait Stream: Send + Sync {
    /// Creates the component's durable consumer, or takes up the one that is
    /// there: its progress is kept, its filter is brought up to date, and a
    /// setting that does not fit and cannot be changed is refused by name.
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault>;

    /// The same, for one who works alone and in order. Whatever this durable consumer
    /// has handed over and was not settled comes again at once, and everything comes
    /// in the order of the stream, whoever had it in hand before: that one is handed
    /// nothing more. What was settled may come again too, in its place.
    ///
    /// Only for whom a lease says so: two that do it in turn take everything away
    /// from each other.
    async fn resume(&self, subscription: &Subscription) -> Result<Box<dyn Source>, Fault>;

    /// Messages between the component and the end of the stream; `None` when the
    /// component has no durable consumer.
    async fn lag(&self, component: &ComponentName) -> Result<Option<Lag>, Fault>;

    /// The same of many: those that have a durable consumer. Asked with as few questions
    /// as the stream allows.
    async fn lags(
        &self,
        components: &[ComponentName],
    ) -> Result<BTreeMap<ComponentName, Lag>, Fault> {
        let mut lags = BTreeMap::new();
        for component in components {
            let lag = self.lag(component).await?;
            lags.extend(lag.map(|lag| (component.clone(), lag)));
        }
        Ok(lags)
    }

    /// Whether the stream answers.
    async fn check(&self) -> Result<(), Fault>;
}

/// How far a component is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Messages not delivered yet.
    pub pending: u64,
    /// Messages delivered and not settled yet.
    pub in_flight: u64,
}

/// One durable consumer's messages.
#[async_trait]
pub trait Source: Send {
    /// Up to `max` messages. Returns as soon as there is one, and with none after
    /// `wait`. Never more than `max`: the caller has a permit for each.
    async fn fetch(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Fault>;
}

/// A message that was handed over, and the right to settle it.
pub struct Delivery {
    /// The subject.
    pub subject: String,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// How often it was delivered, this time included. The broker's count: it can
    /// fall back when the broker loses its memory.
    pub delivered: u32,
    /// Position in the stream.
    pub stream_seq: u64,
    /// The number of this handing-over among all of the durable consumer's, from 1
    /// after it was resumed: who is handed 4 after 2 knows that 3 went to somebody
    /// else, or was lost on the way. `None` where neither can be.
    pub handed_over: Option<u64>,
    /// Settles it.
    pub receipt: Box<dyn Receipt>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} #{} (delivery {})",
            self.subject, self.stream_seq, self.delivered
        )
    }
}

/// Settles one delivery. None of these is a proof: an acknowledgement can be
/// lost, and a stale one is accepted. But none is taken for another message: where
/// a stream may have lost some, and given their positions away again, a receipt of
/// before settles nothing.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// Done with it.
    async fn ack(&self) -> Result<(), Fault>;
    /// Deliver it again after the pause.
    async fn nak(&self, after: Duration) -> Result<(), Fault>;
    /// Still working: the acknowledgement wait begins anew.
    async fn progress(&self) -> Result<(), Fault>;
    /// Never deliver it again. Its dead letter is already written.
    async fn term(&self, reason: &str) -> Result<(), Fault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_is_what_was_put_on_another_stream_or_behind_the_end_of_this_one() {
        let stream = |last_seq| StreamState {
            name: "QX".to_owned(),
            created_ns: 7,
            last_seq,
        };
        for (last_seq, created_ns, sequence, lost) in [
            (10, Some(7), 1, false),
            (10, Some(7), 10, false),
            (10, Some(7), 11, true),
            (0, Some(7), 1, true),
            (u64::MAX, Some(7), u64::MAX, false),
            // Made anew: its positions mean other messages.
            (10, Some(6), 1, true),
            (10, Some(8), 10, true),
            (0, Some(6), 1, true),
            // The predecessor's rows.
            (0, None, 1, false),
            (10, None, 11, false),
        ] {
            let found = stream(last_seq).lost(created_ns, sequence);
            assert_eq!(found, lost, "{last_seq} {created_ns:?} {sequence}");
        }
    }
}

//! The stream: NATS JetStream, or the embedded one. Same port, same suite.

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
    /// Sends all of them, pipelined and in order. The answer at index i belongs to
    /// message i; there are as many answers as messages.
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published>;
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

    /// Messages between the component and the end of the stream; `None` when the
    /// component has no durable consumer.
    async fn lag(&self, component: &ComponentName) -> Result<Option<Lag>, Fault>;

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
/// lost, and a stale one is accepted.
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

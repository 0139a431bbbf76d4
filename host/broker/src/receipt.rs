//! A message as the server delivers it becomes a `Delivery`, and its receipt.
//!
//! An acknowledgement is sent and not confirmed: a confirmed one survives a crash
//! of the server no better, and the inbox answers the message that comes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::client::Client;
use async_nats::connection::State;
use async_nats::{HeaderMap, Message, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use qx_events::Fault;
use qx_events::ports::{Delivery, Receipt};
use qx_events::wire::Headers;

use crate::connection::Link;
use crate::server::ServerVersion;

/// Patience with a connection that stands and does not take an answer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest reason that goes with a termination, in bytes: it travels in an
/// advisory and is for people.
const REASON_BYTES_MAX: usize = 512;

/// The message is none of a stream.
#[derive(Debug, thiserror::Error)]
#[error("a message on `{0}` has no place in a stream")]
pub(crate) struct NotOfAStream(String);

/// As long as it holds, a position means the message that it meant when it was
/// delivered. A server that comes back may have lost it, and given the position
/// to another message: an answer from before would be taken for that one.
#[derive(Debug, Clone)]
pub(crate) struct Bond {
    /// The connection that the message came over.
    pub(crate) link: Link,
    /// Its losses at that time.
    pub(crate) losses: u64,
    /// Counts the streams that the consumer was on.
    pub(crate) streams: Arc<AtomicU64>,
    /// Its value at that time.
    pub(crate) stream: u64,
}

impl Bond {
    fn holds(&self) -> bool {
        self.link.losses() == self.losses && self.streams.load(Ordering::Acquire) == self.stream
    }
}

/// Reads a delivered message.
pub(crate) fn delivery(
    client: &Client,
    bond: Bond,
    message: Message,
) -> Result<Delivery, NotOfAStream> {
    let place = message.reply.as_ref().and_then(|reply| place(reply));
    let (Some(reply), Some((delivered, stream_seq, handed_over))) = (message.reply, place) else {
        return Err(NotOfAStream(message.subject.to_string()));
    };
    Ok(Delivery {
        subject: message.subject.to_string(),
        headers: message.headers.as_ref().map(headers).unwrap_or_default(),
        body: message.payload,
        delivered,
        stream_seq,
        handed_over: Some(handed_over),
        receipt: Box::new(NatsReceipt {
            client: client.clone(),
            bond,
            reply,
        }),
    })
}

/// Every value of every header; the order among different names is not kept by
/// the client library.
fn headers(map: &HeaderMap) -> Headers {
    let values = map.iter().flat_map(|(name, values)| {
        let pair = move |value: &async_nats::HeaderValue| (name.to_string(), value.to_string());
        values.iter().map(pair)
    });
    Headers(values.collect())
}

/// Deliveries, stream and consumer sequence, from the subject that takes the answer:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.…`, or with domain and
/// account in front of the stream.
fn place(reply: &str) -> Option<(u32, u64, u64)> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let own = match tokens.len() {
        7 => tokens.as_slice(),
        9.. => tokens.get(2..)?,
        _ => return None,
    };
    let [_stream, _consumer, delivered, stream_seq, handed_over, ..] = own else {
        return None;
    };
    let delivered: u64 = delivered.parse().ok()?;
    let delivered = u32::try_from(delivered).unwrap_or(u32::MAX);
    Some((
        delivered,
        stream_seq.parse().ok()?,
        handed_over.parse().ok()?,
    ))
}

/// The right to settle one delivery.
struct NatsReceipt {
    client: Client,
    bond: Bond,
    reply: Subject,
}

impl NatsReceipt {
    /// Fails at once when the connection is down: the message comes again anyway,
    /// and an answer that waits here would speak for a delivery of long ago.
    async fn answer(&self, doing: &'static str, payload: Bytes) -> Result<(), Fault> {
        if self.client.connection_state() != State::Connected {
            return Err(Fault::transient(doing, "not connected to NATS"));
        }
        if !self.bond.holds() {
            return Err(Fault::transient(
                doing,
                "the connection to NATS was lost since; the message comes again",
            ));
        }
        let sent = self.client.publish(self.reply.clone(), payload);
        match tokio::time::timeout(SETTLE_TIMEOUT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Fault::transient(doing, error)),
            Err(elapsed) => Err(Fault::transient(doing, elapsed)),
        }
    }
}

#[async_trait]
impl Receipt for NatsReceipt {
    async fn ack(&self) -> Result<(), Fault> {
        let payload = Bytes::from_static(b"+ACK");
        self.answer("acknowledge a message", payload).await
    }

    async fn nak(&self, after: Duration) -> Result<(), Fault> {
        let payload = if after.is_zero() {
            Bytes::from_static(b"-NAK")
        } else {
            Bytes::from(format!("-NAK {{\"delay\":{}}}", after.as_nanos()))
        };
        self.answer("give a message back", payload).await
    }

    async fn progress(&self) -> Result<(), Fault> {
        let payload = Bytes::from_static(b"+WPI");
        self.answer("extend a message's acknowledgement wait", payload)
            .await
    }

    async fn term(&self, reason: &str) -> Result<(), Fault> {
        let server = ServerVersion::of(&self.client.server_info());
        let payload = if server.has_term_reasons() {
            Bytes::from(format!("+TERM {}", one_line(reason)))
        } else {
            Bytes::from_static(b"+TERM")
        };
        self.answer("terminate a message", payload).await
    }
}

/// The reason without line breaks, and not too long.
fn one_line(reason: &str) -> String {
    let mut text = String::with_capacity(reason.len().min(REASON_BYTES_MAX));
    for c in reason.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if text.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_from_both_forms_of_the_answers_subject() {
        for (reply, expected) in [
            (
                "$JS.ACK.S.c.3.100.7.1790230470084404000.42",
                Some((3, 100, 7)),
            ),
            (
                "$JS.ACK._.hash.S.c.2.50.9.1790230470084404000.0",
                Some((2, 50, 9)),
            ),
            (
                "$JS.ACK.hub.hash.S.c.2.50.9.1790230470084404000.0.rand",
                Some((2, 50, 9)),
            ),
            ("$JS.ACK.S.c.99999999999.1.7.1.0", Some((u32::MAX, 1, 7))),
            ("$JS.ACK.S.c.3", None),
            ("$JS.ACK.S.c.x.1.7.1.0", None),
            ("_INBOX.x", None),
        ] {
            assert_eq!(place(reply), expected, "{reply}");
        }
    }

    #[test]
    fn a_header_with_several_values_keeps_them_all_and_its_case() {
        let mut map = HeaderMap::new();
        map.append("X-Tag", "one");
        map.append("X-Tag", "two");
        map.insert("qx.event_name", "a.b");
        let mut found = headers(&map).0;
        found.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found,
            [
                pair("X-Tag", "one"),
                pair("X-Tag", "two"),
                pair("qx.event_name", "a.b")
            ]
        );
    }

    #[test]
    fn a_reason_stays_on_its_line() {
        assert_eq!(one_line("bad\r\nPUB x"), "bad  PUB x");
        assert_eq!(one_line(&"ü".repeat(400)).len(), REASON_BYTES_MAX);
    }
}

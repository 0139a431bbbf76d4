//! Sends messages to the stream: in order, a window at a time, each with an answer.
//!
//! Whatever is wrong with the broker makes `Unknown`, and ends the sending: what
//! follows would overtake. Only what is wrong with the message itself is `Refused`.

use std::collections::VecDeque;
use std::error::Error;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Published, Publisher, StoredAt, StreamState};
use qx_events::wire::{Headers, Outgoing, subject};
use tokio::time::{Instant, timeout_at};

use crate::broker::{Broker, Inner};
use crate::outbound::Line;

/// Messages of one call that are sent and not answered yet: enough to fill the
/// way to the server and back, and the most that an outage leaves in doubt.
const WINDOW: usize = 512;

#[async_trait]
impl Publisher for Broker {
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published> {
        if messages.is_empty() {
            return Vec::new();
        }
        match ready(&self.inner).await {
            Ok(line) => {
                let sending = Sending {
                    inner: &self.inner,
                    line,
                    stopped: None,
                };
                sending.all(messages).await
            }
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
    let line = inner.outbound.line().await.map_err(|error| chain(&error))?;
    if inner.stream_doubtful.load(Ordering::Acquire) {
        let stream = &inner.config.stream;
        tracing::warn!(stream, "nobody took a message; looking for the stream");
        inner.ensure_stream().await.map_err(|error| chain(&error))?;
    }
    Ok(line)
}

/// One call's way through its messages.
struct Sending<'a> {
    inner: &'a Inner,
    line: Line,
    /// Why nothing more is sent.
    stopped: Option<String>,
}

/// A message that has been dealt with.
enum Sent {
    Answered(Published),
    Waiting {
        answer: PublishAckFuture,
        until: Instant,
    },
}

impl Sending<'_> {
    async fn all(mut self, messages: &[Outgoing]) -> Vec<Published> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut window = VecDeque::with_capacity(WINDOW.min(messages.len()));
        for message in messages {
            if window.len() == WINDOW
                && let Some(oldest) = window.pop_front()
            {
                answers.push(self.answer(oldest).await);
            }
            let sent = self.send(message).await;
            window.push_back(sent);
        }
        for sent in window {
            answers.push(self.answer(sent).await);
        }
        answers
    }

    async fn send(&mut self, message: &Outgoing) -> Sent {
        if let Some(why) = &self.stopped {
            return Sent::Answered(Published::Unknown(format!("not sent: {why}")));
        }
        let config = &self.inner.config;
        let headers = match header_map(&message.headers) {
            Ok(headers) => headers,
            Err(why) => return Sent::Answered(Published::Refused(why)),
        };
        let publish = PublishMessage::build()
            .headers(headers)
            .payload(message.body.clone())
            .message_id(message.message_id.to_string())
            .expected_stream(&config.stream);
        if !self.line.stands() {
            return Sent::Answered(self.stop("the connection to NATS is lost"));
        }
        let subject = subject(&config.subject_prefix, message.event_name.as_str());
        let until = Instant::now() + self.inner.outbound.answer_timeout();
        let sending = self.line.context.send_publish(subject, publish);
        match timeout_at(until, sending).await {
            Ok(Ok(answer)) => Sent::Waiting { answer, until },
            Ok(Err(error)) => Sent::Answered(self.judge(&error)),
            Err(_) => Sent::Answered(self.stop("the NATS server does not take messages")),
        }
    }

    async fn answer(&mut self, sent: Sent) -> Published {
        let (answer, until) = match sent {
            Sent::Answered(published) => return published,
            Sent::Waiting { answer, until } => (answer, until),
        };
        let answered = tokio::select! {
            biased; // An answer that is here counts, whatever became of the line.
            answered = timeout_at(until, answer.into_future()) => answered,
            () = self.line.broken() => {
                return self.stop("the connection to NATS was lost before the answer");
            }
        };
        match answered {
            Ok(Ok(stored)) => Published::Stored(StoredAt {
                stream: stored.stream,
                sequence: stored.sequence,
                duplicate: stored.duplicate,
            }),
            Ok(Err(error)) => self.judge(&error),
            Err(_) => self.stop("the NATS server did not answer in time"),
        }
    }

    /// Nothing more is sent in this call.
    fn stop(&mut self, why: &str) -> Published {
        self.stopped.get_or_insert_with(|| why.to_owned());
        Published::Unknown(why.to_owned())
    }

    fn judge(&mut self, error: &PublishError) -> Published {
        match consequence(error) {
            Consequence::Refused(why) => Published::Refused(why),
            Consequence::Unknown(why) => self.stop(&why),
            Consequence::StreamGone => {
                doubt(&self.inner.stream_doubtful);
                let stream = &self.inner.config.stream;
                self.stop(&format!("the stream `{stream}` does not take the subject: it is gone, or its subjects were changed"))
            }
        }
    }
}

fn doubt(stream_doubtful: &AtomicBool) {
    stream_doubtful.store(true, Ordering::Release);
}

/// What an error says about its message.
#[derive(Debug, PartialEq, Eq)]
enum Consequence {
    Refused(String),
    Unknown(String),
    StreamGone,
}

/// The rule: only what is wrong with this message, and would be wrong with it for
/// ever, is refused.
fn consequence(error: &PublishError) -> Consequence {
    let says = chain(error);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Consequence::Refused(format!(
            "larger than the server takes ({says}); raise max_payload of the server, or send less"
        )),
        PublishErrorKind::StreamNotFound => Consequence::StreamGone,
        PublishErrorKind::Other => match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(cause) => of_code(cause),
            None => Consequence::Unknown(says),
        },
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Consequence::Unknown(says),
    }
}

fn of_code(cause: &jetstream::Error) -> Consequence {
    let says = cause.to_string();
    match cause.error_code() {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Consequence::Refused(format!(
            "larger than the stream takes ({says}); raise max_msg_size of the stream, or send less"
        )),
        ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => Consequence::Refused(format!(
            "its headers are larger than the stream takes ({says})"
        )),
        _ => Consequence::Unknown(says),
    }
}

/// The headers as the client library takes them; it would panic at a bad one.
fn header_map(headers: &Headers) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in &headers.0 {
        if name
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("nats-"))
        {
            return Err(format!("header `{name}` is the broker's own"));
        }
        let shown = name.escape_debug();
        let (Ok(parsed), false) = (HeaderName::from_str(name), name.is_empty()) else {
            return Err(format!(
                "header name `{shown}` is not legal: use printable ASCII without spaces and colons"
            ));
        };
        let Ok(value) = HeaderValue::from_str(value) else {
            return Err(format!("the value of header `{shown}` holds a line break"));
        };
        map.append(parsed, value);
    }
    Ok(map)
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: usize, err_code: u64) -> PublishError {
        let text = format!(r#"{{"code":{code},"err_code":{err_code},"description":"as it is"}}"#);
        let cause: jetstream::Error = serde_json::from_str(&text).unwrap();
        PublishError::with_source(PublishErrorKind::Other, cause)
    }

    #[test]
    fn only_what_is_wrong_with_the_message_itself_is_refused() {
        let refused = |error: &PublishError| matches!(consequence(error), Consequence::Refused(_));
        for (code, err_code, expected) in [
            (400, 10054, true),
            (400, 10097, true),
            (400, 10060, false),
            (400, 10071, false),
            (400, 10077, false),
            (503, 10008, false),
            (503, 10023, false),
            (503, 10074, false),
            (500, 10000, false),
        ] {
            assert_eq!(refused(&answered(code, err_code)), expected, "{err_code}");
        }
        assert!(refused(&PublishError::new(
            PublishErrorKind::MaxPayloadExceeded
        )));
        let gone = PublishError::new(PublishErrorKind::StreamNotFound);
        assert_eq!(consequence(&gone), Consequence::StreamGone);
        assert!(!refused(&PublishError::new(PublishErrorKind::TimedOut)));
    }

    #[test]
    fn a_header_that_would_break_the_wire_is_refused_in_words() {
        let one = |name: &str, value: &str| {
            header_map(&Headers(vec![(name.to_owned(), value.to_owned())])).map(|_| ())
        };
        assert_eq!(one("qx.event_name", "a.b"), Ok(()));
        assert_eq!(one("tracestate", ""), Ok(()));
        for (name, value, says) in [
            ("x", "a\r\nNats-Rollup: all", "line break"),
            ("x", "a\nb", "line break"),
            ("x\r\ny", "a", "not legal"),
            ("x:y", "a", "not legal"),
            ("", "a", "not legal"),
            ("ü", "a", "not legal"),
            ("Nats-Rollup", "all", "broker's own"),
            ("nats-msg-id", "1", "broker's own"),
        ] {
            let error = one(name, value).unwrap_err();
            assert!(error.contains(says), "{name:?}: {error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn a_header_given_twice_is_sent_twice() {
        let twice =
            [("a", "1"), ("a", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = header_map(&Headers(twice.to_vec())).unwrap();
        assert_eq!(map.get_all("a").count(), 2);
    }
}

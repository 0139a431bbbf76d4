//! What an answer of the server says about its message. A rule over values.
//!
//! Whatever is wrong with the broker makes a message `Unknown`. Only what is wrong
//! with the message itself, and would be for ever, is `Refused`.

use std::error::Error;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};

/// What an error says about its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// This message will never be stored.
    Refused(String),
    /// It is not stored, this time.
    Rejected(String),
    /// Nothing of the batch is stored: the stream knows one of its ids.
    Duplicate,
    /// It is not stored, because the stream does not end where it should. Where it
    /// does, when the server says so.
    OutOfLine { ends_at: Option<u64> },
    /// Nobody knows.
    Unknown(String),
    /// Nobody took it.
    StreamGone,
}

/// The rule: only what is wrong with this message, and would be wrong with it for
/// ever, is refused.
pub(super) fn consequence(error: &PublishError) -> Consequence {
    let says = describe(error);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Consequence::Refused(format!(
            "larger than the server takes ({says}); raise max_payload of the server, or send less"
        )),
        PublishErrorKind::StreamNotFound => Consequence::StreamGone,
        PublishErrorKind::Other => match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(cause) => of_code(cause),
            None => Consequence::Unknown(says),
        },
        PublishErrorKind::WrongLastMessageId => Consequence::OutOfLine { ends_at: None },
        PublishErrorKind::WrongLastSequence => Consequence::OutOfLine {
            ends_at: last_number(&says),
        },
        PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Consequence::Unknown(says),
    }
}

/// The number at the end of `wrong last sequence: 12 (code 400, …)`.
pub(super) fn last_number(says: &str) -> Option<u64> {
    let (_, behind) = says.rsplit_once("wrong last sequence: ")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
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
        ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE => Consequence::Duplicate,
        // 500 and 503: no leader, no resources; the rest is a plain no.
        _ if cause.code() >= 500 => Consequence::Unknown(says),
        _ => Consequence::Rejected(says),
    }
}

/// An error and its causes on one line.
pub(super) fn describe(error: &dyn Error) -> String {
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
    fn where_the_stream_ends_is_read_from_the_refusal() {
        let text = r#"{"code":400,"err_code":10071,"description":"wrong last sequence: 12"}"#;
        let cause: jetstream::Error = serde_json::from_str(text).unwrap();
        for (cause, ends_at) in [
            (
                PublishError::with_source(PublishErrorKind::WrongLastSequence, cause),
                Some(12),
            ),
            (PublishError::new(PublishErrorKind::WrongLastSequence), None),
        ] {
            assert_eq!(consequence(&cause), Consequence::OutOfLine { ends_at });
        }
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
}

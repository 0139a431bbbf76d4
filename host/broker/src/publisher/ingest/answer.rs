//! What an answer to many messages says. A rule over values.

use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Message, StatusCode};
use serde::Deserialize;

use super::Ingested;
use crate::publisher::judge::last_number;

/// What the server says on the way and in the end.
#[derive(Debug, Deserialize)]
struct Answer {
    /// Of what is said on the way: `ack`, `gap` or `err`. The last answer has none, and
    /// neither has the refusal of the first message.
    #[serde(rename = "type")]
    kind: Option<String>,
    stream: Option<String>,
    /// A place on the stream in the last answer, else a number in the batch.
    seq: Option<u64>,
    batch: Option<String>,
    count: Option<u64>,
    error: Option<jetstream::Error>,
}

/// `None`: more is to come. The stream had ended at the first number, and so many
/// messages were sent.
pub(super) fn judge(message: &Message, numbers: (u64, u64)) -> Option<Ingested> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Some(Ingested::StreamGone);
    }
    let answer = serde_json::from_slice(&message.payload).ok();
    judge_answer(answer, is_of_the_first(&message.subject), numbers)
}

/// Whether it was the first message that brought the answer: answers go to the reply
/// subject of the message they are about, `….<number>.<operation>.$FI`.
fn is_of_the_first(subject: &str) -> bool {
    subject.rsplit('.').nth(2) == Some("1")
}

fn judge_answer(
    answer: Option<Answer>,
    is_of_the_first: bool,
    (behind, sent): (u64, u64),
) -> Option<Ingested> {
    Some(match answer {
        Some(Answer {
            kind: Some(kind), ..
        }) if kind == "ack" => return None,
        Some(Answer {
            kind: None,
            stream: Some(stream),
            seq: Some(last),
            batch: Some(_),
            count: Some(count),
            error: None,
        }) if count == sent && last == behind.saturating_add(sent) => {
            Ingested::Whole { stream, last }
        }
        // Behind the first nothing is taken.
        Some(Answer {
            error: Some(error), ..
        }) if is_of_the_first => {
            if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE {
                Ingested::OutOfLine(last_number(&error.to_string()))
            } else {
                Ingested::Doubtful { has_begun: false }
            }
        }
        Some(_) => Ingested::Doubtful { has_begun: true },
        None => Ingested::Doubtful { has_begun: false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, is_of_the_first: bool, numbers: (u64, u64)) -> String {
        let answer = serde_json::from_str(text).ok();
        match judge_answer(answer, is_of_the_first, numbers) {
            None => "more".to_owned(),
            Some(Ingested::Whole { last, .. }) => format!("whole to {last}"),
            Some(Ingested::OutOfLine(at)) => format!("out of line at {at:?}"),
            Some(Ingested::Doubtful { has_begun: true }) => "each, some stored".to_owned(),
            Some(Ingested::Doubtful { has_begun: false }) => "each, perhaps".to_owned(),
            Some(Ingested::StreamGone | Ingested::Unknown(_)) => "other".to_owned(),
        }
    }

    #[test]
    fn only_a_stream_that_has_grown_by_just_these_is_taken_at_its_word() {
        let end = r#"{"stream":"QX","seq":12,"batch":"1","count":5}"#;
        assert_eq!(word(end, false, (7, 5)), "whole to 12");
        for (text, numbers) in [
            // One was there already, or one is of another program.
            (end, (8, 5)),
            (end, (6, 5)),
            // It ended early.
            (end, (7, 6)),
            (r#"{"type":"gap","last_seq":2,"seq":3}"#, (7, 5)),
            (
                r#"{"type":"err","seq":5,"error":{"code":503,"err_code":10077}}"#,
                (7, 5),
            ),
            (
                r#"{"stream":"QX","seq":12,"batch":"1","count":5,"error":{"code":503,"err_code":1}}"#,
                (7, 5),
            ),
        ] {
            assert_eq!(word(text, false, numbers), "each, some stored", "{text}");
        }
        // Of an answer that cannot be read nobody knows what it says.
        assert_eq!(word("", false, (7, 5)), "each, perhaps");
        // As messages are answered one by one, by a server that sees no batch.
        let one = r#"{"stream":"QX","seq":8}"#;
        assert_eq!(word(one, true, (7, 5)), "each, some stored");
    }

    #[test]
    fn where_the_first_is_refused_nothing_is_stored() {
        for (subject, expected) in [
            ("_INBOX.a.1.500.fail.1.0.$FI", true),
            ("_INBOX.a.1.500.fail.11.1.$FI", false),
            ("_INBOX.1.1.1.1.2.1.$FI", false),
            ("", false),
        ] {
            assert_eq!(is_of_the_first(subject), expected, "{subject}");
        }
        let sign = r#"{"type":"ack","seq":0,"msgs":500}"#;
        assert_eq!(word(sign, true, (7, 5)), "more");
        let wrong = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"QX","seq":0}"#;
        assert_eq!(word(wrong, true, (7, 5)), "out of line at Some(3)");
        assert_eq!(word(wrong, false, (7, 5)), "each, some stored");
        let disabled = r#"{"error":{"code":400,"err_code":10205,"description":"batch publish is disabled"},"stream":"QX","seq":0}"#;
        assert_eq!(word(disabled, true, (7, 5)), "each, perhaps");
    }
}

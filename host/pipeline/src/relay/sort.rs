//! Sorts the rows of one pass by what became of them: stored, to be set aside,
//! or unknown. Plain values, no effect.

use qx_events::ports::{Published, PublishedRow};
use qx_events::wire::{self, Outgoing};
use qx_events::{Row, TraceContext, prepare};

/// A row that became a message.
pub(super) struct Ready {
    seq: i64,
    event_name: String,
    pub(super) message: Outgoing,
}

/// A row that can never be published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) seq: i64,
    pub(super) event_name: String,
    pub(super) reason: String,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) stored: Vec<PublishedRow>,
    pub(super) aside: Vec<Aside>,
    /// Why some are unknown, if any are. They wait, and use up nothing.
    pub(super) unknown: Option<String>,
}

/// Makes messages of the rows that can be. A row without a trace context gets
/// the relay's own, when there is one.
pub(super) fn prepare_all(rows: &[Row], own: Option<&TraceContext>) -> (Vec<Ready>, Sorted) {
    let mut sorted = Sorted::default();
    let mut ready = Vec::with_capacity(rows.len());
    for row in rows {
        match prepare(row) {
            Ok(mut message) => {
                if let (Some(own), None) = (own, message.headers.get(wire::TRACEPARENT)) {
                    let parent = own.traceparent().to_owned();
                    message
                        .headers
                        .0
                        .push((wire::TRACEPARENT.to_owned(), parent));
                }
                ready.push(Ready {
                    seq: row.seq,
                    event_name: row.event_name.clone(),
                    message,
                });
            }
            Err(error) => sorted.aside.push(Aside {
                seq: row.seq,
                event_name: row.event_name.clone(),
                reason: error.to_string(),
            }),
        }
    }
    (ready, sorted)
}

/// Adds the answers of the stream that was made then.
pub(super) fn sort(
    ready: &[Ready],
    answers: Vec<Published>,
    created_ns: Option<i64>,
    sorted: &mut Sorted,
) {
    if answers.len() != ready.len() {
        sorted.unknown = Some("the stream did not answer for every message".to_owned());
    }
    for (row, answer) in ready.iter().zip(answers) {
        match answer {
            Published::Stored(stored) => {
                sorted.stored.push(PublishedRow {
                    seq: row.seq,
                    stored,
                    stream_created_ns: created_ns,
                });
            }
            Published::Refused(reason) => sorted.aside.push(Aside {
                seq: row.seq,
                event_name: row.event_name.clone(),
                reason,
            }),
            Published::Unknown(reason) => {
                sorted.unknown.get_or_insert(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use qx_events::ports::StoredAt;
    use uuid::Uuid;

    fn row(seq: i64, body: &'static str) -> Row {
        Row {
            seq,
            id: Uuid::nil(),
            event_name: "a.b".to_owned(),
            event_version: 1,
            correlation_id: None,
            tenant_id: None,
            ordering_key: None,
            traceparent: None,
            tracestate: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    const GOOD: &str = r#"{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","payload":1}"#;

    #[test]
    fn a_bad_row_does_not_hold_the_others_back() {
        let rows = [row(1, "{}"), row(2, GOOD), row(3, GOOD), row(4, GOOD)];
        let (ready, mut sorted) = prepare_all(&rows, None);
        let stored = StoredAt {
            stream: "s".to_owned(),
            sequence: 7,
            duplicate: false,
        };
        let answers = vec![
            Published::Stored(stored.clone()),
            Published::Refused("too large".to_owned()),
            Published::Unknown("no answer".to_owned()),
        ];
        sort(&ready, answers, Some(5), &mut sorted);
        let marked = PublishedRow {
            seq: 2,
            stored,
            stream_created_ns: Some(5),
        };
        assert_eq!(sorted.stored, [marked]);
        let aside: Vec<i64> = sorted.aside.iter().map(|aside| aside.seq).collect();
        assert_eq!(aside, [1, 3]);
        assert_eq!(sorted.unknown.as_deref(), Some("no answer"));
    }

    #[test]
    fn an_answer_that_is_missing_is_unknown() {
        let (ready, mut sorted) = prepare_all(&[row(1, GOOD)], None);
        sort(&ready, Vec::new(), None, &mut sorted);
        assert!(sorted.unknown.is_some() && sorted.stored.is_empty());
    }
}

//! A batch of rows on its way: made into messages, and sorted by what became of them:
//! stored, to be set aside, or unknown. Plain values, no effect.

use qx_events::ports::{Published, PublishedRow};
use qx_events::wire::{self, Outgoing};
use qx_events::{Row, TraceContext, prepare};

/// Rows that go out together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Row>,
    messages: Vec<Outgoing>,
    /// The row of each message, as its place among the rows.
    places: Vec<usize>,
    aside: Vec<Aside>,
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

impl Batch {
    /// Makes messages of the rows that can be.
    pub(super) fn of(rows: Vec<Row>) -> Self {
        let mut batch = Self {
            messages: Vec::with_capacity(rows.len()),
            places: Vec::with_capacity(rows.len()),
            ..Self::default()
        };
        for (place, row) in rows.iter().enumerate() {
            match prepare(row) {
                Ok(message) => {
                    batch.messages.push(message);
                    batch.places.push(place);
                }
                Err(error) => batch.aside.push(aside(row, error.to_string())),
            }
        }
        batch.rows = rows;
        batch
    }

    /// Rows of all kinds.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where its rows are in the outbox.
    pub(super) fn seqs(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|row| row.seq)
    }

    /// In the order of the outbox.
    pub(super) fn messages(&self) -> &[Outgoing] {
        &self.messages
    }

    /// Gives messages without a trace context the relay's own.
    pub(super) fn adopt(&mut self, own: &TraceContext) {
        for message in &mut self.messages {
            let headers = &mut message.headers;
            if headers.get(wire::TRACEPARENT).is_none() {
                let parent = own.traceparent().to_owned();
                headers.0.push((wire::TRACEPARENT.to_owned(), parent));
            }
        }
    }

    /// By the answers of the stream that was made then.
    pub(super) fn sort(self, answers: Vec<Published>, created_ns: Option<i64>) -> Sorted {
        let mut sorted = Sorted {
            stored: Vec::with_capacity(answers.len()),
            aside: self.aside,
            unknown: None,
        };
        if answers.len() != self.messages.len() {
            sorted.unknown = Some("the stream did not answer for every message".to_owned());
        }
        let of_messages = self.places.iter().filter_map(|place| self.rows.get(*place));
        for (row, answer) in of_messages.zip(answers) {
            match answer {
                Published::Stored(stored) => {
                    sorted.stored.push(PublishedRow {
                        seq: row.seq,
                        stored,
                        stream_created_ns: created_ns,
                    });
                }
                Published::Refused(reason) => sorted.aside.push(aside(row, reason)),
                Published::Unknown(reason) => {
                    sorted.unknown.get_or_insert(reason);
                }
            }
        }
        sorted
    }
}

fn aside(row: &Row, reason: String) -> Aside {
    Aside {
        seq: row.seq,
        event_name: row.event_name.clone(),
        reason,
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
        let batch = Batch::of(vec![row(1, "{}"), row(2, GOOD), row(3, GOOD), row(4, GOOD)]);
        assert_eq!(batch.len(), 4);
        assert_eq!(batch.messages().len(), 3);
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
        let sorted = batch.sort(answers, Some(5));
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
        let sorted = Batch::of(vec![row(1, GOOD)]).sort(Vec::new(), None);
        assert!(sorted.unknown.is_some() && sorted.stored.is_empty());
    }

    #[test]
    fn a_message_keeps_its_trace_context_and_else_gets_the_relays() {
        let parent =
            |digit: char| format!("00-{}-{}-01", digit.to_string().repeat(32), "1".repeat(16));
        let mut traced = row(1, GOOD);
        traced.traceparent = Some(parent('a'));
        let mut batch = Batch::of(vec![traced, row(2, GOOD)]);
        batch.adopt(&TraceContext::parse(&parent('b'), None).unwrap());
        let of = |message: &Outgoing| message.headers.get(wire::TRACEPARENT).map(str::to_owned);
        let found: Vec<_> = batch.messages().iter().filter_map(of).collect();
        assert_eq!(found, [parent('a'), parent('b')]);
    }
}

//! How a dead letter is shown: a line of a listing, and whole.

use chrono::{DateTime, Utc};
use qx_events::{DeadLetter, Envelope};
use serde::Serialize;
use uuid::Uuid;

use super::super::screen;

/// The fixed shape of an entry of `dlq list --output json`.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) component: String,
    pub(super) event_name: String,
    event_id: Option<Uuid>,
    attempts: u32,
    reason: String,
    failed_at: String,
    kind: &'static str,
    digest: Option<String>,
    tenant_id: Option<Uuid>,
    edited_at: Option<String>,
    retry_requested_at: Option<String>,
}

/// One letter, whole.
#[derive(Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    entry: Entry,
    event_version: u32,
    correlation_id: Option<Uuid>,
    /// W3C trace context of the event.
    traceparent: Option<String>,
    /// The part of it that a tracing system looks for.
    trace_id: Option<String>,
    subject: String,
    headers: Vec<(String, String)>,
    /// What a retry gives to the component.
    body: String,
    /// The message's own, when the letter was edited.
    original_body: Option<String>,
}

impl Entry {
    pub(super) const HEADING: [&'static str; 6] = [
        "ID",
        "COMPONENT",
        "EVENT",
        "ATTEMPTS",
        "FAILED AT",
        "REASON",
    ];

    pub(super) fn of(letter: &DeadLetter) -> Self {
        let text = |time: DateTime<Utc>| time.to_rfc3339();
        Self {
            id: letter.id,
            component: letter.component.to_string(),
            event_name: letter.event_name.clone(),
            event_id: letter.event_id,
            attempts: letter.attempts,
            reason: letter.reason.to_string(),
            failed_at: text(letter.failed_at),
            kind: letter.reason.kind.as_str(),
            digest: letter.digest.map(|digest| digest.to_string()),
            tenant_id: letter.tenant_id,
            edited_at: letter.edited.as_ref().map(|edited| text(edited.at)),
            retry_requested_at: letter.retry_requested_at.map(text),
        }
    }

    /// Under the heading.
    pub(super) fn rows(entries: Vec<Self>) -> Vec<Vec<String>> {
        let row = |entry: Self| {
            vec![
                entry.id.to_string().chars().take(8).collect(),
                entry.component,
                entry.event_name,
                entry.attempts.to_string(),
                entry.failed_at.chars().take(19).collect(),
                entry.reason,
            ]
        };
        entries.into_iter().map(row).collect()
    }
}

impl Whole {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        let of_body = || Envelope::decode(&letter.body, None).ok()?.trace;
        let trace = letter.headers.trace().or_else(of_body);
        let traceparent = trace.map(|trace| trace.traceparent().to_owned());
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        Self {
            entry: Entry::of(letter),
            event_version: letter.event_version,
            correlation_id: letter.correlation_id,
            trace_id: traceparent
                .as_deref()
                .and_then(|parent| parent.split('-').nth(1))
                .map(str::to_owned),
            traceparent,
            subject: letter.subject.clone(),
            headers: letter.headers.0.clone(),
            body: text(&letter.body),
            original_body: letter.edited.as_ref().map(|edited| text(&edited.original)),
        }
    }

    pub(super) fn show(self) {
        let or_none = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let not_called = || "-  (the handler was not called)".to_owned();
        let entry = self.entry;
        let facts = [
            ("id", entry.id.to_string()),
            ("component", entry.component),
            ("digest", entry.digest.unwrap_or_else(not_called)),
            (
                "event",
                format!("{} version {}", entry.event_name, self.event_version),
            ),
            ("event id", or_none(entry.event_id)),
            ("tenant", or_none(entry.tenant_id)),
            ("correlation", or_none(self.correlation_id)),
            ("trace", or_dash(self.trace_id)),
            ("subject", self.subject),
            ("attempts", entry.attempts.to_string()),
            ("failed at", entry.failed_at),
            ("reason", entry.reason),
            ("edited at", or_dash(entry.edited_at)),
            ("retry asked", or_dash(entry.retry_requested_at)),
        ];
        for (name, value) in facts {
            screen::say(&format!("{name:<12} {}", screen::plain(&value)));
        }
        for (name, value) in &self.headers {
            let (name, value) = (screen::plain(name), screen::plain(value));
            screen::say(&format!("header       {name}: {value}"));
        }
        screen::say(&format!("\n{}", screen::plain(&self.body)));
        if let Some(original) = self.original_body {
            let original = screen::plain(&original);
            screen::say(&format!(
                "\nthe message's own body, before the edit:\n{original}"
            ));
        }
    }
}

//! A dead letter as its columns, and back: the same for both databases.
//!
//! Writing never fails for what is in the message; reading never fails for what
//! the predecessor wrote.

use chrono::{DateTime, Utc};
use qx_events::wire::Headers;
use qx_events::{
    ComponentName, DeadLetter, DeadReason, DeadReasonKind, Edited, NameFilter, Pattern,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::columns::{
    EVENT_NAME_CHARS_MAX, LAST_ERROR_CHARS_MAX, SUBJECT_CHARS_MAX, digest, fit, jsonb_takes,
};

/// Stands for the component of letters that have none: the predecessor's. The
/// statements have the same word.
const NO_COMPONENT: &str = "no-component";

/// A letter as it is written.
pub(crate) struct LetterColumns {
    pub(crate) id: Uuid,
    pub(crate) component: String,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) event_name: String,
    pub(crate) event_version: i32,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) subject: String,
    pub(crate) headers: String,
    pub(crate) payload: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) delivered_count: i32,
    pub(crate) kind: &'static str,
    pub(crate) last_error: String,
    pub(crate) failed_at: DateTime<Utc>,
}

impl LetterColumns {
    pub(crate) fn of(letter: &DeadLetter) -> Self {
        Self {
            id: letter.id,
            component: letter.component.to_string(),
            digest: letter.digest.map(|digest| digest.bytes().to_vec()),
            event_name: fit(&letter.event_name, EVENT_NAME_CHARS_MAX).into_owned(),
            event_version: letter.event_version.try_into().unwrap_or(i32::MAX),
            event_id: letter.event_id,
            correlation_id: letter.correlation_id,
            tenant_id: letter.tenant_id,
            subject: fit(&letter.subject, SUBJECT_CHARS_MAX).into_owned(),
            headers: headers_to_json(&letter.headers),
            payload: payload_or_stub(&letter.body),
            raw: letter.body.to_vec(),
            delivered_count: letter.attempts.try_into().unwrap_or(i32::MAX),
            kind: letter.reason.kind.as_str(),
            last_error: fit(&letter.reason.text, LAST_ERROR_CHARS_MAX).into_owned(),
            failed_at: letter.failed_at,
        }
    }
}

/// A letter as it is read.
#[derive(Debug)]
pub(crate) struct StoredLetter {
    pub(crate) id: Uuid,
    pub(crate) component: Option<String>,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) event_name: String,
    pub(crate) event_version: i32,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) subject: String,
    pub(crate) headers: Option<String>,
    pub(crate) payload: String,
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) original: Option<Vec<u8>>,
    pub(crate) edited_at: Option<DateTime<Utc>>,
    pub(crate) delivered_count: i32,
    pub(crate) kind: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) failed_at: DateTime<Utc>,
    pub(crate) retry_requested_at: Option<DateTime<Utc>>,
}

impl StoredLetter {
    pub(crate) fn into_letter(self) -> Result<DeadLetter, sqlx::Error> {
        let own = self.component.as_deref().unwrap_or(NO_COMPONENT);
        let component =
            ComponentName::parse(own).or_else(|_illegal| ComponentName::parse(NO_COMPONENT));
        let component = component.map_err(|illegal| sqlx::Error::Decode(Box::new(illegal)))?;
        // The predecessor gave up after its attempts, whatever the reason was.
        let kind = self.kind.as_deref().and_then(DeadReasonKind::parse);
        let edited = self.edited_at.map(|at| Edited {
            original: self.original.unwrap_or_default().into(),
            at,
        });
        Ok(DeadLetter {
            id: self.id,
            component,
            digest: digest(self.digest),
            event_name: self.event_name,
            event_version: self.event_version.try_into().unwrap_or(1),
            event_id: self.event_id,
            correlation_id: self.correlation_id,
            tenant_id: self.tenant_id,
            subject: self.subject,
            headers: self
                .headers
                .as_deref()
                .map(headers_from_json)
                .unwrap_or_default(),
            body: self.raw.unwrap_or_else(|| self.payload.into_bytes()).into(),
            edited,
            attempts: self.delivered_count.try_into().unwrap_or(0),
            reason: DeadReason {
                kind: kind.unwrap_or(DeadReasonKind::Exhausted),
                text: self.last_error.unwrap_or_default(),
            },
            failed_at: self.failed_at,
            retry_requested_at: self.retry_requested_at,
        })
    }
}

/// How a filter of names is asked for.
pub(crate) enum Names<'a> {
    /// Not at all.
    Any,
    /// By the names themselves.
    These(Vec<String>),
    /// By those names in the table that match: no database knows our patterns.
    Matching(&'a NameFilter),
}

/// How this filter is asked for.
pub(crate) fn names(filter: Option<&NameFilter>) -> Names<'_> {
    match filter {
        None => Names::Any,
        Some(NameFilter::Text(text)) => Names::These(vec![text.clone()]),
        Some(NameFilter::Pattern(Pattern::Exact(name))) => Names::These(vec![name.to_string()]),
        Some(wild @ NameFilter::Pattern(Pattern::Wild(_))) => Names::Matching(wild),
    }
}

/// What goes into the column `payload` for this body.
pub(crate) fn payload_or_stub(body: &[u8]) -> String {
    payload(body).map_or_else(|| stub(body), str::to_owned)
}

/// The body for the column `payload`, when it is JSON that jsonb takes.
fn payload(body: &[u8]) -> Option<&str> {
    let json: &RawValue = serde_json::from_slice(body).ok()?;
    Some(json.get()).filter(|json| jsonb_takes(json))
}

/// What stands in `payload` otherwise.
pub(crate) fn stub(body: &[u8]) -> String {
    let note = "the body is not JSON that jsonb can hold; it is in column raw, byte for byte";
    json!({ "note": note, "bytes": body.len() }).to_string()
}

/// An object, as the predecessor writes it; a header that comes twice is a list.
fn headers_to_json(headers: &Headers) -> String {
    let mut object = Map::new();
    for (name, value) in &headers.0 {
        let value = Value::from(fit(value, usize::MAX));
        match object.get_mut(fit(name, usize::MAX).as_ref()) {
            None => {
                object.insert(fit(name, usize::MAX).into_owned(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object).to_string()
}

fn headers_from_json(json: &str) -> Headers {
    let Ok(Value::Object(object)) = serde_json::from_str(json) else {
        return Headers::default();
    };
    let mut headers = Vec::new();
    for (name, value) in object {
        match value {
            Value::String(text) => headers.push((name, text)),
            Value::Array(list) => {
                headers.extend(list.into_iter().map(|one| (name.clone(), plain(one))));
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                headers.push((name, other.to_string()));
            }
        }
    }
    Headers(headers)
}

fn plain(value: Value) -> String {
    if let Value::String(text) = value {
        text
    } else {
        value.to_string()
    }
}

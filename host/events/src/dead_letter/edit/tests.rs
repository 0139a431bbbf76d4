//! What an edit keeps, and what it refuses.

use chrono::DateTime;

use super::*;
use crate::dead_letter::{DeadReason, DeadReasonKind};
use crate::name::ComponentName;
use crate::wire::Headers;

const ID: &str = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";
const TENANT: &str = "2b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";
const PARENT: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";

fn envelope(id: &str, name: &str, payload: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","event_name":"{name}","event_version":3,"occurred_at":"2026-01-01T00:00:00Z","tenant_id":"{TENANT}","actor_id":"ada","traceparent":"{PARENT}","payload":{payload}}}"#
    )
}

fn letter(body: String, is_known: bool) -> DeadLetter {
    DeadLetter {
        id: Uuid::nil(),
        component: ComponentName::parse("a").unwrap(),
        digest: None,
        event_name: "order.placed".to_owned(),
        event_version: 3,
        event_id: is_known.then(|| Uuid::try_parse(ID).unwrap()),
        correlation_id: None,
        tenant_id: is_known.then(|| Uuid::try_parse(TENANT).unwrap()),
        subject: "svc.order.placed".to_owned(),
        headers: Headers::default(),
        body: body.into(),
        edited: None,
        attempts: 1,
        reason: DeadReason {
            kind: DeadReasonKind::Rejected,
            text: "no".to_owned(),
        },
        failed_at: DateTime::UNIX_EPOCH,
        retry_requested_at: None,
    }
}

#[test]
fn another_payload_leaves_the_rest_of_the_envelope_as_it_was() {
    let letter = letter(envelope(ID, "order.placed", r#"{"n": 1.10}"#), true);
    let (id, body) = letter
        .with_payload(r#" {"n": 12345678901234567890.10} "#)
        .unwrap();
    assert_eq!(id.to_string(), ID);
    let edited = Envelope::decode(&body, None).unwrap();
    assert_eq!(edited.payload.get(), r#"{"n": 12345678901234567890.10}"#);
    assert_eq!(
        (edited.event_version, edited.event_name.as_str()),
        (3, "order.placed")
    );
    assert_eq!(edited.tenant_id.unwrap().to_string(), TENANT);
    assert_eq!(edited.actor_id.as_deref(), Some("ada"));
    assert_eq!(edited.trace.unwrap().traceparent(), PARENT);
}

#[test]
fn what_is_no_payload_is_refused() {
    let known = letter(envelope(ID, "order.placed", "1"), true);
    for text in ["", "{", "{n: 1}", "1 2"] {
        let refused = known.with_payload(text);
        assert!(
            matches!(refused, Err(InvalidEdit::NotJson(_))),
            "{text}: {refused:?}"
        );
    }
    let large = format!("\"{}\"", "x".repeat(EDITED_BYTES_MAX));
    assert!(matches!(
        known.with_payload(&large),
        Err(InvalidEdit::TooLarge { .. })
    ));
    let broken = letter("{".to_owned(), false);
    let refused = broken.with_payload("1").unwrap_err();
    assert!(refused.to_string().contains("--envelope"), "{refused}");
}

#[test]
fn an_envelope_is_taken_for_the_same_event_only() {
    let broken = letter("{".to_owned(), false);
    let (id, _) = broken
        .with_envelope(&envelope(ID, "order.placed", "1"))
        .unwrap();
    assert_eq!(id.to_string(), ID);
    assert!(matches!(
        broken.with_envelope("{}"),
        Err(InvalidEdit::Malformed(_))
    ));

    let known = letter(envelope(ID, "order.placed", "1"), true);
    known
        .with_envelope(&envelope(ID, "order.placed", "2"))
        .unwrap();
    for (other, field) in [
        (envelope(TENANT, "order.placed", "1"), "event_id"),
        (
            envelope(ID, "order.placed", "1").replace(TENANT, ID),
            "tenant_id",
        ),
        (envelope(ID, "order.lost", "1"), "event_name"),
    ] {
        let refused = known.with_envelope(&other).unwrap_err().to_string();
        assert!(refused.contains(field), "{refused}");
    }
}

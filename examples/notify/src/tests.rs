//! What `notify` promises, natively.

use super::*;

const MESSAGES: &str = "POST https://chat.example.com/api/messages";

fn published() -> testing::Given {
    testing::event("github.package.published").payload(json!({
        "package": {"name": "a", "package_type": "npm", "package_version": {"version": "1.0.0"}},
        "repository": {"full_name": "a/b"},
        "sender": {"login": "ada"},
    }))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, name, given| match name {
        "github.package.published" => host.deliver(given, tell_of_package),
        name if name.starts_with("github.branch_protection_rule.") => {
            host.deliver(given, tell_of_protection)
        }
        other => panic!("no handler takes {other}"),
    });
}

#[test]
fn every_attempt_has_the_events_id_as_its_idempotency_key() {
    let mut host = testing::Host::new()
        .with_secret("chat_token", "planted")
        .with_reply(MESSAGES, testing::Reply::status(503));
    for attempt in 1..=3 {
        let given = published()
            .id("6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10")
            .attempt(attempt);
        let seen = host.deliver(given, tell_of_package);
        let key = seen.requests[0].header("idempotency-key");
        assert_eq!(key, Some("6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10"));
    }
}

#[test]
fn a_chat_that_cannot_be_reached_is_tried_again_and_nothing_is_counted() {
    let mut host = testing::Host::new()
        .with_secret("chat_token", "planted")
        .with_reply(MESSAGES, testing::Reply::timeout());
    let seen = host.deliver(published(), tell_of_package);
    assert!(
        matches!(seen.outcome, Err(Failure::Retry { .. })),
        "{seen:?}"
    );
    assert_eq!(host.state::<u64>("told/a/b"), None);
}

//! What `follow-up` promises, natively.

use super::*;

fn issue(event: &str) -> testing::Given {
    testing::event(event)
        .payload(json!({"issue": {"number": 7}, "repository": {"full_name": "a/a"}}))
}

fn question(nth: u32) -> testing::Given {
    testing::event("issue.follow_up").payload(json!({"repository": "a/a", "issue": 7, "nth": nth}))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, name, given| match name {
        "issue.follow_up" => host.deliver(given, ask),
        "github.issues.deleted" => host.deliver(given, forget),
        _ => host.deliver(given, remember),
    });
}

#[test]
fn pauses_double_and_come_to_an_end() {
    let mut host = testing::Host::new();
    let opened = host.deliver(issue("github.issues.opened"), remember);
    assert_eq!(opened.emitted[0].due, Some(Due::After(PAUSE)));
    let first = host.deliver(question(1), ask);
    assert_eq!(first.emitted[1].due, Some(Due::After(PAUSE * 2)));
    let last = host.deliver(question(QUESTIONS_MAX), ask);
    assert_eq!(last.emitted.len(), 1, "only the question itself");
}

#[test]
fn nobody_is_asked_of_an_issue_that_is_gone_until_it_is_opened_again() {
    let mut host = testing::Host::new();
    host.deliver(issue("github.issues.closed"), forget);
    assert!(host.deliver(question(1), ask).emitted.is_empty());
    host.deliver(issue("github.issues.reopened"), remember);
    assert!(!host.deliver(question(1), ask).emitted.is_empty());
}

//! What `audit-trail` promises, natively.

use super::*;

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, _, given| {
        host.deliver(given, record)
    });
}

#[test]
fn every_recorded_webhook_is_counted() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../github/webhooks.jsonl");
    let mut host = testing::Host::new();
    let lines = std::fs::read_to_string(file).unwrap();
    for line in lines.lines() {
        let given = cases::recorded_event(line);
        assert_eq!(host.deliver(given, record).outcome, Ok(()), "{line}");
    }
    assert_eq!(host.state("event/github.issues.opened"), Some(4));
    assert_eq!(host.state("sender/renovate[bot]"), Some(1));
}

#[test]
fn an_event_that_nobody_caused_is_counted_too() {
    let mut host = testing::Host::new();
    host.deliver(testing::event("github.ping"), record);
    assert_eq!(host.state("sender/nobody"), Some(1));
}

//! What `triage` promises, natively.

use super::*;

fn opened(labels: &[&str]) -> testing::Given {
    let labels: Vec<Json> = labels.iter().map(|name| json!({"name": name})).collect();
    testing::event("github.issues.opened").payload(json!({
        "action": "opened",
        "issue": {"number": 1, "title": "It is slow", "labels": labels},
        "repository": {"full_name": "a/a"},
    }))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, _, given| {
        host.deliver(given, triage)
    });
}

#[test]
fn the_operator_says_which_labels_are_urgent() {
    let table = [
        (None, vec!["bug"], "urgent"),
        (None, vec!["docs"], "normal"),
        (Some("security, outage"), vec!["docs", "outage"], "urgent"),
        (Some("security, outage"), vec!["bug"], "normal"),
    ];
    for (setting, labels, expected) in table {
        let mut host = testing::Host::new();
        if let Some(setting) = setting {
            host = host.with_config("urgent", setting);
        }
        let seen = host.deliver(opened(&labels), triage);
        assert_eq!(
            seen.emitted[0].payload["urgency"], expected,
            "{setting:?} {labels:?}"
        );
    }
}

#[test]
fn an_issue_without_its_number_is_rejected_with_the_path() {
    let seen = testing::event("github.issues.opened")
        .payload(json!({"action": "opened", "issue": {"title": "?"}, "repository": {"full_name": "a/a"}}))
        .call(triage);
    let reason = "the payload does not fit: issue: missing field `number`";
    assert!(seen.outcome.unwrap_err().reason().starts_with(reason));
}

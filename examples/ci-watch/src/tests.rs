//! What `ci-watch` promises, natively.

use super::*;

fn job(status: &str, conclusion: Option<&str>) -> testing::Given {
    testing::event("github.workflow_job.queued").payload(json!({
        "workflow_job": {"id": 7, "name": "test", "status": status, "conclusion": conclusion},
        "repository": {"full_name": "a/a"},
    }))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, name, given| {
        if name.starts_with("github.check_run.") {
            host.deliver(given, watch_check_run)
        } else {
            host.deliver(given, watch_workflow_job)
        }
    });
}

#[test]
fn a_build_that_ends_within_the_grace_never_counts_as_hanging() {
    let mut host = testing::Host::new();
    let first = host.deliver(job("queued", None), watch_workflow_job);
    assert_eq!(
        first.outcome,
        Err(Failure::retry("test of a/a is queued").after(PAUSE))
    );
    host.deliver(job("completed", Some("success")), watch_workflow_job);
    let second = host.deliver(job("queued", None).attempt(2), watch_workflow_job);
    assert_eq!(second.outcome, Ok(()));
    assert!(second.emitted.is_empty());
}

#[test]
fn a_check_run_and_a_job_of_one_number_are_two_builds() {
    let mut host = testing::Host::new();
    host.deliver(job("completed", Some("success")), watch_workflow_job);
    let run = testing::event("github.check_run.created").payload(json!({
        "check_run": {"id": 7, "name": "lint", "status": "queued", "conclusion": null},
        "repository": {"full_name": "a/a"},
    }));
    assert!(host.deliver(run, watch_check_run).outcome.is_err());
}

//! What `stars` promises, natively.

use super::*;

fn star(repository: &str) -> testing::Given {
    testing::event("github.star.created").payload(json!({
        "repository": {"full_name": repository},
        "sender": {"login": "octocat"},
    }))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, name, given| match name {
        "github.star.created" => host.deliver(given, count_star),
        "github.star.deleted" => host.deliver(given, uncount_star),
        other => panic!("no handler takes {other}"),
    });
}

#[test]
fn repositories_are_counted_apart() {
    let mut host = testing::Host::new();
    for repository in ["a/a", "a/a", "b/b"] {
        assert_eq!(host.deliver(star(repository), count_star).outcome, Ok(()));
    }
    assert_eq!(host.state("stars/a/a"), Some(2));
    assert_eq!(host.state("stars/b/b"), Some(1));
}

#[test]
fn a_count_never_falls_below_zero() {
    let seen = star("a/a").call(uncount_star);
    assert_eq!(seen.outcome, Ok(()));
    assert_eq!(seen.emitted[0].payload["stars"], 0);
}

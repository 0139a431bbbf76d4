//! What `milestones` promises, natively.

use super::*;

fn starred(stars: u64) -> testing::Given {
    testing::event("repo.starred")
        .payload(json!({"repository": "a/a", "stars": stars, "by": "octocat"}))
}

#[test]
fn the_cases_hold() {
    cases::check(env!("CARGO_MANIFEST_DIR"), |host, _, given| {
        host.deliver(given, celebrate)
    });
}

#[test]
fn without_a_setting_the_powers_of_ten_are_round() {
    for (stars, round) in [
        (0, false),
        (1, true),
        (2, false),
        (10, true),
        (20, false),
        (1000, true),
    ] {
        assert_eq!(
            starred(stars).call(celebrate).emitted.len(),
            usize::from(round),
            "{stars}"
        );
    }
}

#[test]
fn a_milestone_is_celebrated_once() {
    let mut host = testing::Host::new();
    assert_eq!(host.deliver(starred(10), celebrate).emitted.len(), 1);
    assert_eq!(host.deliver(starred(10), celebrate).emitted.len(), 0);
    assert_eq!(host.deliver(starred(100), celebrate).emitted.len(), 1);
}

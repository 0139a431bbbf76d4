//! Counts review comments by file, welcomes newcomers, and says when a check of a
//! protected branch fails. Its handlers take types of their own, from
//! `wit/reviews.wit`: the host has read the payload before they are called.
//!
//! `reviews-py` is the same contract in Python.

use qx_guest::prelude::*;

/// The part that only a component has.
#[cfg(target_arch = "wasm32")]
mod component {
    wit_bindgen::generate!({
        path: ["../../wit/1.0.0", "wit"],
        world: "examples:reviews/reviews",
        with: { "qx:events/types@1.0.0": qx_guest::contract::types },
        generate_all,
    });

    use examples::reviews::events::{Association, CheckState};
    use qx_guest::contract::{answer, types};

    struct Reviews;

    impl Guest for Reviews {
        fn on_review_comment(
            event: ReviewComment,
            context: types::Context,
        ) -> Result<(), types::Failure> {
            let comment = &event.comment;
            let newcomer = match comment.author_association {
                Association::FirstTimeContributor | Association::FirstTimer => true,
                Association::Owner
                | Association::Member
                | Association::Collaborator
                | Association::Contributor
                | Association::Mannequin
                | Association::None => false,
            };
            let place = super::Place {
                repository: &event.repository.full_name,
                path: &comment.path,
                line: comment.line,
            };
            answer(|| {
                super::commented(&place, newcomer.then_some(&comment.user.login), &context.id)
            })
        }

        fn on_status(status: Status) -> Result<(), types::Failure> {
            let protected = status.branches.iter().filter(|branch| branch.protected);
            let branches: Vec<&str> = protected.map(|branch| branch.name.as_str()).collect();
            match status.state {
                CheckState::Error | CheckState::Failure => answer(|| {
                    super::failed(&status.repository.full_name, &status.context, &branches)
                }),
                CheckState::Pending | CheckState::Success => Ok(()),
            }
        }
    }

    export!(Reviews);
}

/// Where somebody commented.
#[derive(Debug)]
pub struct Place<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The file in it.
    pub path: &'a str,
    /// The line, where it is about one.
    pub line: Option<u32>,
}

/// Counts a comment, and welcomes its author where he is new.
///
/// # Errors
/// When the state or the event cannot be kept.
pub fn commented(place: &Place<'_>, newcomer: Option<&String>, id: &str) -> Result<(), Failure> {
    let key = format!("comments/{}/{}", place.repository, place.path);
    let comments = state::get(&key)?.unwrap_or(0_u64) + 1;
    state::set(&key, &comments)?;
    if let Some(login) = newcomer {
        emit(
            "review.newcomer",
            &json!({"login": login, "repository": place.repository, "event": id}),
        )?;
    }
    let line = place
        .line
        .map_or_else(String::new, |line| format!(":{line}"));
    log::info!("{}{line} has {comments} comments", place.path);
    Ok(())
}

/// Says that a check failed, if a protected branch is at that commit.
///
/// # Errors
/// When the event cannot be kept.
pub fn failed(repository: &str, check: &str, branches: &[&str]) -> Result<(), Failure> {
    if branches.is_empty() {
        return Ok(());
    }
    emit(
        "build.broken",
        &json!({"repository": repository, "check": check, "branches": branches}),
    )?;
    log::warn!("{check} failed on {}", branches.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_counted_by_file_and_newcomers_welcomed() {
        let place = Place {
            repository: "a/b",
            path: "README.md",
            line: None,
        };
        let mut host = testing::Host::new().with_state("comments/a/b/README.md", &1);
        let event = testing::event("github.pull_request_review_comment.created").payload(json!({}));
        let login = "ada".to_owned();
        let seen = host.deliver(event, |_: Event<Json>| commented(&place, Some(&login), "1"));
        assert_eq!(seen.outcome, Ok(()));
        assert_eq!(seen.emitted[0].name, "review.newcomer");
        assert_eq!(host.state("comments/a/b/README.md"), Some(2));
    }

    /// The schema of an event, as `qx-host schema` prints it.
    fn schema(event: &str) -> jsonschema::Validator {
        let file = format!("{}/schema/{event}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let schema: Json = serde_json::from_str(&text).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    }

    #[test]
    fn real_events_are_valid_by_the_schema_and_others_are_not() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../github/webhooks.jsonl");
        let recorded = std::fs::read_to_string(file).unwrap();
        let mut valid = 0;
        for event in [
            "github.status",
            "github.pull_request_review_comment.created",
        ] {
            let schema = schema(event);
            for line in recorded.lines() {
                let line: Json = serde_json::from_str(line).unwrap();
                if line["event_name"] == event {
                    let wrong: Vec<_> = schema.iter_errors(&line["payload"]).collect();
                    assert!(wrong.is_empty(), "{event}: {wrong:?}");
                    valid += 1;
                }
            }
        }
        assert_eq!(valid, 7);
        let status = |state: &str, id: Json| {
            json!({"id": id, "sha": "1", "context": "c", "state": state, "branches": [],
                "repository": {"full_name": "a/b", "private": false}})
        };
        let schema = schema("github.status");
        assert!(schema.is_valid(&status("FAILURE", json!(u64::MAX))));
        assert!(!schema.is_valid(&status("exploded", json!(1))));
        assert!(!schema.is_valid(&status("failure", json!(-1))));
        assert!(!schema.is_valid(&json!({})));
    }
}

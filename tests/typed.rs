//! Handlers with types of their own, in the whole host: what their schema says of real
//! events, what becomes of events that do not fit, and what is said before.
#![cfg(test)]

use acceptance::{Way, World, component, repository};
use serde_json::{Value, json};

/// The schema of an event, as the command prints it.
async fn schema(world: &World, component_name: &str, event: &str) -> Value {
    let file = component(component_name).display().to_string();
    let args = ["schema", &file, "--format", "json-schema", "--event", event];
    let ran = world.qx(&args).await;
    ran.ok().json()
}

/// The files are what `cargo test` in examples/ holds the recorded events against, with
/// a validator.
#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_beside_the_example_are_what_the_command_prints() {
    let world = World::bare(Way::Embedded).await;
    for event in [
        "github.status",
        "github.pull_request_review_comment.created",
    ] {
        let own = schema(&world, "reviews", event).await;
        let file = repository().join(format!("examples/reviews/schema/{event}.json"));
        if std::env::var_os("QX_BLESS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("{own:#}\n")).unwrap();
        }
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(
            kept, own,
            "QX_BLESS=1 cargo test -p acceptance --test suites schema"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_the_same_in_every_language() {
    let world = World::bare(Way::Embedded).await;
    let mut texts = Vec::new();
    for name in ["reviews", "reviews-py", "reviews-ts", "reviews-c"] {
        let file = component(name).display().to_string();
        let ran = world.qx(&["schema", &file]).await.ok();
        assert!(
            ran.stdout
                .contains("// github.status, version 1: `status`, taken by on-status"),
            "{}",
            ran.stdout
        );
        let (_, types) = ran.stdout.split_once("interface events").unwrap();
        assert!(
            types.contains("    author-association: association,"),
            "{types}"
        );
        // One of the toolchains keeps what the author wrote beside the types.
        let bare = types
            .lines()
            .filter(|line| !line.trim_start().starts_with("///"));
        texts.push(bare.collect::<Vec<_>>().join("\n"));
    }
    for other in &texts[1..] {
        assert_eq!(&texts[0], other);
    }
    let file = component("stars").display().to_string();
    let generic = world
        .qx(&["schema", &file, "--format", "json-schema"])
        .await
        .ok();
    let generic: Value = serde_json::from_str(&generic.stdout).unwrap();
    assert_eq!(generic[0]["schema"], true);
    let none = world.qx(&["schema", &file, "--event", "a.b"]).await;
    none.fails(2, &["`a.b`", "github.star.created"]);
}

/// A status that is of the type, but for its state.
fn status(state: &str) -> Value {
    json!({
        "id": 1, "sha": "6113", "context": "ci/build", "state": state, "description": null,
        "branches": [{"name": "main", "protected": true}],
        "repository": {"full_name": "a/b", "private": false},
    })
}

/// The cases of `examples/reviews` hold for each of them as well, see `tests/examples.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_language_a_typed_value_arrives_and_what_does_not_fit_is_rejected_with_its_path() {
    let components = ["reviews", "reviews-c", "reviews-py", "reviews-ts"];
    let mut world = World::with(Way::Embedded, &[]).await;
    world.run().await;
    world.serves_in_turn(&components).await;
    drop(world.trigger("github.status", &status("failure")).await);
    let emitted = "SELECT json_extract(payload, '$.payload') FROM qx_outbox_events
        WHERE event_name = 'build.broken'";
    let look = async || match world.rows(emitted).await {
        rows if rows.len() == components.len() => Ok(rows),
        rows => Err(format!("{rows:?}")),
    };
    for row in world.eventually("an event of each", look).await {
        let said: Value = serde_json::from_str(&row[0]).unwrap();
        let expected = json!({"repository": "a/b", "check": "ci/build", "branches": ["main"]});
        assert_eq!(said, expected);
    }

    let mut wrong = status("failure");
    wrong["branches"] = json!([{"name": "main", "protected": "yes"}]);
    drop(world.trigger("github.status", &wrong).await);
    let letters = "SELECT component, last_error FROM qx_dead_letters ORDER BY 1";
    let look = async || match world.rows(letters).await {
        rows if rows.len() == components.len() => Ok(rows),
        rows => Err(format!("{rows:?}")),
    };
    let seen = world.eventually("a dead letter of each", look).await;
    for (letter, component) in seen.iter().zip(components) {
        assert_eq!(letter[0], component);
        let said = "the payload does not fit `on-status`: branches[0].protected: expected";
        assert!(letter[1].contains(said), "{letter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_whose_types_do_not_fit_what_waits_says_so_before_it_is_in_service() {
    let mut world = World::with(Way::Embedded, &[]).await;
    for state in ["failure", "exploded", "imploded"] {
        drop(world.trigger("github.status", &status(state)).await);
    }
    world.install("reviews");
    world.run().await;
    let listed = world
        .lists("reviews", |seen| seen["state"] == "serving")
        .await;
    let warning = listed["warning"].as_str().unwrap();
    assert!(
        warning.starts_with("2 of the newest 3 events that it takes do not fit its types")
            && warning.contains(": state: expected \"error\" | \"failure\""),
        "{warning}"
    );
    let look = async || {
        let ran = world.qx(&["dlq", "list", "--output", "json"]).await.ok();
        let letters = ran.json().as_array().unwrap().clone();
        if letters.len() == 2 {
            Ok(letters)
        } else {
            Err(ran.stdout)
        }
    };
    let letters = world.eventually("two dead letters", look).await;
    for letter in letters {
        let reason = letter["reason"].as_str().unwrap();
        assert!(
            reason.contains("the payload does not fit `on-status`: state: expected"),
            "{reason}"
        );
        assert!(
            !reason.contains("ploded"),
            "no value of the payload: {reason}"
        );
        assert_eq!(letter["attempts"], 1);
    }
}

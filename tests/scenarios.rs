//! `qx-host test` as CI depends on it: its exit codes, its reports, and what it
//! writes into files.
#![cfg(test)]

use acceptance::{Ran, Way, World, component};
use serde_json::{Value, json};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const MISCONFIGURED: i32 = 2;

/// A star, and the first lines of what `stars` makes of it.
fn star(expect: &Value) -> String {
    let scenario = json!({
        "about": "a star",
        "state": {"stars/a/b": 41},
        "event": {
            "name": "github.star.created",
            "payload": {"repository": {"full_name": "a/b"}, "sender": {"login": "ada"}},
        },
        "expect": expect,
    });
    format!("{scenario:#}\n")
}

async fn world(scenarios: &[(&str, &str)]) -> World {
    let world = World::bare(Way::Embedded).await;
    std::fs::create_dir(world.path("cases")).unwrap();
    for (name, text) in scenarios {
        world.write(&format!("cases/{name}.json"), text);
    }
    world
}

async fn test(world: &World, more: &[&str]) -> Ran {
    let stars = component("stars").display().to_string();
    let args = ["test", "--component", &stars];
    world.qx(&[&args, more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_that_hold_are_exit_code_0_and_say_what_they_used() {
    let expect = json!({
        "outcome": "done",
        "emitted": [{"name": "repo.starred", "payload": {"repository": "a/b", "stars": 42, "by": "ada"}}],
        "state": {"stars/a/b": 42},
        "logs": [{"level": "info", "message": {"contains": "42 stars"}}],
        "at_most": {"memory_kb": 65536},
    });
    let world = world(&[
        ("star", &star(&expect)),
        ("other", &star(&json!({"outcome": "done"}))),
    ])
    .await;
    let ran = test(&world, &[]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    assert!(ran.stdout.contains("2 scenarios hold."), "{}", ran.stdout);

    let twice = [
        test(&world, &["--output", "json"]).await,
        test(&world, &["--output", "json"]).await,
    ];
    let reports: Vec<Value> = twice
        .iter()
        .map(|ran| serde_json::from_str(&ran.stdout).unwrap())
        .collect();
    let event = |report: &Value| report["components"][0]["scenarios"][1]["events"][0].clone();
    let first = event(&reports[0]);
    assert_eq!(first["outcome"], "done");
    assert!(first["wall_us"].as_u64().unwrap() > 0 && first["memory_bytes"].as_u64().unwrap() > 0);
    let fuel = first["fuel"].as_u64().unwrap();
    assert!(fuel > 1_000, "{fuel}");
    assert_eq!(event(&reports[1])["fuel"], fuel, "the same in every run");

    let one = test(&world, &["--filter", "sta"]).await;
    assert!(one.stdout.contains("1 scenarios hold."), "{}", one.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_hold_is_exit_code_1_and_shows_what_differs() {
    let expect = json!({
        "outcome": "done",
        "emitted": [{"name": "repo.starred", "payload": {"repository": "a/b", "stars": 43, "by": "ada"}}],
        "at_most": {"fuel": 10},
    });
    let world = world(&[("star", &star(&expect))]).await;
    let ran = test(&world, &["--junit", "out/junit.xml"]).await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    for said in [
        "FAIL star",
        "emitted",
        "\"stars\": 43",
        "\"stars\": 42",
        "at_most",
        "--update",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("outcome"),
        "what is right is not shown: {}",
        ran.stdout
    );
    let junit = std::fs::read_to_string(world.path("out/junit.xml")).unwrap();
    for said in [
        "<testsuite name=\"stars\" tests=\"1\"",
        "failures=\"1\"",
        "name=\"star\"",
        "\"stars\": 43",
        "event.1.fuel",
    ] {
        assert!(
            junit.contains(said) || junit.contains(&said.replace('"', "&quot;")),
            "{said}: {junit}"
        );
    }
    let report = test(&world, &["--output", "json"]).await;
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["held"], &report["failed"]), (&json!(0), &json!(1)));
    let event = &report["components"][0]["scenarios"][0]["events"][0];
    assert_eq!(event["differences"][0]["part"], "emitted");
    assert_eq!(event["differences"][0]["seen"][0]["payload"]["stars"], 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn update_writes_what_came_of_it_and_only_there() {
    let wrong = star(&json!({"outcome": "retry"}));
    let right = star(&json!({"outcome": "done"}));
    let new = "{\"about\": \"nothing is expected yet\",\n \"event\": {\"name\": \"github.star.created\", \"payload\": {}}}\n";
    let world = world(&[("wrong", &wrong), ("right", &right), ("new", new)]).await;
    let ran = test(&world, &[]).await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    assert!(
        ran.stdout.contains("nothing is expected yet"),
        "{}",
        ran.stdout
    );

    let ran = test(&world, &["--update"]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    assert!(ran.stdout.contains("2 were written anew"), "{}", ran.stdout);
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!(read("cases/right.json"), right);
    assert_eq!(read("cases/wrong.json"), star(&json!({"outcome": "done"})));
    let new: Value = serde_json::from_str(&read("cases/new.json")).unwrap();
    let reason = new["expect"]["outcome"]["reject"].as_str().unwrap();
    assert!(reason.contains("repository"), "{reason}");
    assert_eq!(new["expect"]["state"], json!({}));
    assert_eq!(test(&world, &[]).await.code, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_cannot_be_read_is_exit_code_2_with_every_fault_in_its_place() {
    let world = world(&[
        ("a", "{\"about\": \"a\",\n \"evnt\": {}}"),
        ("b", "{\"about\": \"b\", \"event\": {\"name\": \"x\", \"payload\": 1},\n \"expect\": {\"outcome\": \"fine\"}}"),
    ])
    .await;
    let said = [
        "cases/a.json:2:2: unknown key `evnt`; did you mean `event`?",
        "cases/b.json:2:",
        "`fine`",
    ];
    test(&world, &[]).await.fails(MISCONFIGURED, &said);
    let none = test(&world, &["--cases", "nowhere"]).await;
    none.fails(MISCONFIGURED, &["nowhere"]);
    let filtered = test(&world, &["--cases", "components", "--filter", "x"]).await;
    filtered.fails(MISCONFIGURED, &["no scenario"]);
    let here = world.qx(&["test"]).await;
    here.fails(MISCONFIGURED, &["holds no handler", "--component"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_names_and_versions_are_expected_by_their_words() {
    let slow = |limits: Value, expect: Value| {
        json!({
            "about": "what the host does, not the handler",
            "limits": limits,
            "event": {
                "name": "github.star.created",
                "payload": {"repository": {"full_name": "a/b"}, "sender": {"login": "ada"}},
            },
            "expect": expect,
        })
        .to_string()
    };
    let named = |name: &str, version: u32, outcome: &str| {
        json!({
            "about": "an event that does not reach it",
            "event": {"name": name, "version": version, "payload": 1},
            "expect": {"outcome": outcome, "logs": []},
        })
        .to_string()
    };
    let limited = slow(
        json!({"host_calls": 1}),
        json!({"outcome": {"failed": "host_calls"}, "state": {}}),
    );
    let world = world(&[
        ("limited", &limited),
        ("stranger", &named("order.placed", 1, "not_taken")),
        ("later", &named("github.star.created", 9, "unknown_version")),
    ])
    .await;
    let ran = test(&world, &[]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
}

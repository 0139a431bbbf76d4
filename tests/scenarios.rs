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
    test_of(world, "stars", more).await
}

async fn test_of(world: &World, name: &str, more: &[&str]) -> Ran {
    let wasm = component(name).display().to_string();
    let args = ["test", "--component", &wasm];
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
    assert!(ran.stdout.contains("2 scenarios held."), "{}", ran.stdout);

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
    assert!(one.stdout.contains("1 scenario held."), "{}", one.stdout);
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
    assert!(ran.stdout.contains("Written anew: 2"), "{}", ran.stdout);
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

/// A package that was published, and what `notify` is answered when it tells of it.
fn published(more: &Value) -> String {
    let mut scenario = json!({
        "about": "a package",
        "secrets": {"chat_token": "planted-token"},
        "event": {
            "name": "github.package.published",
            "payload": {
                "package": {"name": "engine", "package_type": "npm", "package_version": {"version": "1.0.0"}},
                "repository": {"full_name": "ada/engine"},
                "sender": {"login": "ada"},
            },
        },
    });
    let own = scenario.as_object_mut().unwrap();
    own.extend(more.as_object().unwrap().clone());
    format!("{scenario:#}\n")
}

/// The request that `notify` sends, or another.
fn posted(to: &str, answer: &Value) -> Value {
    let mut exchange = json!({"request": {"method": "POST", "url": to}});
    let own = exchange.as_object_mut().unwrap();
    own.extend(answer.as_object().unwrap().clone());
    exchange
}

const MESSAGES: &str = "https://chat.example.com/api/messages";

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_by_the_scenario_and_one_that_differs_shows_where() {
    let taken = json!({"response": {"status": 200, "body": {"id": "m-1"}}});
    let right = published(&json!({
        "http": [posted(MESSAGES, &taken)],
        "expect": {"outcome": "done", "state": {"told/ada/engine": 1}},
    }));
    let late = published(&json!({
        "http": [posted(MESSAGES, &json!({"error": "timeout"}))],
        "expect": {"outcome": {"retry": {"reason": {"contains": "no whole answer"}}}, "state": {}},
    }));
    let held = world(&[("right", &right), ("late", &late)]).await;
    let ran = test_of(
        &held,
        "notify",
        &["--output", "json", "--junit", "junit.xml"],
    )
    .await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    let event = &ran.json()["components"][0]["scenarios"][1]["events"][0];
    assert_eq!(event["http_requests"], 1);
    assert_eq!(event["sql_statements"], 0);
    let junit = std::fs::read_to_string(held.path("junit.xml")).unwrap();
    assert!(junit.contains("event.1.http_requests"), "{junit}");

    let elsewhere = published(&json!({
        "http": [posted("https://chat.example.com/api/other", &taken)],
    }));
    let unused = published(&json!({
        "http": [posted(MESSAGES, &taken), posted(MESSAGES, &taken)],
        "expect": {"outcome": "done"},
    }));
    let unexpected = published(&json!({"expect": {"outcome": "retry"}}));
    let world = world(&[
        ("elsewhere", &elsewhere),
        ("unused", &unused),
        ("unexpected", &unexpected),
    ])
    .await;
    let ran = test_of(
        &world,
        "notify",
        &["--output", "json", "--junit", "junit.xml"],
    )
    .await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    let report = ran.json();
    assert_eq!((&report["held"], &report["failed"]), (&json!(0), &json!(3)));
    for scenario in report["components"][0]["scenarios"].as_array().unwrap() {
        let difference = &scenario["events"][0]["differences"][0];
        assert_eq!(difference["part"], "http", "{scenario}");
    }
    let ran = test_of(&world, "notify", &["--filter", "elsewhere"]).await;
    for said in [
        "http (- expected, + seen)",
        "-       \"url\": \"https://chat.example.com/api/other\"",
        "+       \"url\": \"https://chat.example.com/api/messages\"",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("planted-token"),
        "a header that nobody named is not shown: {}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn update_writes_down_requests_and_statements_until_the_handler_asks_for_nothing_new() {
    let new = published(&json!({}));
    let world = world(&[("new", &new)]).await;
    let read = || -> Value {
        let text = std::fs::read_to_string(world.path("cases/new.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let ran = test_of(&world, "notify", &["--update"]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    let mut written = read();
    let sent = &written["http"][0]["request"];
    assert_eq!(sent["headers"]["authorization"], "Bearer planted-token");
    assert_eq!(
        sent["body"]["text"],
        "ada/engine: ada published engine 1.0.0 (npm)"
    );
    assert_eq!(written["http"][0]["response"], json!({"status": 200}));
    assert!(
        written["expect"]["outcome"]["reject"].is_string(),
        "{written}"
    );
    assert_eq!(test_of(&world, "notify", &[]).await.code, DONE);

    // Its author puts the answer right.
    written["http"][0]["response"] = json!({"status": 200, "body": {"id": "m-1"}});
    let text = format!("{written:#}");
    world.write("cases/new.json", &text);
    assert_eq!(test_of(&world, "notify", &[]).await.code, FAILED);
    assert_eq!(test_of(&world, "notify", &["--update"]).await.code, DONE);
    let written = read();
    assert_eq!(written["expect"]["outcome"], "done");
    assert_eq!(
        written["http"][0]["response"]["body"]["id"], "m-1",
        "an exchange that held stays"
    );

    let deployed = json!({
        "about": "a deployment",
        "event": {
            "name": "github.deployment_status.created",
            "payload": {
                "deployment_status": {"state": "success", "environment": "production", "updated_at": "2026-03-01T10:00:00Z"},
                "deployment": {"sha": "f95f852"},
                "repository": {"full_name": "a/b"},
            },
        },
    });
    world.write("cases/new.json", &format!("{deployed:#}"));
    let ran = test_of(&world, "environments", &["--update"]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    let written = read();
    assert_eq!(written["sql"][0]["count"], 0);
    assert_eq!(written["sql"][1]["rows"], json!([]));
    assert_eq!(
        written["sql"][0]["parameters"],
        json!([
            "a/b",
            "production",
            "success",
            "f95f852",
            "2026-03-01T10:00:00Z"
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_granted_does_not_leave() {
    let refused = json!({"outcome": {"retry": {"reason": {"contains": "[grants.notify]"}}}});
    let operator = published(&json!({
        "allow": ["https://other.example.com"],
        "expect": refused,
    }));
    // Its own file names one place, and narrows what the operator allows.
    let own_file = published(&json!({
        "allow": ["https://other.example.com", "https://chat.example.com"],
        "config": {"chat": "https://other.example.com"},
        "expect": refused,
    }));
    let nobody = published(&json!({
        "config": {"chat": "https://other.example.com"},
        "expect": refused,
    }));
    let world = world(&[
        ("operator", &operator),
        ("own-file", &own_file),
        ("nobody", &nobody),
    ])
    .await;
    let ran = test_of(&world, "notify", &[]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");

    // What was expected and did not leave is told with the reason.
    let taken = json!({"response": {"status": 200}});
    let expected = published(&json!({
        "allow": ["https://other.example.com"],
        "http": [posted(MESSAGES, &taken)],
    }));
    world.write("cases/operator.json", &expected);
    let ran = test_of(&world, "notify", &["--filter", "operator"]).await;
    assert_eq!(ran.code, FAILED, "{ran:?}");
    assert!(
        ran.stdout.contains("\"note\": \"denied: `notify` may not"),
        "{}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_configuration_grants_and_gives_none_of_its_secrets() {
    let asks = published(&json!({
        "secrets": {},
        "expect": {"outcome": {"retry": {"reason": {"contains": "has no secret `chat_token`"}}}},
    }));
    let taken = json!({"response": {"status": 200, "body": {"id": "m-1"}}});
    let told = published(&json!({
        "http": [posted(MESSAGES, &taken)],
        "expect": {"outcome": "done"},
    }));
    let world = world(&[("asks", &asks), ("told", &told)]).await;
    let host = |grants: &str| format!("[secrets]\nchat_token = \"real-token\"\n{grants}");
    world.write("host.toml", &host(""));
    let ran = test_of(&world, "notify", &["--config", "host.toml"]).await;
    ran.fails(FAILED, &["the host does not grant \"http\""]);
    world.write(
        "host.toml",
        &host(
            "[grants.notify]\ncapabilities = [\"http\", \"secrets\"]\nsecrets = [\"chat_token\"]\n\
             http = [\"https://chat.example.com\"]\n",
        ),
    );
    let ran = test_of(&world, "notify", &["--config", "host.toml"]).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
}

//! What is deployed to a running host: how it comes into service, what keeps it out,
//! and that neither harms an event.
#![cfg(test)]

use acceptance::{Way, World, component, digest, rebuilt};
use qx_sandbox::testing::ping;
use serde_json::{Value, json};

const FAILED: i32 = 1;
const MISUSED: i32 = 2;
const UNREACHABLE: i32 = 3;

/// A running host on the embedded way with these components in service.
async fn running(components: &[&str]) -> World {
    let mut world = World::with(Way::Embedded, components).await;
    world.run().await;
    world.serves(components).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_up_is_kept_out_before_an_event_meets_it() {
    let world = running(&["stars"]).await;
    let good = std::fs::read(component("stars")).unwrap();
    world.put("stars.toml", b"[limits]\ncpu_ms = 60\nmemory_mb = 4\n");
    let spin = "(func $spin (loop (br 0))) (start $spin)";
    let fall = "(func $fall (unreachable)) (start $fall)";
    let grow = "(func $grow (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
        (unreachable)) (start $grow)";
    for (fields, part) in [(spin, "cpu: "), (fall, "trap: "), (grow, "memory: ")] {
        let bytes = ping("(call $ok)", fields);
        world.put("stars.wasm", &bytes);
        let says = |seen: &Value| {
            let reason = seen["reason"].as_str().unwrap_or_default();
            seen["step"] == "instantiate" && reason.contains(part)
        };
        let listed = world.lists("stars", says).await;
        assert_eq!(listed["state"], "degraded", "{listed}");
        assert_eq!(listed["digest"], digest(&good).as_str(), "{listed}");
    }
    world.put("new.wasm", &ping("(call $ok)", fall));
    let listed = world.lists("new", Value::is_object).await;
    assert_eq!(
        (&listed["state"], &listed["step"]),
        (&json!("broken"), &json!("instantiate"))
    );
}

const STAR: &str = "github.star.created";

fn star() -> Value {
    json!({"repository": {"full_name": "ada/engine"}, "sender": {"login": "ada"}})
}

/// The build that handled an event, as the ledger has it.
fn handled_by(event_id: &str) -> String {
    let id = event_id.replace('-', "").to_uppercase();
    format!(
        "SELECT lower(hex(digest)) FROM qx_inbox \
         WHERE hex(event_id) = '{id}' OR event_id = '{event_id}'"
    )
}

async fn a_star_is_handled_by(world: &World, build: &str) {
    let id = world.trigger(STAR, &star()).await;
    world.settles(&handled_by(&id), &[&[build]]).await;
}

/// Records so many events of a name.
async fn record(world: &World, name: &str, payload: &Value, times: usize) {
    let line = json!({"event_name": name, "payload": payload}).to_string();
    world.write("events.jsonl", &format!("{line}\n").repeat(times));
    drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
}

/// The history of a component, newest first: action, who, and the build.
async fn history(world: &World, component: &str) -> Vec<(String, String, String)> {
    let args = ["handlers", "history", component, "--output", "json"];
    let lines = world.qx(&args).await.ok().json();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let line = |line: &Value| (text(line, "action"), text(line, "by"), text(line, "digest"));
    lines.as_array().unwrap().iter().map(line).collect()
}

fn actions(history: &[(String, String, String)]) -> Vec<&str> {
    history.iter().map(|(action, ..)| action.as_str()).collect()
}

/// Writes a build beside the folder; returns its digest.
fn build_file(world: &World, file: &str, bytes: &[u8]) -> String {
    std::fs::write(world.path(file), bytes).unwrap();
    digest(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_loaded_swapped_and_rolled_back_and_the_history_says_by_whom() {
    let mut world = running(&["triage"]).await;
    let first = build_file(
        &world,
        "one.wasm",
        &std::fs::read(component("stars")).unwrap(),
    );
    let second = build_file(&world, "two.wasm", &rebuilt("stars", "two"));
    let load = [
        "handlers", "load", "one.wasm", "--name", "stars", "--by", "ada", "--output", "json",
    ];
    let loaded = world.qx(&load).await.ok().json();
    assert_eq!(
        (&loaded["state"], &loaded["digest"]),
        (&json!("serving"), &json!(first))
    );
    a_star_is_handled_by(&world, &first).await;

    let swap = [
        "handlers", "swap", "stars", "two.wasm", "--by", "bob", "--output", "json",
    ];
    let swapped = world.qx(&swap).await.ok().json();
    assert_eq!(
        (&swapped["digest"], &swapped["replaced"]),
        (&json!(second), &json!(first))
    );
    // What begins after the command begins on the build that it names.
    a_star_is_handled_by(&world, &second).await;

    let said = world
        .qx(&["handlers", "rollback", "stars", "--by", "eve"])
        .await
        .ok()
        .stdout;
    assert!(said.contains(first.get(..12).unwrap()), "{said}");
    a_star_is_handled_by(&world, &first).await;
    let lies = std::fs::read(world.path("components/stars.wasm")).unwrap();
    assert_eq!(digest(&lies), first, "a restart serves the same");

    let line = |action: &str, by: &str, digest: &str| {
        (action.to_owned(), by.to_owned(), digest.to_owned())
    };
    let expected = [
        line("rollback", "eve", &first),
        line("swap", "bob", &second),
        line("load", "ada", &first),
    ];
    assert_eq!(history(&world, "stars").await, expected);
    world.kill();
    world.run().await;
    world.serves(&["stars"]).await;
    assert_eq!(
        history(&world, "stars").await,
        expected,
        "a restart is no deploy"
    );

    let to = [
        "handlers",
        "rollback",
        "stars",
        "--to",
        second.get(..8).unwrap(),
    ];
    drop(world.qx(&to).await.ok());
    a_star_is_handled_by(&world, &second).await;
    let nowhere = world
        .qx(&["handlers", "rollback", "stars", "--to", "0000"])
        .await;
    nowhere.fails(FAILED, &["no build that begins with `0000`"]);
    let state = "SELECT value FROM qx_state WHERE component = 'stars'";
    assert_eq!(
        world.rows(state).await,
        [["4"]],
        "nothing lost, nothing twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_is_refused_with_its_step_and_a_restart_serves_what_was() {
    let mut world = running(&["stars"]).await;
    let good = digest(&std::fs::read(component("stars")).unwrap());
    a_star_is_handled_by(&world, &good).await;
    let fall = "(func $fall (unreachable)) (start $fall)";
    let bad = build_file(&world, "bad.wasm", &ping("(call $ok)", fall));
    let swap = ["handlers", "swap", "stars", "bad.wasm"];
    world
        .qx(&swap)
        .await
        .fails(FAILED, &["instantiate: ", "trap"]);
    let json = world
        .qx(&["handlers", "swap", "stars", "bad.wasm", "--output", "json"])
        .await;
    let json = (json.code, json.json());
    assert_eq!(
        (json.0, &json.1["state"], &json.1["step"]),
        (FAILED, &json!("broken"), &json!("instantiate"))
    );
    a_star_is_handled_by(&world, &good).await;
    let lines = history(&world, "stars").await;
    assert_eq!(actions(&lines), ["refuse", "refuse", "load"]);
    assert_eq!(lines[0].2, bad);

    world.kill();
    world.run().await;
    let listed = world
        .lists("stars", |seen| seen["state"] == "degraded")
        .await;
    assert_eq!(listed["digest"], good.as_str(), "as before the restart");
    a_star_is_handled_by(&world, &good).await;
    let back = world
        .qx(&["handlers", "load", "good.wasm", "--name", "stars"])
        .await;
    back.fails(FAILED, &["good.wasm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_into_the_folder_where_no_host_answers_or_nothing_is_in_service() {
    let mut world = World::with(Way::Embedded, &[]).await;
    build_file(
        &world,
        "stars.wasm",
        &std::fs::read(component("stars")).unwrap(),
    );
    world
        .qx(&["handlers", "load", "stars.wasm"])
        .await
        .fails(UNREACHABLE, &["qx-host run"]);
    world.run().await;
    let swap = world.qx(&["handlers", "swap", "stars", "stars.wasm"]).await;
    swap.fails(FAILED, &["stars is not in service", "handlers load"]);
    let name = world
        .qx(&["handlers", "load", "stars.wasm", "--name", "../x"])
        .await;
    name.fails(MISUSED, &["not legal"]);
    let back = world.qx(&["handlers", "rollback", "stars"]).await;
    back.fails(FAILED, &["no earlier build"]);
    let files = std::fs::read_dir(world.path("components")).unwrap().count();
    assert_eq!(files, 0);
}

/// A component that handles pings, its sidecar, and one that traps at each.
const FINE: &str = "(call $ok)";
const TRAPS: &str = "(unreachable)";

/// A running host where `pings` serves; each of its new builds is tried like this.
async fn trying(canary: &str) -> (World, String) {
    let world = running(&[]).await;
    let good = build_file(&world, "good.wasm", &ping(FINE, ""));
    world.write("pings.toml", &format!("[canary]\n{canary}"));
    let args = [
        "handlers",
        "load",
        "good.wasm",
        "--name",
        "pings",
        "--sidecar",
        "pings.toml",
    ];
    drop(world.qx(&args).await.ok());
    (world, good)
}

/// Waits until so many pings are marked as handled.
async fn pinged(world: &World, times: usize) {
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'pings'";
    world.settles(marks, &[&[&times.to_string()]]).await;
}

async fn builds_that_handled(world: &World) -> Vec<String> {
    let sql = "SELECT DISTINCT lower(hex(digest)) FROM qx_inbox WHERE component = 'pings'";
    world.rows(sql).await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_does_well_comes_into_service_for_all() {
    let (world, good) = trying("percent = 50\nevents = 20\ntime_s = 0\n").await;
    let better = build_file(
        &world,
        "better.wasm",
        &ping(FINE, "(global i32 (i32.const 1))"),
    );
    let swap = [
        "handlers",
        "swap",
        "pings",
        "better.wasm",
        "--by",
        "ada",
        "--output",
        "json",
    ];
    let swapped = world.qx(&swap).await.ok().json();
    assert_eq!(
        (&swapped["state"], &swapped["percent"]),
        (&json!("canary"), &json!(50))
    );
    let listed = world.listed("pings").await;
    assert_eq!(
        (&listed["digest"], &listed["canary"]["digest"]),
        (&json!(good), &json!(better))
    );
    record(&world, "ping", &json!({}), 80).await;
    let listed = world
        .lists("pings", |seen| seen["digest"] == better.as_str())
        .await;
    assert_eq!(
        (&listed["state"], &listed["canary"]),
        (&json!("serving"), &Value::Null)
    );
    pinged(&world, 80).await;
    let mut builds = builds_that_handled(&world).await;
    let mut both = vec![good, better];
    builds.sort();
    both.sort();
    assert_eq!(builds, both, "both had their share");
    let lines = history(&world, "pings").await;
    assert_eq!(actions(&lines), ["canary-promote", "canary-start", "load"]);
    assert_eq!((&*lines[0].1, &*lines[1].1), ("canary", "ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_traps_is_taken_back_refused_for_good_and_costs_no_event() {
    let (mut world, good) = trying("percent = 50\nfailed_percent = 0\n").await;
    let bad = build_file(&world, "bad.wasm", &ping(TRAPS, ""));
    let swap = ["handlers", "swap", "pings", "bad.wasm"];
    let said = world.qx(&swap).await.ok().stdout;
    assert!(said.contains("is tried with 50 %"), "{said}");
    record(&world, "ping", &json!({}), 40).await;
    pinged(&world, 40).await;
    let is_back = |seen: &Value| seen["digest"] == good.as_str() && seen["canary"].is_null();
    let listed = world.lists("pings", is_back).await;
    assert_eq!(listed["state"], "serving");
    let reason = listed["reason"].as_str().unwrap();
    assert!(reason.contains("tried and taken back: 1 of"), "{reason}");
    assert_eq!(builds_that_handled(&world).await, [good.as_str()]);
    let dead = world
        .qx(&["dlq", "list", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(dead, json!([]), "no event is a canary's victim");
    assert_eq!(
        actions(&history(&world, "pings").await)[..2],
        ["canary-rollback", "canary-start"]
    );
    let lies = async || {
        let lies = digest(&std::fs::read(world.path("components/pings.wasm")).unwrap());
        if lies == good { Ok(()) } else { Err(lies) }
    };
    world
        .eventually("the old build is back in the folder", lies)
        .await;

    // Neither a copy into the folder nor a restart nor the same command tries it again.
    world
        .qx(&swap)
        .await
        .fails(FAILED, &["tried and taken back", "--force"]);
    world.put("pings.wasm", &ping(TRAPS, ""));
    world
        .eventually("the old build is back in the folder", lies)
        .await;
    world.kill();
    world.put("pings.wasm", &ping(TRAPS, ""));
    world.run().await;
    let listed = world.lists("pings", is_back).await;
    assert_ne!(listed["digest"], bad.as_str());
    record(&world, "ping", &json!({}), 10).await;
    pinged(&world, 50).await;
    assert_eq!(builds_that_handled(&world).await, [good.as_str()]);

    let force = ["handlers", "load", "bad.wasm", "--name", "pings", "--force"];
    let said = world.qx(&force).await.ok().stdout;
    assert!(said.contains("is tried"), "{said}");
    // And a person ends it.
    drop(world.qx(&["handlers", "rollback", "pings"]).await.ok());
    world.lists("pings", is_back).await;
    assert_eq!(
        actions(&history(&world, "pings").await)[0],
        "canary-rollback"
    );
}

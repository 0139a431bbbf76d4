//! The command line as scripts depend on it: what is refused and with which exit
//! code, what is recorded, and the shapes of the listings.
#![cfg(test)]

use acceptance::{Ran, Way, World};
use serde_json::{Value, json};

/// The exit codes of `qx-host --help`.
const FAILED: i32 = 1;
const MISCONFIGURED: i32 = 2;
const UNREACHABLE: i32 = 3;

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_recorded_is_refused_with_its_reason() {
    let world = World::with(Way::Embedded, &[]).await;
    for (args, said) in [
        (
            &["two words"][..],
            &["`two words` is not legal", "dot-separated"][..],
        ),
        (&["order.*"], &["`order.*` is not legal"]),
        (&["order", "--data", "{x"], &["--data is not JSON", "@file"]),
        (
            &["order", "--data", "@nothing.json"],
            &["nothing.json cannot be read"],
        ),
        (&["order", "--traceparent", "00-1-2-3"], &["no W3C context"]),
        (&["order", "--tenant", "ada"], &["--tenant"]),
        (&[], &["EVENT_NAME"]),
    ] {
        let args: Vec<&str> = ["trigger"].iter().chain(args).copied().collect();
        world.qx(&args).await.fails(MISCONFIGURED, said);
    }
    let lines =
        "{\"event_name\": \"a\", \"payload\": 1}\n\n{\"event_name\": \"b c\", \"payload\": 1}\n";
    world.write("events.jsonl", lines);
    let ran = world.qx(&["trigger", "--lines", "events.jsonl"]).await;
    ran.fails(MISCONFIGURED, &["events.jsonl:3", "`b c`"]);
    let count = "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events";
    assert_eq!(
        world.rows(count).await,
        [["0"]],
        "all of the events, or none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_triggered_is_in_the_row() {
    let world = World::with(Way::Embedded, &[]).await;
    let (tenant, correlation) = (
        "2b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
        "3b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
    );
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.write(
        "order.json",
        "{\"n\": 12345678901234567890.10, \"text\": \"\u{fc}\"}",
    );
    let args = [
        "trigger",
        "order.placed",
        "--data",
        "@order.json",
        "--event-version",
        "2",
        "--tenant",
        tenant,
        "--correlation",
        correlation,
        "--traceparent",
        parent,
    ];
    drop(world.qx(&args).await.ok());
    let rows = world
        .rows("SELECT payload, traceparent FROM qx_outbox_events")
        .await;
    let envelope: Value = serde_json::from_str(&rows[0][0]).unwrap();
    assert_eq!(envelope["event_name"], "order.placed");
    assert_eq!(envelope["event_version"], 2);
    assert_eq!(envelope["tenant_id"], tenant);
    assert_eq!(envelope["correlation_id"], correlation);
    assert!(
        rows[0][0].contains("12345678901234567890.10"),
        "{}",
        rows[0][0]
    );
    assert_eq!(rows[0][1], parent);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_host_the_handlers_cannot_be_listed_and_it_says_why() {
    let world = World::with(Way::Embedded, &["stars"]).await;
    let ran = world.qx(&["handlers", "list"]).await;
    ran.fails(
        UNREACHABLE,
        &["no host answers at", world.admin(), "`qx-host run`"],
    );
    let off = world.config().replace(world.admin(), "");
    world.write("qx-host.toml", &off);
    world
        .qx(&["handlers", "list"])
        .await
        .fails(MISCONFIGURED, &["[admin] listen"]);
}

fn has_types(entry: &Value, strings: &[&str], numbers: &[&str]) {
    for key in strings {
        assert!(entry[*key].is_string(), "{key} in {entry}");
    }
    for key in numbers {
        assert!(entry[*key].is_u64(), "{key} in {entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_have_the_shapes_that_scripts_depend_on() {
    let mut world = World::with(Way::Embedded, &["triage"]).await;
    let status = ["outbox", "status", "--output", "json"];
    let list = ["dlq", "list", "--output", "json"];
    let empty = json!({
        "pending": 0, "oldest_pending_ms": 0, "delayed": 0, "published": 0, "failed": 0,
    });
    assert_eq!(world.qx(&status).await.ok().json(), empty);
    assert_eq!(world.qx(&list).await.ok().json(), json!([]));

    let spam = json!({
        "action": "locked",
        "issue": {"number": 1, "title": "it", "active_lock_reason": "spam"},
        "repository": {"full_name": "ada/engine"},
    });
    let event_id = world.trigger("github.issues.locked", &spam).await;
    let waiting = world.qx(&status).await.ok().json();
    assert_eq!(waiting["pending"], 1);
    has_types(
        &waiting,
        &[],
        &[
            "pending",
            "delayed",
            "oldest_pending_ms",
            "published",
            "failed",
        ],
    );
    assert_eq!(keys(&waiting).len(), 5, "{waiting}");

    world.run().await;
    let one = "SELECT CAST(count(*) AS TEXT) FROM qx_dead_letters";
    world.settles(one, &[&["1"]]).await;
    let letters = world.qx(&list).await.ok().json();
    let letter = &letters[0];
    has_types(
        letter,
        &[
            "id",
            "component",
            "event_name",
            "event_id",
            "reason",
            "failed_at",
        ],
        &["attempts"],
    );
    assert_eq!(letter["component"], "triage");
    assert_eq!(letter["event_name"], "github.issues.locked");
    assert_eq!(letter["event_id"], event_id.as_str());
    assert_eq!(letter["attempts"], 1);
    assert_eq!(letter["reason"], "rejected: ada/engine#1 is locked as spam");

    let ran = world
        .qx(&["handlers", "list", "--output", "json"])
        .await
        .ok();
    let listed = &ran.json()[0];
    has_types(listed, &["component", "digest", "state"], &[]);
    assert_eq!(listed["component"], "triage");
    assert_eq!(listed["state"], "serving");
    assert_eq!(listed["events"], json!(["github.issues.*"]));
    assert_eq!(listed["digest"].as_str().unwrap().len(), 64);
    world
        .settles(
            "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events WHERE published_at IS NOT NULL",
            &[&["1"]],
        )
        .await;
    let done =
        json!({"pending": 0, "oldest_pending_ms": 0, "delayed": 0, "published": 1, "failed": 0});
    assert_eq!(world.qx(&status).await.ok().json(), done);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_for_people_name_the_same_things() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    assert!(
        world
            .qx(&["dlq", "list"])
            .await
            .ok()
            .stdout
            .contains("no dead letters")
    );
    let status = world.qx(&["outbox", "status"]).await.ok().stdout;
    assert!(
        status.contains("PENDING") && status.contains("SET ASIDE"),
        "{status}"
    );
    world.run().await;
    world.serves(&["stars"]).await;
    let listed = world.qx(&["handlers", "list"]).await.ok().stdout;
    for part in ["COMPONENT", "stars", "serving", "github.star.created"] {
        assert!(listed.contains(part), "no {part} in {listed}");
    }
    world.remove("stars.wasm");
    world.lists("stars", Value::is_null).await;
    let listed = world.qx(&["handlers", "list"]).await.ok().stdout;
    assert!(
        listed.contains("no components") && listed.contains("components"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_where_nothing_is_wrong() {
    let world = World::with(Way::Servers, &["stars"]).await;
    let key = "RWQtfnTkFqWRZWnwqpmZ1zXiIL7h02kfbgoJ+9+54ieeOL3LCFHwBr36";
    let trusting = format!("[components]\ntrusted_keys = [\"{key}\"]\n");
    let config = world.config().replace("[components]\n", &trusting);
    world.write("qx-host.toml", &config);
    let ran = world.qx(&["doctor", "--output", "json"]).await.ok();
    for finding in ran.json().as_array().unwrap() {
        assert_eq!(finding["state"], "ok", "{finding}");
    }
    let told = world.qx(&["doctor"]).await.ok().stdout;
    for part in [
        "configuration",
        "database",
        "stream",
        "components",
        "signed with 6591A516E4747E2D only",
        "toolchain",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(
        !told.contains("only-for-tests"),
        "a password is shown: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_paths_are_refused() {
    let world = World::bare(Way::Embedded).await;
    let refused = |ran: Ran, said: &[&str]| ran.fails(FAILED, said);
    for name in ["../evil", "Evil", "a/b", "1st", "self"] {
        refused(world.qx(&["new", name]).await, &[name]);
    }
    assert_eq!(
        std::fs::read_dir(world.dir()).unwrap().count(),
        2,
        "something was made"
    );
    for name in ["../evil", "a/b", "..%2fevil", "/etc/passwd", ""] {
        for verb in ["pause", "resume"] {
            let ran = world.qx(&["handlers", verb, name]).await;
            ran.fails(MISCONFIGURED, &["is not legal"]);
        }
    }
    let ran = world.qx(&["build", "nowhere"]).await;
    ran.fails(
        FAILED,
        &[
            "nowhere has neither Cargo.toml nor handler.toml",
            "`qx-host new",
        ],
    );
}

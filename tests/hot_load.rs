//! The folder of a running host: what is added, replaced, removed or broken there
//! takes effect on the next event, and no event is lost or repeated by it.
#![cfg(test)]

use std::os::unix::fs::symlink;

use acceptance::{Way, World, component, digest, rebuilt};
use qx_sandbox::testing::ping;
use serde_json::{Value, json};

const STAR: &str = "github.star.created";
const ISSUE: &str = "github.issues.opened";

fn star() -> Value {
    json!({"repository": {"full_name": "ada/engine"}, "sender": {"login": "ada"}})
}

fn issue(label: &str) -> Value {
    json!({
        "action": "opened",
        "issue": {"number": 1, "title": "it", "labels": [{"name": label}]},
        "repository": {"full_name": "ada/engine"},
    })
}

/// The build that handled an event, as the ledger has it.
fn handled_by(event_id: &str, way: Way) -> String {
    match way {
        Way::Embedded => {
            let id = event_id.replace('-', "").to_uppercase();
            format!(
                "SELECT lower(hex(digest)) FROM qx_inbox \
                 WHERE hex(event_id) = '{id}' OR event_id = '{event_id}'"
            )
        }
        Way::Servers => {
            format!("SELECT encode(digest, 'hex') FROM qx_inbox WHERE event_id = '{event_id}'")
        }
    }
}

/// A running host on the embedded way with these components in service.
async fn running(components: &[&str]) -> World {
    let mut world = World::with(Way::Embedded, components).await;
    world.run().await;
    world.serves(components).await;
    world
}

/// Records a star and waits until this build has handled it.
async fn a_star_is_handled_by(world: &World, build: &str) {
    let id = world.trigger(STAR, &star()).await;
    world
        .settles(&handled_by(&id, world.way()), &[&[build]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_added_takes_the_next_event() {
    let world = running(&[]).await;
    let listed = world
        .qx(&["handlers", "list", "--output", "json"])
        .await
        .ok();
    assert_eq!(listed.json(), json!([]));
    world.install("stars");
    world.serves(&["stars"]).await;
    let build = digest(&std::fs::read(component("stars")).unwrap());
    a_star_is_handled_by(&world, &build).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_instance_never_serves_an_event_after_its_build_was_replaced() {
    let says = |word: &str| {
        let data = format!("(data (i32.const 4096) \"{word}\")");
        ping(
            "(call $say (i32.const 4096) (i32.const 5)) (call $ok)",
            &data,
        )
    };
    let mut world = World::with(Way::Embedded, &[]).await;
    world.put("says.toml", b"[reuse]\nidle_s = 3600\n");
    world.run().await;
    for word in ["early", "later", "third"] {
        let build = says(word);
        world.put("says.wasm", &build);
        let digest = digest(&build);
        let is_new = |seen: &Value| seen["state"] == "serving" && seen["digest"] == digest.as_str();
        world.lists("says", is_new).await;
        for _ in 0..3 {
            let id = world.trigger("ping", &json!({})).await;
            world.prints(&id).await;
            let line = world.printed();
            let line = line
                .lines()
                .find(|line| line.contains(&id) && line.contains("qx_guest"));
            assert!(line.is_some_and(|line| line.contains(word)), "{line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_a_component_loses_and_repeats_nothing_while_events_keep_coming() {
    const EVENTS: usize = 40;
    let world = running(&["stars"]).await;
    let line = json!({"event_name": STAR, "payload": star()}).to_string();
    world.write("events.jsonl", &format!("{line}\n").repeat(EVENTS));

    let builds: Vec<Vec<u8>> = ["one", "two", "three"]
        .map(|mark| rebuilt("stars", mark))
        .into();
    for build in &builds {
        drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
        world.put("stars.wasm", build);
        let digest = digest(build);
        let is_new = |seen: &Value| seen["digest"] == digest.as_str();
        let listed = world.lists("stars", is_new).await;
        assert_eq!(listed["state"], "serving");
    }
    // What begins after the listing begins on the build that it shows.
    a_star_is_handled_by(&world, &digest(&builds[2])).await;

    let recorded = builds.len() * EVENTS + 1;
    let all = recorded.to_string();
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'stars'";
    world.settles(marks, &[&[&all]]).await;
    let state = "SELECT value FROM qx_state WHERE component = 'stars'";
    assert_eq!(world.rows(state).await, [[all.as_str()]]);
    let emitted = "SELECT CAST(count(*) AS TEXT), \
                   CAST(count(DISTINCT json_extract(payload, '$.payload.stars')) AS TEXT) \
                   FROM qx_outbox_events WHERE event_name = 'repo.starred'";
    assert_eq!(world.rows(emitted).await, [[all.as_str(), all.as_str()]]);
}

/// Files that are no handlers, and what of the reason must be shown.
fn broken_files() -> [(&'static str, Vec<u8>, &'static str); 5] {
    let whole = std::fs::read(component("stars")).unwrap();
    let cut = whole[..whole.len() / 2].to_vec();
    let other_world = r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $cli (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $cli)))"#;
    let unknown_import = r#"(component
        (import "wasi:keyvalue/store@0.2.0" (instance))
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "on-ping") (canon lift (core func $i "f"))))"#;
    [
        ("a text file", b"print('hello')\n".to_vec(), "is text"),
        ("half a component", cut, "cut off"),
        (
            "a core module",
            wat::parse_str("(module)").unwrap(),
            "core WebAssembly module",
        ),
        (
            "another world",
            wat::parse_str(other_world).unwrap(),
            "another world",
        ),
        (
            "an unknown import",
            wat::parse_str(unknown_import).unwrap(),
            "wasi:keyvalue/store",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_version_in_service_and_is_shown_with_its_reason() {
    let world = running(&["stars"]).await;
    let good = std::fs::read(component("stars")).unwrap();
    let build = digest(&good);
    for (what, bytes, part) in broken_files() {
        world.put("stars.wasm", &bytes);
        let says = |seen: &Value| {
            seen["reason"]
                .as_str()
                .is_some_and(|text| text.contains(part))
        };
        let listed = world.lists("stars", says).await;
        assert_eq!(listed["state"], "degraded", "{what}");
        assert_eq!(listed["digest"], build.as_str(), "{what}");
        a_star_is_handled_by(&world, &build).await;
    }
    world.put("stars.wasm", &good);
    let is_mended = |seen: &Value| seen["state"] == "serving";
    assert_eq!(world.lists("stars", is_mended).await["reason"], Value::Null);
    a_star_is_handled_by(&world, &build).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_without_a_version_before_it_is_shown_and_serves_once_it_is_mended() {
    let world = running(&["stars"]).await;
    for (at, (what, bytes, part)) in broken_files().into_iter().enumerate() {
        world.put(&format!("new-{at}.wasm"), &bytes);
        let listed = world.lists(&format!("new-{at}"), Value::is_object).await;
        assert_eq!(listed["state"], "broken", "{what}");
        assert_eq!(listed["digest"], Value::Null, "{what}");
        let reason = listed["reason"].as_str().unwrap();
        assert!(reason.contains(part), "{what}: {reason}");
    }
    let build = digest(&std::fs::read(component("stars")).unwrap());
    a_star_is_handled_by(&world, &build).await;
    world.install_as("milestones", "new-0");
    world.serves(&["new-0", "stars"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_removed_is_out_of_service_and_its_events_wait() {
    let world = running(&["stars", "triage"]).await;
    let build = digest(&std::fs::read(component("stars")).unwrap());
    a_star_is_handled_by(&world, &build).await;
    world.remove("stars.wasm");
    world.lists("stars", Value::is_null).await;
    assert_eq!(world.listed("triage").await["state"], "serving");

    let waits = world.trigger(STAR, &star()).await;
    // The other component's event is behind it on the stream.
    let issue = world.trigger(ISSUE, &issue("bug")).await;
    let triage = digest(&std::fs::read(component("triage")).unwrap());
    world
        .settles(&handled_by(&issue, world.way()), &[&[&triage]])
        .await;
    assert!(
        world
            .rows(&handled_by(&waits, world.way()))
            .await
            .is_empty()
    );

    world.install("stars");
    world
        .settles(&handled_by(&waits, world.way()), &[&[&build]])
        .await;
    let state = "SELECT value FROM qx_state WHERE component = 'stars'";
    assert_eq!(
        world.rows(state).await,
        [["2"]],
        "the first star is not counted again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_can_be_no_component_are_refused_visibly() {
    let world = running(&["stars"]).await;
    let bytes = std::fs::read(component("triage")).unwrap();
    let outside = world.path("outside.wasm");
    std::fs::write(&outside, &bytes).unwrap();
    symlink(&outside, world.path("components/link.wasm")).unwrap();
    std::fs::create_dir(world.path("components/folder.wasm")).unwrap();
    // Who opens it to read waits for a writer, for ever.
    let pipe = std::process::Command::new("mkfifo")
        .arg(world.path("components/pipe.wasm"))
        .status();
    assert!(pipe.expect("mkfifo is there").success());
    let socket = std::os::unix::net::UnixListener::bind(world.path("components/socket.wasm"));
    // A hole: 300 MB of nothing.
    let huge = std::fs::File::create(world.path("components/huge.wasm")).unwrap();
    huge.set_len(300 << 20).unwrap();
    for name in [
        "Upper.wasm",
        "a..b.wasm",
        "-dash.wasm",
        "under_score.wasm",
        "caf\u{e9}.wasm",
    ] {
        world.put(name, &bytes);
    }
    for (file, part) in [
        ("link.wasm", "a symbolic link"),
        ("folder.wasm", "a folder"),
        ("pipe.wasm", "a named pipe"),
        ("socket.wasm", "a socket"),
        ("huge", "huge.wasm is larger than 67108864 bytes"),
        ("Upper.wasm", "lower-case"),
        ("a..b.wasm", "lower-case"),
        ("-dash.wasm", "beginning with a letter or digit"),
        ("under_score.wasm", "rename the file"),
        ("caf\u{e9}.wasm", "rename the file"),
    ] {
        let listed = world.lists(file, Value::is_object).await;
        assert_eq!(listed["state"], "broken", "{file}");
        let reason = listed["reason"].as_str().unwrap();
        assert!(reason.contains(part), "{file}: {reason}");
    }
    drop(socket);
    world.remove("link.wasm");
    world.lists("link.wasm", Value::is_null).await;
    assert_eq!(world.listed("stars").await["state"], "serving");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_whose_file_of_settings_is_a_link_is_not_served_without_it() {
    let world = running(&["stars"]).await;
    let build = digest(&std::fs::read(component("stars")).unwrap());
    std::fs::write(world.path("outside.toml"), "grants = [\"log\"]\n").unwrap();
    symlink(
        world.path("outside.toml"),
        world.path("components/stars.toml"),
    )
    .unwrap();
    let refused = |seen: &Value| seen["state"] == "degraded";
    let listed = world.lists("stars", refused).await;
    let reason = listed["reason"].as_str().unwrap();
    assert!(reason.contains("stars.toml is a symbolic link"), "{reason}");
    a_star_is_handled_by(&world, &build).await;
    world.remove("stars.toml");
    world.serves(&["stars"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_replaced_by_a_symbolic_link_is_no_longer_served() {
    let world = running(&["stars"]).await;
    let outside = world.path("outside.wasm");
    std::fs::write(&outside, std::fs::read(component("triage")).unwrap()).unwrap();
    world.remove("stars.wasm");
    symlink(&outside, world.path("components/stars.wasm")).unwrap();
    world
        .lists("stars.wasm", |seen| seen["state"] == "broken")
        .await;
    world.lists("stars", Value::is_null).await;
}

/// Urgencies of the issues that triage has emitted, in order.
async fn triaged(world: &World, expected: &[&str]) {
    let sql = "SELECT json_extract(payload, '$.payload.urgency') FROM qx_outbox_events \
               WHERE event_name = 'issue.triaged' ORDER BY seq";
    let rows: Vec<[&str; 1]> = expected.iter().map(|urgency| [*urgency]).collect();
    let rows: Vec<&[&str]> = rows.iter().map(<[&str; 1]>::as_slice).collect();
    world.settles(sql, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_sidecar_takes_effect_and_a_faulty_one_leaves_the_old_in_force() {
    let world = running(&["triage"]).await;
    let since = world.listed("triage").await["since"].clone();
    drop(world.trigger(ISSUE, &issue("outage")).await);
    triaged(&world, &["normal"]).await;

    world.put("triage.toml", b"[config]\nurgent = \"outage\"\n");
    let is_later = |seen: &Value| seen["state"] == "serving" && seen["since"] != since;
    world.lists("triage", is_later).await;
    drop(world.trigger(ISSUE, &issue("outage")).await);
    triaged(&world, &["normal", "urgent"]).await;

    world.put(
        "triage.toml",
        b"[config]\nurgent = 7\n[retry]\natempts = 3\n",
    );
    let listed = world
        .lists("triage", |seen| seen["state"] == "degraded")
        .await;
    let reason = listed["reason"].as_str().unwrap();
    for part in [
        "triage.toml:2",
        "config.urgent",
        "triage.toml:4",
        "did you mean `attempts`?",
    ] {
        assert!(reason.contains(part), "no {part} in {reason}");
    }
    drop(world.trigger(ISSUE, &issue("outage")).await);
    triaged(&world, &["normal", "urgent", "urgent"]).await;

    world.remove("triage.toml");
    world
        .lists("triage", |seen| seen["state"] == "serving")
        .await;
    drop(world.trigger(ISSUE, &issue("outage")).await);
    triaged(&world, &["normal", "urgent", "urgent", "normal"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_in_a_sidecar_decide_which_events_come() {
    let world = running(&[]).await;
    world.install_as("no-sdk", "labels");
    let listed = world
        .lists("labels", |seen| seen["state"] == "broken")
        .await;
    let reason = listed["reason"].as_str().unwrap();
    assert!(reason.contains("labels.toml"), "{reason}");

    world.put(
        "labels.toml",
        b"[[routes]]\nevents = [\"github.label.*\"]\n",
    );
    world.serves(&["labels"]).await;
    assert_eq!(
        world.listed("labels").await["events"],
        json!(["github.label.*"])
    );
    world.put("labels.toml", b"[[routes]]\nevents = [\"github.create\"]\n");
    let is_rerouted = |seen: &Value| seen["events"] == json!(["github.create"]);
    world.lists("labels", is_rerouted).await;

    let passed_over = world.trigger("github.label.created", &json!({})).await;
    let taken = world.trigger("github.create", &json!({})).await;
    let build = digest(&std::fs::read(component("no-sdk")).unwrap());
    world
        .settles(&handled_by(&taken, world.way()), &[&[&build]])
        .await;
    assert!(
        world
            .rows(&handled_by(&passed_over, world.way()))
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_flight_finishes_on_the_build_it_began_with() {
    let mut world = World::with(Way::Servers, &["stars"]).await;
    world.run().await;
    world.serves(&["stars"]).await;
    let database = world.database().await;
    // Nothing can be marked as handled while this transaction lasts.
    let mut lock = database.pool().begin().await.unwrap();
    let statement = "LOCK TABLE qx_inbox IN EXCLUSIVE MODE";
    sqlx::query(statement).execute(&mut *lock).await.unwrap();
    let in_flight = world.trigger(STAR, &star()).await;
    let waiting = "SELECT CAST(count(*) AS TEXT) FROM pg_locks \
                   WHERE NOT granted AND relation = 'qx_inbox'::regclass";
    world.settles(waiting, &[&["1"]]).await;

    let (old, new) = (
        std::fs::read(component("stars")).unwrap(),
        rebuilt("stars", "new"),
    );
    world.put("stars.wasm", &new);
    let (old, new) = (digest(&old), digest(&new));
    world
        .lists("stars", |seen| seen["digest"] == new.as_str())
        .await;
    lock.rollback().await.unwrap();
    world
        .settles(&handled_by(&in_flight, Way::Servers), &[&[&old]])
        .await;
    a_star_is_handled_by(&world, &new).await;
}

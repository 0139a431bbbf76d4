//! A running host with components that nobody would want: each has the outcome it
//! must have, and the neighbour handles all its events meanwhile.
//!
//! Counted, not timed: what the neighbour has completed while the others are at it.
#![cfg(test)]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use acceptance::{Way, World, component, digest};
use async_trait::async_trait;
use qx_events::ports::{Invocation, NoStatements, StateReader, StateValue};
use qx_events::{ComponentName, Envelope, ExportIndex, Fault, Outcome};
use qx_host::clock::SystemClock;
use qx_sandbox::testing::{heavy, ping};
use qx_sandbox::{LoadError, Manifest, Sandbox, SandboxConfig};
use serde_json::{Value, json};

const STAR: &str = "github.star.created";

fn star() -> Value {
    json!({"repository": {"full_name": "ada/engine"}, "sender": {"login": "ada"}})
}

/// Records so many stars.
async fn stars(world: &World, count: usize) {
    let line = json!({"event_name": STAR, "payload": star()}).to_string();
    world.write("stars.jsonl", &format!("{line}\n").repeat(count));
    drop(world.qx(&["trigger", "--lines", "stars.jsonl"]).await.ok());
}

/// Waits until the neighbour has handled so many stars.
async fn handled(world: &World, count: usize) {
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'stars'";
    world.settles(marks, &[&[&count.to_string()]]).await;
}

/// Guests, and the word of their outcome.
fn guests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let hog = "(loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (unreachable)";
    let tables = "(loop (br_if 0 (i32.ne (i32.const -1)
        (table.grow $t (ref.null func) (i32.const 1000))))) (unreachable)";
    let down = "(func $down (call $down) (call $down))";
    let busy =
        "(loop (call $get (i32.const 4096) (i32.const 4) (i32.const 5000)) (br 0)) (unreachable)";
    let huge = "(drop (memory.grow (i32.const 50)))
        (call $say (i32.const 0) (i32.const 3000000)) (call $ok)";
    let flood = "(local $n i32)
        (loop
            (call $log (i32.const 4) (i32.const 4096) (i32.const 8))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 5000))))
        (unreachable)";
    let escapes = r#"(data (i32.const 4096) "\1b[31mred\n")"#;
    vec![
        ("spins", ping("(loop (br 0)) (unreachable)", ""), "cpu"),
        ("grows", ping(hog, ""), "memory"),
        (
            "grows-tables",
            ping(tables, "(table $t 1 funcref)"),
            "tables",
        ),
        ("recurses", ping("(call $down) (call $ok)", down), "stack"),
        ("nags", ping(busy, ""), "host_calls"),
        ("shouts", ping(huge, ""), "host_data"),
        ("floods", ping(flood, escapes), "trap"),
        ("lies", ping("(i32.const -4)", ""), "trap"),
    ]
}

const NARROW: &[u8] = b"[retry]\nattempts = 2\n[limits]\ncpu_ms = 60\nmemory_mb = 4\n";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_components_end_as_dead_letters_with_the_limits_name_and_the_neighbour_goes_on() {
    const EVENTS: usize = 20;
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    for (name, bytes, _) in guests() {
        world.put(&format!("{name}.toml"), NARROW);
        world.put(&format!("{name}.wasm"), &bytes);
    }
    world.run().await;
    for (name, ..) in guests() {
        world.serves(&[name]).await;
    }
    drop(world.trigger("ping", &json!({})).await);
    stars(&world, EVENTS).await;
    handled(&world, EVENTS).await;
    for (name, _, word) in guests() {
        let letters = async || {
            let list = ["dlq", "list", "--component", name, "--output", "json"];
            let letters = world.qx(&list).await.ok().json();
            let reason = letters[0]["reason"].as_str().unwrap_or_default().to_owned();
            if reason.contains(&format!("{word}: ")) {
                Ok(reason)
            } else {
                Err(letters.to_string())
            }
        };
        let what = format!("a dead letter of {name} for {word}");
        let reason = world.eventually(&what, letters).await;
        assert!(!reason.contains('\u{1b}'), "{reason}");
    }
    let address = world.admin().parse().unwrap();
    let metrics = qx_host::admin::client::get(address, "/metrics")
        .await
        .unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    for (name, _, word) in guests().into_iter().filter(|(.., word)| *word != "trap") {
        let series = format!("qx_limits_hit_total{{component=\"{name}\",limit=\"{word}\"}} 2");
        assert!(metrics.contains(&series), "{series}: {metrics}");
    }
    let printed = world.printed();
    assert!(printed.contains("limits.log_lines is 100"), "{printed}");
    assert!(!printed.contains('\u{1b}'), "an escape of a guest");
    stars(&world, 1).await;
    handled(&world, EVENTS + 1).await;
}

/// Gives an escape that renames a terminal to everything that may quote it, says what it
/// was told, and rejects the event with the escape itself.
fn escaping() -> Vec<u8> {
    const OWNED: &str = "(i32.const 4096) (i32.const 12)";
    const WORD: &str = "(i32.const 4200) (i32.const 1)";
    let no_key = "(i32.const 0) (i32.const 0) (i32.const 0)";
    let at_once = "(i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0)";
    let emit = |name: &str, key: &str, due: &str| {
        format!("(call $emit-event {name} (i32.const 1) {WORD} {key} {due} (i32.const 5000))")
    };
    let send = |method: &str, url: &str| {
        format!(
            "(call $send {method} {url} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 5000))"
        )
    };
    let calls = [
        format!("(call $secret {OWNED} (i32.const 5000))"),
        format!("(call $set {OWNED} (i32.const 300000) (i32.const 300000) (i32.const 5000))"),
        emit(OWNED, no_key, at_once),
        emit(WORD, &format!("(i32.const 1) {OWNED}"), at_once),
        emit(
            WORD,
            no_key,
            "(i32.const 1) (i32.const 1) (i64.const 4096) (i32.const 12)",
        ),
        send(OWNED, "(i32.const 4300) (i32.const 15)"),
        send(WORD, OWNED),
    ];
    let said = "(if (i32.load8_u (i32.const 5000)) (then
        (call $log (i32.const 4) (i32.load (i32.const 5008)) (i32.load (i32.const 5012)))))";
    let calls: Vec<_> = calls.iter().map(|call| format!("{call} {said}")).collect();
    let calls = calls.concat();
    let body = format!("(drop (memory.grow (i32.const 8))) {calls} (call $reject {OWNED})");
    let fields = r#"(data (i32.const 4096) "\1b]0;owned\07\0d\0a") (data (i32.const 4200) "1")
        (data (i32.const 4300) "http://granted/")"#;
    ping(&body, fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_given_to_whatever_quotes_them_are_in_no_output_and_the_neighbour_goes_on() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    let grants = "[grants.escaping]\n\
        capabilities = [\"log\", \"state\", \"emit\", \"secrets\", \"http\"]\n\
        secrets = [\"token\"]\nhttp = [\"http://granted\"]\n[secrets]\ntoken = \"file:token\"\n\
        [telemetry]\nlevel = \"trace\"\n";
    world.write("token", "planted-0123456789");
    world.write("qx-host.toml", &format!("{}{grants}", world.config()));
    world.put("escaping.wasm", &escaping());
    world.run().await;
    world.serves(&["stars", "escaping"]).await;
    drop(world.trigger("ping", &json!({})).await);
    stars(&world, 5).await;
    handled(&world, 5).await;
    let list = ["dlq", "list", "--component", "escaping"];
    let letter = async || {
        let listed = world.qx(&list).await.ok().stdout;
        if listed.contains("owned") {
            Ok(listed)
        } else {
            Err(listed)
        }
    };
    let mut outputs = vec![world.eventually("the dead letter", letter).await];
    for args in [
        &["handlers", "list"][..],
        &["doctor"],
        &["dlq", "list", "--output", "json"],
    ] {
        let ran = world.qx(args).await;
        outputs.push(ran.stdout + &ran.stderr);
    }
    let address = world.admin().parse().unwrap();
    for page in ["/metrics", "/api/handlers"] {
        let page = qx_host::admin::client::get(address, page).await.unwrap();
        outputs.push(String::from_utf8(page).unwrap());
    }
    outputs.push(world.printed());
    for output in outputs {
        assert!(
            !output.contains('\u{1b}') && !output.contains('\u{7}'),
            "{output}"
        );
    }
    let printed = world.printed();
    for said in [
        "has no secret `\\u{1b}",
        "value_kb: a value has",
        "which is no time",
        "the method is no word",
        "the URL is none",
    ] {
        assert!(printed.contains(said), "{said} in {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_component_spins_without_end_its_neighbour_completes_everything() {
    const EVENTS: usize = 60;
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    // Never gives up: it spins before, while and after the neighbour works.
    let endless = "[retry]\nattempts = 1000\ninitial_ms = 1\nmax_ms = 1\n";
    world.put("spins.toml", endless.as_bytes());
    world.put("spins.wasm", &ping("(loop (br 0)) (unreachable)", ""));
    world.run().await;
    world.serves(&["stars", "spins"]).await;
    let line = json!({"event_name": "ping", "payload": {}}).to_string();
    world.write("pings.jsonl", &format!("{line}\n").repeat(EVENTS));
    drop(world.qx(&["trigger", "--lines", "pings.jsonl"]).await.ok());
    world.prints("spins").await;
    stars(&world, EVENTS).await;
    handled(&world, EVENTS).await;
    let done = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'spins'";
    assert_eq!(
        world.rows(done).await,
        [["0"]],
        "the bad one was at it all the time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_many_components_never_end_their_neighbour_completes_everything() {
    const EVENTS: usize = 60;
    const ENDLESS: usize = 8;
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    // Together they want twice the places of the process, and none ends within the test.
    let patient = "[limits]\ntimeout_ms = 600000\ncpu_ms = 600000\n";
    for number in 0..ENDLESS {
        world.put(&format!("endless-{number}.toml"), patient.as_bytes());
        let spins = ping(
            "(call $say (i32.const 3072) (i32.const 4)) (loop (br 0)) (unreachable)",
            "",
        );
        world.put(&format!("endless-{number}.wasm"), &spins);
    }
    world.run().await;
    let names: Vec<String> = (0..ENDLESS).map(|n| format!("endless-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["stars"]).collect();
    world.serves(&names).await;
    let line = json!({"event_name": "ping", "payload": {}}).to_string();
    world.write("pings.jsonl", &format!("{line}\n").repeat(32));
    drop(world.qx(&["trigger", "--lines", "pings.jsonl"]).await.ok());
    for name in names.iter().filter(|name| **name != "stars") {
        let at_it = async || {
            let printed = world.printed();
            let mut lines = printed.lines();
            let is_its = |line: &str| line.contains("qx_guest") && line.contains(*name);
            lines
                .any(is_its)
                .then_some(())
                .ok_or_else(|| printed.clone())
        };
        world.eventually(&format!("a line of {name}"), at_it).await;
    }
    stars(&world, EVENTS).await;
    handled(&world, EVENTS).await;
    let ended = "SELECT CAST((SELECT count(*) FROM qx_inbox WHERE component <> 'stars') \
        + (SELECT count(*) FROM qx_attempts WHERE attempts > 0) AS TEXT)";
    assert_eq!(
        world.rows(ended).await,
        [["0"]],
        "not one call of the others has ended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_compiles_too_long_or_too_large_is_refused_and_the_old_one_serves_on() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    let build = digest(&std::fs::read(component("stars")).unwrap());
    world.run().await;
    world.serves(&["stars"]).await;
    // 50 MB of code, and a function whose graph does not fit.
    let caps = [
        ("compile_timeout_s", 1, heavy(850, 6_000)),
        ("compile_memory_mb", 256, heavy(1, 700_000)),
    ];
    for (key, value, monster) in caps {
        world.kill();
        let config = world.config().replace(
            "[components]\n",
            &format!("[components]\n{key} = {value}\n"),
        );
        world.write("qx-host.toml", &config);
        world.install("stars");
        world.run().await;
        world.serves(&["stars"]).await;
        world.put("stars.wasm", &monster);
        let is_refused = |seen: &Value| {
            let reason = seen["reason"].as_str().unwrap_or_default();
            reason.contains(key)
        };
        let listed = world.lists("stars", is_refused).await;
        assert_eq!(listed["digest"], build.as_str(), "{listed}");
        assert_eq!(listed["state"], "degraded");
        stars(&world, 1).await;
    }
    handled(&world, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_entries_in_a_cache_that_others_can_write_to_are_never_run() {
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    world.share_no_code();
    world.run().await;
    world.serves(&["stars"]).await;
    world.kill();
    let cache = world.path(".qx/cache");
    let entries: Vec<_> = std::fs::read_dir(&cache).unwrap().collect();
    assert_eq!(entries.len(), 1);
    let entry = entries[0].as_ref().unwrap().path();
    // Damaged in a folder of our own: compiled again.
    std::fs::write(&entry, b"forged").unwrap();
    world.run().await;
    world.serves(&["stars"]).await;
    world.prints("a cache entry is damaged").await;
    assert!(std::fs::read(&entry).unwrap().len() > 1_000);
    world.kill();
    // In a folder of everybody: not looked at.
    std::fs::write(&entry, b"forged").unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    world.run().await;
    world.serves(&["stars"]).await;
    world.prints("chmod 700").await;
    stars(&world, 1).await;
    handled(&world, 1).await;
    assert_eq!(std::fs::read(&entry).unwrap(), b"forged");
}

/// A state that is empty.
struct Nothing;

#[async_trait]
impl StateReader for Nothing {
    async fn read(&self, _: &str) -> Result<Option<StateValue>, Fault> {
        Ok(None)
    }
}

/// Something else in place of a few bytes, by chance.
fn mutated(whole: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..dice.usize(1..3) {
        let at = dice.usize(8..bytes.len());
        match dice.u8(0..12) {
            0..4 => bytes[at] = dice.u8(..),
            4..9 => bytes[at] ^= 1 << dice.u8(0..8),
            9 => bytes.truncate(at.max(9)),
            10 => bytes.insert(at, dice.u8(..)),
            _ => {
                let to = (at + dice.usize(1..64)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_components_are_refused_or_fail_and_never_make_the_host_panic() {
    const MUTANTS: u64 = 200;
    let seed = std::env::var("QX_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut dice = fastrand::Rng::with_seed(seed.unwrap_or(20_261_123));
    let sandbox = Sandbox::new(SandboxConfig::new(Arc::new(SystemClock))).unwrap();
    let whole = ["stars", "triage", "no-sdk"].map(|name| std::fs::read(component(name)).unwrap());
    let (mut refused, mut called) = (0, 0);
    for mutant in 0..MUTANTS {
        let bytes = mutated(&whole[dice.usize(0..whole.len())], &mut dice);
        let mut manifest = Manifest::new(ComponentName::parse("mutant").unwrap());
        manifest.settings.limits.cpu = std::time::Duration::from_millis(50);
        manifest.settings.limits.memory_bytes = 8 << 20;
        let loaded = match sandbox.load(bytes, manifest).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let is_ours = matches!(
                    error,
                    LoadError::Compiler(_) | LoadError::CompilerEnded { .. }
                );
                assert!(!is_ours, "mutant {mutant}: {error}");
                refused += 1;
                continue;
            }
        };
        let body = json!({
            "event_id": uuid::Uuid::nil(), "event_name": STAR, "event_version": 1,
            "occurred_at": "2026-02-03T04:05:06Z", "correlation_id": null, "causation_id": null,
            "tenant_id": null, "actor_id": null, "payload": star(),
        });
        let invocation = Invocation {
            sql: Arc::new(NoStatements),
            envelope: Arc::new(Envelope::decode(body.to_string().as_bytes(), None).unwrap()),
            attempt: 1,
            trace: None,
            state: Arc::new(Nothing),
        };
        let outcome = loaded.handler.call(ExportIndex(0), invocation).await;
        assert!(
            !matches!(outcome, Outcome::HostFault(_)),
            "mutant {mutant}: {outcome:?}"
        );
        assert!(
            !format!("{outcome:?}").contains("the host panicked"),
            "mutant {mutant}: {outcome:?}"
        );
        called += 1;
    }
    assert!(
        refused > 50 && called > 10,
        "{refused} refused, {called} called"
    );
}

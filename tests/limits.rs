//! A walk along `docs/limits.md`: each limit that has a word is hit in a running host, and
//! its word is seen in the dead letter, in the log and in the figures.
#![cfg(test)]

use std::collections::BTreeSet;

use acceptance::web::{Manner, Web};
use acceptance::{Way, World, repository};
use qx_sandbox::testing::{encode, ping};
use serde_json::json;

/// A guest that hits a limit.
struct Guest {
    word: &'static str,
    /// Where the same word is hit in more than one way.
    way: &'static str,
    bytes: Vec<u8>,
    /// The component's own file, without its attempts.
    sidecar: &'static str,
    /// What the dead letter says, where that is not the word.
    says: &'static str,
}

fn guest(word: &'static str, bytes: Vec<u8>) -> Guest {
    Guest {
        word,
        way: "",
        bytes,
        sidecar: "",
        says: word,
    }
}

impl Guest {
    fn limits(self, sidecar: &'static str) -> Self {
        Self { sidecar, ..self }
    }

    fn way(self, way: &'static str) -> Self {
        Self { way, ..self }
    }

    /// It is told no more than that lines were dropped; then it traps.
    fn traps(self) -> Self {
        Self {
            says: "trap",
            ..self
        }
    }

    fn name(&self) -> String {
        let word = self.word.replace('_', "-");
        match self.way {
            "" => word,
            way => format!("{word}-{way}"),
        }
    }
}

/// Hands on what it was told: the text of an error at 5,000, so far behind it.
fn told(call: &str, at: u32) -> String {
    let (text, length) = (5000 + at, 5004 + at);
    format!(
        "{call} (if (result i32) (i32.load8_u (i32.const 5000))
            (then (call $reject (i32.load (i32.const {text})) (i32.load (i32.const {length}))))
            (else (call $ok)))"
    )
}

/// The same, until there is an error.
fn again(call: &str, at: u32) -> String {
    told(
        &format!("(loop {call} (br_if 0 (i32.eqz (i32.load8_u (i32.const 5000)))))"),
        at,
    )
}

const OF_TIME: &str = "cpu_ms = 50\n";

/// Those that end the call.
fn that_end_the_call() -> Vec<Guest> {
    let hog = "(loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (unreachable)";
    let table = "(loop (br_if 0 (i32.ne (i32.const -1)
        (table.grow $t (ref.null func) (i32.const 1000))))) (unreachable)";
    let busy =
        "(loop (call $get (i32.const 4096) (i32.const 4) (i32.const 5000)) (br 0)) (unreachable)";
    let down = "(func $down (call $down) (call $down))";
    let huge = "(drop (memory.grow (i32.const 50)))
        (call $say (i32.const 0) (i32.const 3000000)) (call $ok)";
    let spin = "(loop (br 0)) (unreachable)";
    vec![
        guest("deadline", ping(spin, "")).limits("timeout_ms = 100\ncpu_ms = 60000\n"),
        guest("cpu", ping(spin, "")).limits(OF_TIME),
        guest("memory", ping(hog, "")).limits("memory_mb = 4\n"),
        guest("tables", ping(table, "(table $t 1 funcref)")),
        guest("stack", ping("(call $down) (call $ok)", down)),
        guest("host_calls", ping(busy, "")).limits("host_calls = 100\n"),
        guest("host_data", ping(huge, "")),
        guest(
            "random",
            of_wasi("(call $bytes (i64.const 70000) (i32.const 2000))"),
        ),
        guest(
            "random",
            of_wasi("(loop (call $bytes (i64.const 60000) (i32.const 2000)) (br 0))"),
        )
        .way("in-pieces"),
        guest("handles", of_wasi("(loop (drop (call $stderr)) (br 0))")),
    ]
}

/// Those that the guest is told of, or not even that.
fn that_the_guest_is_told_of() -> Vec<Guest> {
    let flood = |bytes: u32| {
        let body = format!(
            "(local $n i32)
            (loop (call $say (i32.const 4096) (i32.const {bytes}))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $n) (i32.const 50))))
            (unreachable)"
        );
        ping(&body, "")
    };
    let event = "(i32.const 4096) (i32.const 1) (i32.const 1) (i32.const 4096)";
    let set = |key: u32, value: u32| {
        told(
            &format!(
                "(call $set (i32.const 3072) (i32.const {key}) (i32.const 0) (i32.const {value}) (i32.const 5000))"
            ),
            8,
        )
    };
    let emit = |bytes: u32, due: &str| {
        format!(
            "(call $emit-event {event} (i32.const {bytes}) (i32.const 0) (i32.const 0) (i32.const 0)
                {due} (i32.const 0) (i32.const 5000))"
        )
    };
    let at_once = "(i32.const 0) (i32.const 0) (i64.const 0)";
    let in_a_century = "(i32.const 1) (i32.const 0) (i64.const 3155760000000)";
    let one = r#"(data (i32.const 4096) "1")"#;
    vec![
        guest("log_lines", flood(4))
            .limits("log_lines = 9\n")
            .traps(),
        guest("log_kb", flood(1000)).limits("log_kb = 1\n").traps(),
        guest("emitted_events", ping(&again(&emit(1, at_once), 8), one))
            .limits("emitted_events = 3\n"),
        guest("value_kb", ping(&set(1, 1025), "")).limits("value_kb = 1\n"),
        guest("value_kb", ping(&told(&emit(1025, at_once), 8), one))
            .limits("value_kb = 1\n")
            .way("emitted"),
        guest("key_bytes", ping(&set(513, 1), "")),
        guest("due", ping(&told(&emit(1, in_a_century), 8), one)),
        guest("state_keys", ping(&keeps(2), "")).limits("state_keys = 1\n"),
        guest("state_mb", ping(&keeps(1), "")).limits("state_mb = 0\n"),
    ]
}

/// Writes so many keys; whether they can be kept shows when it has ended.
fn keeps(keys: u32) -> String {
    let set = |key: u32| {
        let at = 3072 + key;
        format!(
            "(call $set (i32.const {at}) (i32.const 1) (i32.const 3072) (i32.const 4) (i32.const 5000))"
        )
    };
    let sets: String = (0..keys).map(set).collect();
    format!("{sets} (call $ok)")
}

/// Those of requests, to servers that answer more than they should.
fn of_requests(origins: [&str; 3]) -> Vec<Guest> {
    let [plain, large, many] = origins;
    let send = |url: &str, headers: u32, body: &str| {
        let length = url.len();
        let call = format!(
            "(call $send (i32.const 4096) (i32.const 3) (i32.const 20000) (i32.const {length})
                (i32.const 8000) (i32.const {headers}) {body}
                (i32.const 0) (i64.const 0) (i32.const 5000))"
        );
        // Seventy headers, `a: aa`.
        let header = r"\38\4a\00\00\01\00\00\00\38\4a\00\00\02\00\00\00".repeat(70);
        let fields = format!(
            r#"(data (i32.const 4096) "GET") (data (i32.const 20000) {url:?})
            (data (i32.const 19000) "aa") (data (i32.const 8000) "{header}")"#
        );
        (call, fields)
    };
    let no_body = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)";
    let body =
        |bytes: u32| format!("(i32.const 1) (i32.const 1) (i32.const 0) (i32.const {bytes})");
    let once = |(call, fields): (String, String)| ping(&told(&call, 8), &fields);
    let endless = |(call, fields): (String, String)| ping(&again(&call, 8), &fields);
    let long = format!("{plain}/{}", "a".repeat(9_000));
    vec![
        guest("http_requests", endless(send(plain, 0, no_body))).limits("http_requests = 2\n"),
        guest("value_kb", once(send(plain, 0, &body(1025))))
            .limits("value_kb = 1\n")
            .way("body"),
        guest("http_url", once(send(&long, 0, no_body))),
        guest("http_headers", once(send(plain, 65, no_body))),
        guest("http_response_kb", once(send(large, 0, no_body))).limits("http_response_kb = 1\n"),
        guest("http_response_headers", once(send(many, 0, no_body))),
    ]
}

/// Those of SQL, for who has a role.
fn of_sql() -> Vec<Guest> {
    let query = |text: &str| {
        let length = text.len();
        let call = format!(
            "(call $query (i32.const 4096) (i32.const {length}) (i32.const 0) (i32.const 0) (i32.const 5000))"
        );
        (call, format!("(data (i32.const 4096) {text:?})"))
    };
    let once = |text| {
        let (call, fields) = query(text);
        ping(&told(&call, 8), &fields)
    };
    let endless = |text| {
        let (call, fields) = query(text);
        ping(&again(&call, 8), &fields)
    };
    vec![
        guest("sql_statements", endless("SELECT 1")),
        guest("sql_rows", once("SELECT generate_series(1, 1001)")),
        guest("sql_time", once("SELECT pg_sleep(60)")).limits("timeout_ms = 2000\n"),
        guest("value_kb", once("SELECT repeat('a', 2000)"))
            .limits("value_kb = 1\n")
            .way("rows"),
    ]
}

/// Calls `$bytes`, which gives random ones, and `$stderr`, which opens a handle.
fn of_wasi(body: &str) -> Vec<u8> {
    let world = "
        use qx:events/types@1.0.0.{event, failure};
        import wasi:random/random@0.2.0;
        import wasi:cli/stderr@0.2.0;
        export on-ping: func(event: event) -> result<_, failure>;
        ---
        package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }
        package wasi:io@0.2.0 { interface streams { resource output-stream; } }
        package wasi:cli@0.2.0 { interface stderr {
            use wasi:io/streams@0.2.0.{output-stream};
            get-stderr: func() -> output-stream;
        } }";
    let module = format!(
        r#"(module
        (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
        (import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))
        (memory (export "memory") 40)
        (global $next (mut i32) (i32.const 65536))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next)
            (global.set $next (i32.add (global.get $next)
                (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))
        (func (export "on-ping") (param $event i32) (result i32) {body} (i32.const 1024)))"#
    );
    encode(world, &module)
}

/// The words of the page: the first column of its table.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(repository().join("docs/limits.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let words = rows.filter_map(|row| row.split_once("` | "));
    words.map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn every_word_of_the_page_is_walked() {
    let all = [
        that_end_the_call(),
        that_the_guest_is_told_of(),
        of_requests(["http://a"; 3]),
        of_sql(),
    ];
    let walked = all.iter().flatten().map(|guest| guest.word.to_owned());
    assert_eq!(walked.collect::<BTreeSet<_>>(), documented());
}

/// Gives an event to each, and looks for its word everywhere.
async fn walk(world: &mut World, guests: Vec<Guest>, grants: impl Fn(&str) -> String) {
    let mut config = format!("{}[telemetry]\nlevel = \"debug\"\n", world.config());
    for guest in &guests {
        let (name, limits) = (guest.name(), guest.sidecar);
        config += &grants(&name);
        world.put(
            &format!("{name}.toml"),
            format!("[retry]\nattempts = 1\n[limits]\n{limits}").as_bytes(),
        );
        world.put(&format!("{name}.wasm"), &guest.bytes);
    }
    world.write("qx-host.toml", &config);
    world.run().await;
    for guest in &guests {
        world.serves(&[&guest.name()]).await;
    }
    drop(world.trigger("ping", &json!({})).await);
    for Guest { word, says, .. } in &guests {
        for guest in guests.iter().filter(|guest| guest.word == *word) {
            let name = guest.name();
            let args = ["dlq", "list", "--component", &name, "--output", "json"];
            let letter = async || {
                let letters = world.qx(&args).await.ok().json();
                let reason = letters[0]["reason"].as_str().unwrap_or_default().to_owned();
                if reason.contains(&format!("{says}: ")) {
                    Ok(())
                } else {
                    Err(letters.to_string())
                }
            };
            let what = format!("a dead letter of {name} that names {says}");
            world.eventually(&what, letter).await;
        }
    }
    let address = world.admin().parse().unwrap();
    let metrics = qx_host::admin::client::get(address, "/metrics")
        .await
        .unwrap();
    let (metrics, printed) = (String::from_utf8(metrics).unwrap(), world.printed());
    for guest in &guests {
        let (name, limit) = (guest.name(), guest.word);
        let counted = format!("qx_limits_hit_total{{component=\"{name}\",limit=\"{limit}\"}} 1");
        assert!(metrics.contains(&counted), "{counted} in {metrics}");
        let is_said = |line: &&str| line.contains(&name) && line.contains(limit);
        assert!(
            printed.lines().any(|line| is_said(&line)),
            "{name} in {printed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_of_a_call_is_named_in_its_dead_letter_the_log_and_the_figures() {
    let mut world = World::with(Way::Embedded, &[]).await;
    let guests = [that_end_the_call(), that_the_guest_is_told_of()];
    walk(&mut world, guests.into_iter().flatten().collect(), |_| {
        String::new()
    })
    .await;
    // What is kept, against what may be, where an operator looks.
    let listed = world.listed("state-keys").await;
    assert_eq!(
        listed["stored"],
        json!({"keys": 0, "keys_max": 1, "bytes": 0, "bytes_max": 1 << 30})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_of_requests_is_named_in_its_dead_letter_the_log_and_the_figures() {
    let webs = [Manner::Answers, Manner::Body(1_025), Manner::Headers(101)].map(Web::start);
    let origins = webs.each_ref().map(Web::origin);
    let mut world = World::with(Way::Embedded, &[]).await;
    let guests = of_requests(origins.each_ref().map(String::as_str));
    let all = origins.map(|origin| format!("\"{origin}\"")).join(", ");
    let grants =
        |name: &str| format!("[grants.{name}]\ncapabilities = [\"http\"]\nhttp = [{all}]\n");
    walk(&mut world, guests, grants).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_of_statements_is_named_in_its_dead_letter_the_log_and_the_figures() {
    let mut world = World::with(Way::Servers, &[]).await;
    let role = "CREATE ROLE qx_walk NOLOGIN; CREATE SCHEMA qx_walk AUTHORIZATION qx_walk";
    world.database().await.execute(role).await;
    let grants =
        |name: &str| format!("[grants.{name}]\ncapabilities = [\"sql\"]\nsql = \"qx_walk\"\n");
    walk(&mut world, of_sql(), grants).await;
}

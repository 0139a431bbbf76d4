//! Toolchains that link WASI: what they find works or is empty, and counts.

use qx_events::{Capability, Rights};

use super::world::{World, effects, failure};
use crate::testing::encode;

/// As much of WASI as the tests call, in its own words.
const WORLD: &str = "
    use qx:events/types@1.0.0.{event, failure};
    import wasi:cli/stderr@0.2.0;
    import wasi:cli/environment@0.2.0;
    import wasi:cli/exit@0.2.0;
    import wasi:random/random@0.2.0;
    export on-ping: func(event: event) -> result<_, failure>;
    ---
    package wasi:random@0.2.0 {
        interface random {
            get-random-bytes: func(len: u64) -> list<u8>;
            get-random-u64: func() -> u64;
        }
    }
    package wasi:io@0.2.0 {
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream {
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.0 {
        interface stderr {
            use wasi:io/streams@0.2.0.{output-stream};
            get-stderr: func() -> output-stream;
        }
        interface environment { get-arguments: func() -> list<string>; }
        interface exit { exit: func(status: result); }
    }";

fn guest(body: &str, fields: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
        (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
        (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
        (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
        (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
        (import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (memory (export "memory") 40)
        (global $next (mut i32) (i32.const 65536))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next)
            (global.set $next (i32.add (global.get $next)
                (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))
        (func (export "on-ping") (param $event i32) (result i32) {body} (i32.const 1024))
        {fields})"#
    );
    encode(WORLD, &module)
}

#[tokio::test]
async fn standard_error_becomes_lines_and_explains_a_trap() {
    let world = World::new();
    let body = "
        (call $write (call $stderr) (i32.const 4096) (i32.const 25) (i32.const 2000))
        (unreachable)";
    let fields = r#"(data (i32.const 4096) "panicked at lib.rs:1\nboom")"#;
    let (breach, detail) = failure(world.run(guest(body, fields)).await);
    assert_eq!(breach, "trap");
    assert!(
        detail.starts_with("panicked at lib.rs:1; boom: "),
        "{detail}"
    );
    assert_eq!(world.logged(), ["panicked at lib.rs:1", "boom"]);
}

#[tokio::test]
async fn there_is_nothing_behind_the_environment() {
    let body = "
        (call $arguments (i32.const 2000))
        (if (i32.load (i32.const 2004)) (then (unreachable)))
        (if (i64.eq (call $random) (call $random)) (then (unreachable)))";
    effects(World::new().run(guest(body, "")).await);
}

#[tokio::test]
async fn calls_of_wasi_count_as_calls_of_the_host() {
    let world = World::new();
    let (breach, detail) = failure(
        world
            .run(guest("(loop (drop (call $random)) (br 0))", ""))
            .await,
    );
    assert_eq!(breach, "host_calls");
    assert!(detail.contains("10000 times"), "{detail}");
}

#[tokio::test]
async fn more_random_bytes_than_anybody_needs_end_the_call() {
    let body = "(call $bytes (i64.const 1000000000) (i32.const 2000))";
    let (breach, detail) = failure(World::new().run(guest(body, "")).await);
    assert_eq!(breach, "random", "{detail}");
    assert!(detail.contains("65536"), "{detail}");
    // In small pieces neither, long before the calls are used up.
    let body = "(loop (call $bytes (i64.const 60000) (i32.const 2000)) (br 0))";
    let (breach, detail) = failure(World::new().run(guest(body, "")).await);
    assert_eq!(breach, "random", "{detail}");
    assert!(detail.contains("1048576"), "{detail}");
}

#[tokio::test]
async fn handles_that_are_never_given_back_end_the_call() {
    let body = "(loop (drop (call $stderr)) (br 0))";
    let (breach, detail) = failure(World::new().run(guest(body, "")).await);
    assert_eq!(breach, "handles", "{detail}");
    assert!(detail.contains("1000"), "{detail}");
}

#[tokio::test]
async fn leaving_the_process_ends_the_call_and_not_the_host() {
    let world = World::new();
    for status in [0, 1] {
        let body = format!("(call $exit (i32.const {status}))");
        let (breach, detail) = failure(world.run(guest(&body, "")).await);
        assert_eq!(breach, "trap", "{detail}");
    }
}

#[tokio::test]
async fn a_component_without_the_grant_is_not_loaded() {
    let mut world = World::new();
    let but_random = Capability::ALL
        .into_iter()
        .filter(|capability| *capability != Capability::Random);
    world.manifest.settings.rights = Rights::of(but_random);
    let refusal = world.refusal(guest("(drop (call $random))", "")).await;
    assert!(refusal.contains("wasi:random/random@0.2.0"), "{refusal}");
    assert!(refusal.contains("\"random\""), "{refusal}");
}

//! The corpus: guests that do their worst on purpose, each with the outcome that it
//! must have, on one thread with a neighbour that must not notice.
//!
//! The thread is shared to make it hard: what a hostile guest holds, the neighbour
//! does not get. Nothing is timed; the neighbour's work is counted.

use std::time::Duration;

use qx_events::{Capability, Rights};

use super::texts::huge_texts;
use super::world::{World, effects};
use crate::testing::{encode, ping};

/// Calls that the neighbour must have finished before a hostile guest that never
/// ends by itself is ended: of some 15 that are due while it spins.
const NEIGHBOURS_CALLS: u32 = 5;

/// A guest, and what must become of its call.
pub(super) struct Hostile {
    name: &'static str,
    bytes: Vec<u8>,
    /// The outcome's word.
    outcome: &'static str,
    /// In its detail.
    says: &'static str,
    /// Whether it is the host who ends it, after a while.
    endless: bool,
}

pub(super) fn hostile(
    name: &'static str,
    bytes: Vec<u8>,
    outcome: &'static str,
    says: &'static str,
) -> Hostile {
    Hostile {
        name,
        bytes,
        outcome,
        says,
        endless: matches!(outcome, "cpu" | "deadline"),
    }
}

/// Narrow enough to be over soon. The deadline is far off, unless it is what is
/// waited for.
fn world(timeout: Duration) -> World {
    let mut world = World::new();
    world.manifest.settings.rights = Rights::of(Capability::ALL);
    world.manifest.settings.rights.sql = Some("role".to_owned());
    world.limits(|limits| {
        limits.timeout = timeout;
        limits.cpu = Duration::from_millis(150);
        limits.memory_bytes = 8 << 20;
    })
}

fn loops() -> Vec<Hostile> {
    let copies = "(loop
        (memory.copy (i32.const 0) (i32.const 65536) (i32.const 65536)) (br 0)) (unreachable)";
    let busy =
        "(loop (call $get (i32.const 4096) (i32.const 4) (i32.const 5000)) (br 0)) (unreachable)";
    let down = "(func $down (call $down) (call $down))";
    vec![
        hostile(
            "endless loop",
            ping("(loop (br 0)) (unreachable)", ""),
            "cpu",
            "150 ms",
        ),
        hostile(
            "endless loop in start, quiet until there is an event",
            ping("(call $ok)", &sly()),
            "cpu",
            "150 ms",
        ),
        hostile("endless copies", ping(copies, ""), "cpu", "150 ms"),
        hostile("sleep in a host call", sleeper(), "deadline", "400 ms"),
        hostile(
            "busy with the host",
            ping(busy, ""),
            "host_calls",
            "10000 times",
        ),
        hostile(
            "deep recursion",
            ping("(call $down) (call $ok)", down),
            "stack",
            "524288",
        ),
        hostile("trap", ping("(unreachable)", ""), "trap", "unreachable"),
        hostile(
            "division by zero",
            ping("(i32.div_u (i32.const 1) (i32.const 0))", ""),
            "trap",
            "",
        ),
    ]
}

/// Comes up where there is no state, as when it is loaded; spins where there is some.
fn sly() -> String {
    r#"(func (export "_initialize")
        (call $get (i32.const 4096) (i32.const 5) (i32.const 5000))
        (if (i32.load8_u (i32.const 5000)) (then (loop (br 0)))))
    (data (i32.const 4096) "stars")"#
        .to_owned()
}

fn hogs() -> Vec<Hostile> {
    let grow = "
        (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) (unreachable)";
    let at_once = "(i32.store (memory.grow (i32.const 65000)) (i32.const 1)) (unreachable)";
    let tables = "(loop (br_if 0 (i32.ne (i32.const -1)
        (table.grow $t (ref.null func) (i32.const 1000))))) (unreachable)";
    vec![
        hostile("memory hog", ping(grow, ""), "memory", "8388608"),
        hostile("memory hog at once", ping(at_once, ""), "memory", "8388608"),
        hostile(
            "table hog",
            ping(tables, "(table $t 1 funcref)"),
            "tables",
            "20000",
        ),
    ]
}

/// Guests that break the canonical ABI.
fn liars() -> Vec<Hostile> {
    let realloc = |at: &str| {
        let module = format!(
            r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const {at}))
            (func (export "on-ping") (param i32) (result i32) (unreachable)))"#
        );
        encode(crate::testing::PING, &module)
    };
    vec![
        hostile(
            "a text past the end",
            ping("(call $say (i32.const -16) (i32.const 64)) (call $ok)", ""),
            "trap",
            "",
        ),
        hostile(
            "a text that is none",
            ping(
                "(call $say (i32.const 4096) (i32.const 4)) (call $ok)",
                r#"(data (i32.const 4096) "\ff\fe\fd\fc")"#,
            ),
            "trap",
            "utf-8",
        ),
        hostile(
            "a level that is none",
            ping(
                "(call $log (i32.const 77) (i32.const 0) (i32.const 0)) (call $ok)",
                "",
            ),
            "trap",
            "",
        ),
        hostile("an answer nowhere", ping("(i32.const -4)", ""), "trap", ""),
        hostile("an answer askew", ping("(i32.const 1025)", ""), "trap", ""),
        hostile(
            "an answer of no kind",
            ping(
                "(i32.store8 (i32.const 2048) (i32.const 9)) (i32.const 2048)",
                "",
            ),
            "trap",
            "",
        ),
        hostile(
            "a reason past the end",
            ping("(call $reject (i32.const 100000) (i32.const 900000))", ""),
            "trap",
            "",
        ),
        hostile(
            "an allocator that points nowhere",
            realloc("-8"),
            "trap",
            "",
        ),
        hostile("an allocator that points askew", realloc("3"), "trap", ""),
    ]
}

/// Waits for ever, for a clock: no instruction of its own runs meanwhile.
fn sleeper() -> Vec<u8> {
    let world = "
        use qx:events/types@1.0.0.{event, failure};
        import wasi:clocks/monotonic-clock@0.2.0;
        export on-ping: func(event: event) -> result<_, failure>;
        ---
        package wasi:io@0.2.0 {
            interface poll { resource pollable { block: func(); } }
        }
        package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                subscribe-duration: func(when: u64) -> pollable;
            }
        }";
    encode(
        world,
        r#"(module
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
            (func $wait (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "on-ping") (param i32) (result i32)
            (call $block (call $wait (i64.const 0x7fffffffffffffff)))
            (i32.const 1024)))"#,
    )
}

#[tokio::test]
async fn each_hostile_guest_has_its_outcome_and_the_neighbour_does_not_notice() {
    let patient = world(Duration::from_mins(1));
    let impatient = world(Duration::from_millis(400));
    let neighbours = World::new();
    let neighbour = neighbours.load(ping("(call $ok)", "")).await;
    for Hostile {
        name,
        bytes,
        outcome,
        says,
        endless,
    } in loops()
        .into_iter()
        .chain(hogs())
        .chain(huge_texts())
        .chain(liars())
    {
        let world = if outcome == "deadline" {
            &impatient
        } else {
            &patient
        };
        let loaded = world.load(bytes).await;
        let mut done = 0_u32;
        let work = async {
            loop {
                effects(neighbours.call(&neighbour).await);
                done += 1;
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::select! {
            ended = world.call(&loaded) => ended,
            () = work => unreachable!(),
        };
        let seen = format!("{ended:?}");
        assert_eq!(ended.as_str(), outcome, "{name}: {seen}");
        assert!(seen.contains(says), "{name}: {seen}");
        assert!(!seen.contains("the host panicked"), "{name}: {seen}");
        assert!(!endless || done >= NEIGHBOURS_CALLS, "{name}: {done}");
        effects(neighbours.call(&neighbour).await);
    }
}

#[tokio::test]
async fn a_start_without_end_is_not_loaded_and_the_neighbour_works_meanwhile() {
    let world = world(Duration::from_mins(1));
    let neighbours = World::new();
    let neighbour = neighbours.load(ping("(call $ok)", "")).await;
    let spin = ping("(call $ok)", "(func $spin (loop (br 0))) (start $spin)");
    let mut done = 0_u32;
    let work = async {
        loop {
            effects(neighbours.call(&neighbour).await);
            done += 1;
            tokio::task::yield_now().await;
        }
    };
    let refusal = tokio::select! {
        refusal = world.refusal(spin) => refusal,
        () = work => unreachable!(),
    };
    assert!(refusal.contains("cpu"), "{refusal}");
    assert!(done >= NEIGHBOURS_CALLS, "{done}");
}

#[tokio::test]
async fn terminal_escapes_in_a_flood_of_lines_reach_nobodys_terminal() {
    let world = World::new();
    let flood = "
        (local $n i32)
        (loop
            (call $say (i32.const 4096) (i32.const 12))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 9000))))
        (call $reject (i32.const 4096) (i32.const 12))";
    let fields = r#"(data (i32.const 4096) "\1b]0;owned\07\0d\0a")"#;
    let outcome = format!("{:?}", world.run(ping(flood, fields)).await);
    let logged = world.logged();
    assert_eq!(logged.len(), 101);
    assert!(logged[100].contains("8900 more lines"), "{}", logged[100]);
    for line in logged.iter().chain([&outcome]) {
        assert!(!line.chars().any(char::is_control), "{line}");
    }
    assert_eq!(world.limits_hit(), ["log_lines"]);
}

#[tokio::test]
async fn a_storm_of_traps_leaves_every_slot_to_the_neighbour() {
    let world = World::with(|config| config.instances_max = 2);
    let trap = world.load(ping("(unreachable)", "")).await;
    let neighbour = world.load(ping("(call $ok)", "")).await;
    for _ in 0..200 {
        let (trapped, worked) = tokio::join!(world.call(&trap), world.call(&neighbour));
        assert_eq!(trapped.as_str(), "trap");
        effects(worked);
    }
}

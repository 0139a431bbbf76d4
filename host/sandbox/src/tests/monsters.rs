//! Components that are too much before anything of them is called: in code, in parts,
//! in types, in bytes, and with names that lead elsewhere.

use super::world::{World, effects};
use crate::testing::ping;

#[tokio::test]
async fn much_code_is_compiled_and_runs() {
    let loaded = World::new().load(crate::testing::heavy(100, 1_000)).await;
    assert_eq!(loaded.exports, ["on-ping"]);
}

/// A component whose parts are too many for any instance.
fn crowd(parts: &str, times: usize) -> Vec<u8> {
    let body = format!(
        "(component (core module $m (memory 1) (table 1 funcref)
            (func (export \"f\") (result i32) (i32.const 0))) {} {} )",
        parts.repeat(times),
        r#"(core instance $i (instantiate $m))
        (func $f (result (result)) (canon lift (core func $i "f")))
        (export "on-ping" (func $f))"#,
    );
    wat::parse_str(body).unwrap()
}

#[tokio::test]
async fn a_component_of_too_many_parts_is_not_loaded_and_told_of_which() {
    for (parts, times, says) in [
        (
            "(core instance (instantiate $m))",
            200,
            "core module instances",
        ),
        ("(core instance (instantiate $m))", 7, "linear memories"),
    ] {
        let refusal = World::new().refusal(crowd(parts, times)).await;
        assert!(refusal.contains(says), "{says}: {refusal}");
    }
}

/// A handler whose parameter has two members, of two members each, and so on.
fn bush(levels: usize) -> Vec<u8> {
    let level = |n: usize| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1);
    let types: String = (0..levels).map(level).collect();
    let body = format!(
        r#"(component (type $t0 (tuple u8 u8)) {types}
            (core module $m (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "f") (param i32)))
            (core instance $i (instantiate $m))
            (func $f (param "x" $t{levels}) (canon lift (core func $i "f")
                (memory (core memory $i "memory"))
                (realloc (core func $i "realloc"))))
            (export "on-ping" (func $f)))"#
    );
    wat::parse_str(body).unwrap()
}

#[tokio::test]
async fn types_that_double_with_each_level_are_refused_in_a_few_words() {
    for levels in [8, 16, 40] {
        let refusal = World::new().refusal(bush(levels)).await;
        assert!(refusal.len() < 4_000, "{levels}: {} bytes", refusal.len());
    }
}

#[tokio::test]
async fn names_that_are_paths_lead_nowhere() {
    let routed = |export: &str, pattern: &str| {
        let routes = format!(r#"(@custom "qx:routes" "{export}\t{pattern}\t*\n")"#);
        ping("(call $ok)", &routes)
    };
    for (bytes, says) in [
        (
            routed("../../evil", "ping"),
            "`../../evil`, which is not there",
        ),
        (routed("on-ping", "../../evil"), "is not legal"),
        (routed("on-ping", "a/../../b"), "is not legal"),
    ] {
        let refusal = World::new().refusal(bytes).await;
        assert!(refusal.contains(says), "{says}: {refusal}");
    }
    // A key of state is a value in a table, and an event's name a subject.
    let world = World::new();
    let set = "(call $set (i32.const 4096) (i32.const 10) (i32.const 4096) (i32.const 10) (i32.const 5000))";
    let emit = "(call $emit (i32.const 4096) (i32.const 10) (i32.const 1)
        (i32.const 4112) (i32.const 1) (i32.const 6000))";
    let path = r#"(data (i32.const 4096) "../../evil") (data (i32.const 4112) "1")"#;
    let done = effects(
        world
            .run(ping(&format!("{set} {emit} (call $ok)"), path))
            .await,
    );
    assert_eq!(done.writes[0].key, "../../evil");
    assert!(done.emitted.is_empty(), "no such name is emitted");
}

#[tokio::test]
async fn a_monster_of_fifty_megabytes_is_refused_or_loaded_and_nothing_falls_over() {
    let world = World::new();
    let mut padded = ping("(call $ok)", "");
    // A custom section of 50 MB: its id, its length in LEB128, a name of one letter.
    let body = 50_u32 << 20;
    padded.push(0);
    let mut rest = body;
    while rest >= 0x80 {
        padded.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    padded.push(u8::try_from(rest).unwrap());
    padded.extend([1, b'm']);
    padded.resize(padded.len() + body as usize - 2, 0);
    effects(world.run(padded.clone()).await);
    padded.extend([0; 64]);
    let refusal = world.refusal(padded).await;
    assert!(refusal.contains("cut off"), "{refusal}");
    let world = World::with(|config| config.component_bytes_max = 40 << 20);
    let refusal = world.refusal(vec![0; 50 << 20]).await;
    assert!(refusal.contains("at most 41943040"), "{refusal}");
}

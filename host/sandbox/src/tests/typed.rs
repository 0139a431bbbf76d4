//! Handlers that take a payload of a type of their own: what they are given, and what
//! never reaches them.

use qx_events::Outcome;

use super::world::{ID, World, effects};
use crate::testing::component;

const TYPES: &str = "
    include qx:events/imports@1.0.0;
    use qx:events/types@1.0.0.{context, event, failure};
    record star { full-name: string, stars: u32 }";

/// A component with a typed handler, `on-ping`, and the body of its function. The
/// first three parameters are the payload's.
fn star(body: &str) -> Vec<u8> {
    let world = format!("{TYPES} export on-ping: func(star: star) -> result<_, failure>;");
    let function = format!(r#"(func (export "on-ping") (param i32 i32 i32) (result i32) {body})"#);
    component(&world, &function)
}

#[tokio::test]
async fn a_payload_arrives_as_values_of_its_type() {
    let world = World::new();
    let body = "
        (call $say (local.get 0) (local.get 1))
        (if (i32.ne (local.get 2) (i32.const 42)) (then (unreachable)))
        (call $ok)";
    let loaded = world.load(star(body)).await;
    assert!(loaded.payloads[0].is_some());
    let payload = r#"{"stars": 42, "more": [1, {"x": null}], "full_name": "a/b"}"#;
    drop(effects(world.call_with(&loaded, payload).await));
    assert_eq!(world.logged(), ["a/b"]);
}

#[tokio::test]
async fn the_context_comes_beside_it_and_the_generic_event_in_the_same_component() {
    let world = World::new();
    let wit = format!(
        "{TYPES} export on-ping: func(star: star, context: context) -> result<_, failure>;
         export on-pong: func(event: event) -> result<_, failure>;"
    );
    // The record of the payload is 12 bytes long, that of the context follows.
    let fields = r#"
        (func (export "on-ping") (param $all i32) (result i32)
            (call $say-field (local.get $all) (i32.const 0))
            (call $say-field (local.get $all) (i32.const 12))
            (call $say-field (local.get $all) (i32.const 20))
            (call $say-option (local.get $all) (i32.const 64))
            (if (i32.ne (i32.load offset=28 (local.get $all)) (i32.const 3)) (then (unreachable)))
            (if (i32.ne (i32.load offset=112 (local.get $all)) (i32.const 2)) (then (unreachable)))
            (call $ok))
        (func (export "on-pong") (param i32) (result i32) (call $ok))"#;
    let loaded = world.load(component(&wit, fields)).await;
    let typed: Vec<bool> = loaded.payloads.iter().map(Option::is_some).collect();
    assert_eq!((loaded.exports.len(), typed), (2, vec![true, false]));
    let outcome = world
        .call_with(&loaded, r#"{"full_name": "a/b", "stars": 1}"#)
        .await;
    drop(effects(outcome));
    let tenant = "22222222-7d2f-4a35-9d2c-8e0f4a3f1b10";
    assert_eq!(world.logged(), ["a/b", ID, "ping", tenant]);
}

#[tokio::test]
async fn what_does_not_fit_is_rejected_with_its_path_and_without_a_call() {
    let world = World::new();
    let loaded = world.load(star("(unreachable)")).await;
    for (payload, said) in [
        (
            r#"{"full_name": "a/b"}"#,
            "stars: is missing, expected a whole number from 0 to 4294967295",
        ),
        (
            r#"{"full_name": 7, "stars": 1}"#,
            "full_name: expected a text, found a number",
        ),
        ("[]", "expected an object, found a list"),
    ] {
        let outcome = world.call_with(&loaded, payload).await;
        let Outcome::Rejected { reason } = outcome else {
            panic!("not rejected: {outcome:?}");
        };
        assert_eq!(
            reason,
            format!("the payload does not fit `on-ping`: {said}")
        );
    }
    assert!(world.costs().is_empty(), "no instance was made");
}

#[tokio::test]
async fn an_answer_of_a_typed_handler_is_an_outcome() {
    let world = World::new();
    for (answer, expected) in [
        ("(call $ok)", "done"),
        ("(call $reject (i32.const 3072) (i32.const 4))", "rejected"),
        (
            "(call $retry (i32.const 3072) (i32.const 4) (i64.const 7))",
            "retry",
        ),
        ("(unreachable)", "trap"),
    ] {
        let loaded = world.load(star(answer)).await;
        let outcome = world
            .call_with(&loaded, r#"{"full_name": "a", "stars": 1}"#)
            .await;
        assert_eq!(outcome.as_str(), expected);
        match outcome {
            Outcome::Retry { reason, after } => {
                assert_eq!((reason.as_str(), after.unwrap().as_millis()), ("none", 7));
            }
            Outcome::Rejected { reason } => assert_eq!(reason, "none"),
            Outcome::Done(_) | Outcome::Failed { .. } | Outcome::HostFault(_) => {}
        }
    }
}

#[tokio::test]
async fn types_can_stand_in_an_interface_of_the_authors_own_and_functions_cannot() {
    let wit = |more: &str| {
        format!(
            "include qx:events/imports@1.0.0; use qx:events/types@1.0.0.{{failure}};
            use acme:orders/events.{{star}};
            export on-ping: func(star: star) -> result<_, failure>; {more}
            --- package acme:orders {{ interface events {{
                record star {{ full-name: string, stars: u32 }}
            }} interface work {{ do: func(); }} }}"
        )
    };
    let function = r#"(func (export "on-ping") (param i32 i32 i32) (result i32) (call $ok))"#;
    let world = World::new();
    let loaded = world.load(component(&wit(""), function)).await;
    let ours = ["types", "log", "emit"].map(|name| format!("qx:events/{name}@1.0.0"));
    assert_eq!(loaded.imports, ours, "an interface of types alone is none");
    let outcome = world
        .call_with(&loaded, r#"{"full_name": "a", "stars": 1}"#)
        .await;
    drop(effects(outcome));
    let import = r#"(import "acme:orders/work" "do" (func $do))"#;
    let called =
        r#"(func (export "on-ping") (param i32 i32 i32) (result i32) (call $do) (call $ok))"#;
    let asking = crate::testing::encode(
        &wit("import acme:orders/work;"),
        &crate::testing::module(import, called),
    );
    let refusal = world.refusal(asking).await;
    assert!(refusal.contains("`acme:orders/work`"), "{refusal}");
}

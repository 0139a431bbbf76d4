//! What is deployed to a running host: how it comes into service, what keeps it out,
//! and that neither harms an event.
#![cfg(test)]

use acceptance::{Way, World, component, digest};
use qx_sandbox::testing::ping;
use serde_json::{Value, json};

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

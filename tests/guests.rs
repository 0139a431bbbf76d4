//! What an author of handlers does: a new project, its component, the folder of a
//! running host; and `dev`, which rebuilds as the source changes.
//!
//! Compiles to WebAssembly with whatever this machine has for it. What the examples
//! have compiled already is not compiled again.
#![cfg(test)]

use std::path::Path;

use acceptance::{Host, Ran, Way, World, repository};
use serde_json::{Value, json};

fn order(customer: &str) -> Value {
    json!({"customer": customer})
}

/// Runs `qx-host` with the examples' folder for what cargo makes.
async fn building(world: &World, args: &[&str]) -> Ran {
    let target = target();
    world.qx_with(args, &[("CARGO_TARGET_DIR", &target)]).await
}

fn target() -> String {
    repository()
        .join("examples/target")
        .to_str()
        .unwrap()
        .to_owned()
}

/// A new project, with the versions that the examples are locked to. Each test has
/// a name of its own: what cargo makes of them lies in one folder.
async fn project(world: &World, name: &str) {
    drop(world.qx(&["new", name]).await.ok());
    let lock = repository().join("examples/Cargo.lock");
    std::fs::copy(lock, world.path(name).join("Cargo.lock")).unwrap();
}

/// Changes a file as an editor does.
fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_is_built_dropped_into_a_running_host_and_takes_the_next_event() {
    let mut world = World::with(Way::Embedded, &[]).await;
    project(&world, "orders").await;
    let again = world.qx(&["new", "orders"]).await;
    again.fails(1, &["orders is there already", "--path"]);
    world.run().await;

    let built = building(&world, &["build", "orders", "--out", "components"])
        .await
        .ok();
    assert!(built.stdout.contains("components/orders.wasm"), "{built:?}");
    world.serves(&["orders"]).await;
    assert_eq!(
        world.listed("orders").await["events"],
        json!(["order.placed"])
    );
    drop(world.trigger("order.placed", &order("ada")).await);
    let counted = "SELECT json_extract(payload, '$.payload.orders') || '' FROM qx_outbox_events \
                   WHERE event_name = 'order.counted'";
    world.settles(counted, &[&["1"]]).await;

    let source = world.path("orders/src/lib.rs");
    edit(&source, "unwrap_or(0) + 1", "unwrap_or(0) + true");
    let before = std::fs::read(world.path("components/orders.wasm")).unwrap();
    let refused = building(&world, &["build", "orders", "--out", "components"]).await;
    refused.fails(1, &["it did not compile", "cannot add `bool`"]);
    let after = std::fs::read(world.path("components/orders.wasm")).unwrap();
    assert_eq!(before, after, "a build that fails replaces nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_shows_what_an_event_did_and_rebuilds_what_is_edited() {
    let world = World::bare(Way::Embedded).await;
    // What `dev` leaves behind is found by the other commands where there is no file.
    std::fs::remove_file(world.path("qx-host.toml")).unwrap();
    project(&world, "sales").await;
    let log = world.path("host.log");
    let target = target();
    let mut dev = Host::start(
        world.dir(),
        &log,
        &["dev", "sales"],
        &[("CARGO_TARGET_DIR", &target)],
    );
    world.prints("sales.wasm").await;
    world.prints("qx-host trigger").await;
    world.serves(&["sales"]).await;
    drop(world.trigger("order.placed", &order("ada")).await);
    prints_line(&world, &["order.placed", "sales", "done", "emitted 1"]).await;
    prints_line(&world, &["ada has placed 1 orders"]).await;

    let first = world.listed("sales").await["digest"].clone();
    let source = world.path("sales/src/lib.rs");
    edit(&source, "an order of nobody", "whose order is it");
    let is_new = |seen: &Value| seen["state"] == "serving" && seen["digest"] != first;
    let second = world.lists("sales", is_new).await["digest"].clone();
    drop(world.trigger("order.placed", &order("")).await);
    prints_line(
        &world,
        &["order.placed", "sales", "dead letter", "whose order is it"],
    )
    .await;

    edit(&source, "unwrap_or(0) + 1", "unwrap_or(0) + true");
    prints_line(&world, &["it did not compile"]).await;
    assert_eq!(
        world.listed("sales").await["digest"],
        second,
        "the last good build serves on"
    );
    edit(&source, "unwrap_or(0) + true", "unwrap_or(0) + 10");
    let is_newer = |seen: &Value| seen["state"] == "serving" && seen["digest"] != second;
    world.lists("sales", is_newer).await;
    drop(world.trigger("order.placed", &order("ada")).await);
    prints_line(&world, &["ada has placed 11 orders"]).await;
    let third = world.listed("sales").await["digest"].clone();
    let short: String = third.as_str().unwrap().chars().take(12).collect();
    prints_line(&world, &["component is in service", "sales", &short]).await;

    let routes = "[[routes]]\nevents = [\"order.placed\", \"order.paid\"]\n";
    world.write("sales/sales.toml", routes);
    let events = json!(["order.placed", "order.paid"]);
    world.lists("sales", |seen| seen["events"] == events).await;
    assert!(dev.is_running());
    assert_eq!(dev.stop().await, 0, "{}", world.printed());
}

/// Waits until one line has all of these.
async fn prints_line(world: &World, parts: &[&str]) {
    let look = async || {
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        let found = world.printed().lines().any(has_all);
        if found {
            Ok(())
        } else {
            Err("other lines".to_owned())
        }
    };
    world
        .eventually(&format!("a line with {parts:?}"), look)
        .await;
}

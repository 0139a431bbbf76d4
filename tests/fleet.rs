//! What one host has found out of a build, and another host of the same database.
#![cfg(test)]

use std::path::Path;

use acceptance::{Host, Way, World, digest, free_port};
use qx_sandbox::testing::ping;
use serde_json::{Value, json};

const FAILED: i32 = 1;

/// A build that handles pings, and one that traps at each.
const FINE: &str = "(call $ok)";
const TRAPS: &str = "(unreachable)";

/// The file of the second host's configuration, and its folder.
const SECOND: &str = "second.toml";
const FOLDER: &str = "second";

/// A second host of the same database and stream, with a folder of its own.
fn second(world: &World, admin: &str) -> Host {
    std::fs::create_dir_all(world.path(FOLDER)).unwrap();
    let own = format!("dir = \"{FOLDER}\"\nbuilds_dir = \".qx/builds-second\"");
    let config = world.config().replace("dir = \"components\"", &own);
    world.write(SECOND, &config.replace(world.admin(), admin));
    let args = ["--config", SECOND, "run", "--live"];
    Host::start(world.dir(), &world.path("second.log"), &args, &[])
}

/// What the second host says of `pings`.
async fn listed(world: &World) -> Value {
    let args = ["--config", SECOND, "handlers", "list", "--output", "json"];
    let ran = world.qx(&args).await;
    if ran.code != 0 {
        return Value::Null; // It is not there yet.
    }
    let all = ran.json();
    let own = all.as_array().unwrap().iter();
    let mut own = own.filter(|view| view["component"] == "pings");
    own.next().cloned().unwrap_or_default()
}

async fn second_lists(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let look = async || {
        let seen = listed(world).await;
        if is(&seen) {
            Ok(seen)
        } else {
            Err(seen.to_string())
        }
    };
    world.eventually(what, look).await
}

fn put(folder: &Path, file: &str, bytes: &[u8]) {
    let half = folder.join("half");
    std::fs::write(&half, bytes).unwrap();
    std::fs::rename(half, folder.join(file)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_one_host_took_back_is_taken_back_and_refused_by_the_other() {
    let mut world = World::with(Way::Servers, &[]).await;
    let (good, bad) = (ping(FINE, ""), ping(TRAPS, ""));
    let (fine, taken_back) = (digest(&good), digest(&bad));
    std::fs::write(world.path("bad.wasm"), &bad).unwrap();
    // The first is strict; the second would try the build for ever.
    world.put(
        "pings.toml",
        b"[canary]\npercent = 50\nfailed_percent = 0\n",
    );
    world.put("pings.wasm", &good);
    world.run().await;
    world.serves(&["pings"]).await;
    let admin = format!("127.0.0.1:{}", free_port());
    let mut other = second(&world, &admin);
    let folder = world.path(FOLDER);
    let patient = b"[canary]\npercent = 1\nevents = 1000000\nfailed_percent = 100\n";
    put(&folder, "pings.toml", patient);
    put(&folder, "pings.wasm", &good);
    let serves = |seen: &Value| seen["digest"] == fine.as_str() && seen["state"] == "serving";
    second_lists(&world, "the second host serves", serves).await;

    put(&folder, "pings.wasm", &bad);
    let is_tried = |seen: &Value| seen["canary"]["digest"] == taken_back.as_str();
    second_lists(&world, "the second host tries the build", is_tried).await;
    let swap = ["handlers", "swap", "pings", "bad.wasm"];
    let said = world.qx(&swap).await.ok().stdout;
    assert!(said.contains("is tried with 50 %"), "{said}");
    let line = json!({"event_name": "ping", "payload": {}}).to_string();
    world.write("events.jsonl", &format!("{line}\n").repeat(60));
    drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());

    let is_back = |seen: &Value| serves(seen) && seen["canary"].is_null();
    world.lists("pings", is_back).await;
    let seen = second_lists(&world, "the second host takes it back", is_back).await;
    let reason = seen["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("taken back"), "{seen}");

    // Asked again it says no, by a command, by a copy, and after a restart.
    let args = ["--config", SECOND, "handlers", "swap", "pings", "bad.wasm"];
    let refused = world.qx(&args).await;
    refused.fails(FAILED, &["tried and taken back", "--force"]);
    other.kill();
    put(&folder, "pings.wasm", &bad);
    let _other = second(&world, &admin);
    let seen = second_lists(&world, "the second host serves the old one", is_back).await;
    assert_ne!(seen["digest"], taken_back.as_str());

    let marks = "SELECT count(*)::text FROM qx_inbox WHERE component = 'pings'";
    world.settles(marks, &[&["60"]]).await;
    let by = "SELECT DISTINCT encode(digest, 'hex') FROM qx_inbox WHERE component = 'pings'";
    assert_eq!(world.rows(by).await, [[fine]], "by the old build alone");
    let dead = world.qx(&["dlq", "list", "--output", "json"]).await.json();
    assert_eq!(dead, json!([]));
}

//! Swaps without end: under load nothing is lost or repeated, and memory returns.
#![cfg(test)]

use std::sync::Arc;

use acceptance::{Way, World, component, digest, rebuilt};
use qx_events::ports::Clock;
use qx_events::{Component, ComponentName, Settings};
use qx_host::admin::client;
use qx_host::catalog::Parts;
use qx_pipeline::Mediator;
use qx_sandbox::testing::ping;
use qx_sandbox::{Manifest, Sandbox, SandboxConfig};
use serde_json::json;

const STAR: &str = "github.star.created";

/// Alternates two builds of `stars` in a running host, so many times.
async fn swaps(world: &World, times: usize) {
    let builds = ["one", "two"].map(|mark| Parts {
        wasm: rebuilt("stars", mark),
        sidecar: std::fs::read(world.path("components/stars.toml")).ok(),
        signature: None,
    });
    let (address, name) = (
        world.admin().parse().unwrap(),
        ComponentName::parse("stars").unwrap(),
    );
    let dir = world.path("components");
    for build in builds.iter().cycle().take(times) {
        let digest = build.digest().to_string();
        let announced = json!({"digest": digest, "by": "storm"}).to_string();
        let path = "/api/handlers/stars/announce";
        client::post(address, path, &announced).await.unwrap();
        build.put(&dir, &name).unwrap();
        let look = async || {
            let views = client::handlers(address)
                .await
                .map_err(|error| error.to_string())?;
            let own = views.iter().find(|view| view.component == "stars");
            let serving = own.and_then(|view| view.digest.clone());
            if serving.as_ref() == Some(&digest) {
                Ok(())
            } else {
                Err(format!("{own:?}"))
            }
        };
        world.eventually("the build is in service", look).await;
    }
}

/// As many swaps as a host can make, while events keep coming: none is lost or
/// repeated, each is handled by one of the two builds, and the consumer stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_swaps_under_load_loses_and_repeats_nothing() {
    const SWAPS: usize = 100;
    const EVENTS: usize = 400;
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    world.run().await;
    world.serves(&["stars"]).await;
    let star = json!({"repository": {"full_name": "ada/engine"}, "sender": {"login": "ada"}});
    let line = json!({"event_name": STAR, "payload": star}).to_string();
    world.write("events.jsonl", &format!("{line}\n").repeat(EVENTS / 4));
    let load = async {
        for _ in 0..4 {
            drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
        }
    };
    tokio::join!(swaps(&world, SWAPS), load);
    let all = EVENTS.to_string();
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'stars'";
    world.settles(marks, &[&[&all]]).await;
    let state = "SELECT value FROM qx_state WHERE component = 'stars'";
    assert_eq!(world.rows(state).await, [[all.as_str()]]);
    let emitted = "SELECT CAST(count(*) AS TEXT), \
                   CAST(count(DISTINCT json_extract(payload, '$.payload.stars')) AS TEXT) \
                   FROM qx_outbox_events WHERE event_name = 'repo.starred'";
    assert_eq!(world.rows(emitted).await, [[all.as_str(), all.as_str()]]);
    let builds = "SELECT DISTINCT lower(hex(digest)) FROM qx_inbox";
    let known = [
        std::fs::read(component("stars")).unwrap(),
        rebuilt("stars", "one"),
        rebuilt("stars", "two"),
    ];
    let known = known.map(|bytes| digest(&bytes));
    for row in world.rows(builds).await {
        assert!(known.contains(&row[0]), "{row:?}");
    }
    let lines = "SELECT CAST(count(*) AS TEXT) FROM qx_deployments WHERE who = 'storm'";
    let swaps = SWAPS.to_string();
    assert_eq!(
        world.rows(lines).await,
        [[swaps.as_str()]],
        "each is written down"
    );
    let dead = world
        .qx(&["dlq", "list", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(dead, json!([]));
}

/// The memory of this process that is in use, in kilobytes, and its mappings.
fn footprint() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes = rss.split_whitespace().next().unwrap().parse().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (
        kilobytes,
        maps.lines().filter(|line| line.contains(".cwasm")).count(),
    )
}

struct Now;

impl Clock for Now {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::UNIX_EPOCH
    }
}

/// Loads, checks, instantiates and puts in service, again and again.
#[tokio::test]
async fn memory_returns_after_ten_thousand_swaps() {
    const SWAPS: usize = 10_000;
    /// What an allocator may hold back, in kilobytes.
    const SLACK_KB: u64 = 24 << 10;
    let cache = tempfile::tempdir().unwrap();
    let mut config = SandboxConfig::new(Arc::new(Now));
    config.cache_dir = Some(cache.path().join("cache"));
    config.instances_max = 4;
    let (sandbox, mediator) = (Sandbox::new(config).unwrap(), Mediator::default());
    let name = ComponentName::parse("pings").unwrap();
    let builds = [
        ping("(call $ok)", ""),
        ping("(call $ok)", "(global i32 (i32.const 1))"),
    ];
    let (mut warm, mut seen) = ((0, 0), Vec::new());
    for (at, build) in builds.iter().cycle().take(SWAPS).enumerate() {
        let loaded = sandbox
            .load(build.clone(), Manifest::new(name.clone()))
            .await
            .unwrap();
        let component = Component::new(
            name.clone(),
            loaded.digest,
            Settings::default(),
            loaded.handler,
            loaded.bindings,
        );
        mediator.install(&Arc::new(component.unwrap()));
        if at == SWAPS / 10 {
            warm = footprint();
        }
        if at % (SWAPS / 10) == 0 {
            seen.push(footprint());
        }
    }
    let (kilobytes, mappings) = footprint();
    assert!(kilobytes <= warm.0 + SLACK_KB, "{warm:?}, then {seen:?}");
    // The build in service, and the one that is being replaced.
    assert!(
        mappings <= warm.1 && warm.1 <= 16,
        "{warm:?}, then {seen:?}"
    );
}

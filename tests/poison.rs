//! Events that bring the host down each time it handles them, and pauses that a
//! handler asked for: what is remembered of attempts outlives host and broker.
#![cfg(test)]

use std::time::Duration;

use acceptance::{Way, World};
use qx_events::attempts::DEATHS_MAX;
use serde_json::{Value, json};

/// How long a host may take to come to where it dies.
const PATIENCE: Duration = Duration::from_mins(1);

/// An issue that `triage` takes without a word.
fn opened(number: u32) -> Value {
    json!({
        "action": "opened",
        "issue": {"number": number, "title": "it", "labels": []},
        "repository": {"full_name": "ada/engine"},
    })
}

/// Starts hosts that die of one event until one is drained; returns how many died.
async fn deaths(world: &mut World, poison: &str) -> u32 {
    for deaths in 0..20 {
        let args = ["--until-drained"];
        world.run_with(&args, &[("QX_CRASH_ON", poison)]).await;
        let mut host = world.host.take().unwrap();
        let status = host.ended(PATIENCE).await;
        if status.success() {
            return deaths;
        }
        assert_eq!(status.code(), None, "ended by a signal: {}", host.printed());
        if let Some(nats) = &mut world.nats {
            // It forgets what it had not written down.
            nats.restart().await.unwrap();
        }
    }
    panic!("not found: {}", world.printed());
}

async fn found(way: Way) {
    let mut world = World::with(way, &["triage", "audit-trail"]).await;
    let mut poison = String::new();
    for number in 1..=12 {
        let id = world.trigger("github.issues.opened", &opened(number)).await;
        if number == 6 {
            poison = id;
        }
    }
    let deaths = deaths(&mut world, &poison).await;
    // Two components take it, and each may die of it.
    assert!((1..=2 * DEATHS_MAX).contains(&deaths), "{deaths}");

    let listed = world.qx(&["dlq", "list", "--output", "json"]).await.ok();
    let letters = listed.json();
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in letters {
        assert_eq!(letter["event_id"], poison.as_str(), "{letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.starts_with("crash_loop: the host died"), "{reason}");
    }
    let handled = "SELECT component, CAST(count(*) AS TEXT) FROM qx_inbox \
                   GROUP BY component ORDER BY component";
    let rows = world.rows(handled).await;
    assert_eq!(rows[1], ["triage", "11"], "{rows:?}");
    let begun = "SELECT CAST(count(*) AS TEXT) FROM qx_attempts WHERE NOT dead";
    assert_eq!(world.rows(begun).await, [["0"]], "gone with the commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_host_is_found_and_its_neighbours_are_handled_on_the_embedded_way()
{
    found(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_host_is_found_though_nats_restarts_each_time() {
    found(Way::Servers).await;
}

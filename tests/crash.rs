//! The process dies, anywhere and in each named crash window: after the next
//! start everything is as if it had not happened.
#![cfg(test)]

use std::time::Duration;

use acceptance::trial::{SPIN_LONG, Trial};
use acceptance::{Way, World, account, digest, rebuilt, webhooks_file};
use qx_sandbox::testing::ping;
use serde_json::json;

/// How long a host may take to come to where it dies.
const PATIENCE: Duration = Duration::from_mins(1);

/// Webhooks are recorded so often: enough work for several deaths.
const TIMES: usize = 3;

async fn world(way: Way) -> World {
    let world = World::with(way, &account::COMPONENTS).await;
    let lines = webhooks_file();
    for _ in 0..TIMES {
        drop(
            world
                .qx(&["trigger", "--lines", lines.to_str().unwrap()])
                .await
                .ok(),
        );
    }
    world
}

/// Runs until the process dies in the window, then without.
async fn dies_in(way: Way, window: &str) {
    let mut world = world(way).await;
    for nth in [1, 2] {
        let at = format!("{window}:{nth}");
        world.run_with(&[], &[("QX_CRASH_AT", &at)]).await;
        let mut host = world.host.take().unwrap();
        let status = host.ended(PATIENCE).await;
        assert_eq!(status.code(), None, "ended by a signal: {}", host.printed());
    }
    world.drain().await;
    account::check(&world, TIMES).await;
}

macro_rules! crash_windows {
    ($($name:ident: $window:literal),* $(,)?) => {
        mod embedded {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::dies_in(super::Way::Embedded, $window).await;
            }
        )*}
        mod servers {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::dies_in(super::Way::Servers, $window).await;
            }
        )*}
    };
}

crash_windows! {
    relay_1: "relay-1",
    consumer_1: "consumer-1",
    consumer_2: "consumer-2",
    attempt_1: "attempt-1",
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_after_reading_leaves_every_row_to_the_next() {
    dies_in(Way::Servers, "relay-read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_after_marking_leaves_nothing_to_repeat() {
    dies_in(Way::Servers, "relay-marked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_before_the_handler_leaves_the_event_to_the_next() {
    dies_in(Way::Servers, "consumer-taken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_after_the_handler_and_before_the_commit_leaves_no_trace_of_it() {
    dies_in(Way::Servers, "consumer-called").await;
}

/// Killed while the guest computes: every handler is in the midst of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_in_the_handler_leaves_no_trace_of_it() {
    let mut trial = Trial::new("dies-in-the-handler", &["tally"]).await;
    trial.is_patient();
    trial.record(2, &json!({"spin": SPIN_LONG})).await;
    trial.world.run_with(&[], &[]).await;
    trial.is_in_flight("tally").await;
    trial.world.kill();
    trial.world.run_with(&[], &[]).await;
    trial.is_good().await;
}

/// The embedded stream counts messages as in flight that nobody has any more.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_1() {
    let mut world = world(Way::Embedded).await;
    world
        .run_with(&[], &[("QX_CRASH_AT", "consumer-1:5")])
        .await;
    let mut host = world.host.take().unwrap();
    assert_eq!(
        host.ended(PATIENCE).await.code(),
        None,
        "{}",
        host.printed()
    );
    let url = format!("sqlite://{}", world.path("qx-stream.db").display());
    let stream = acceptance::Database::Sqlite(sqlx::SqlitePool::connect(&url).await.unwrap());
    let in_flight = stream
        .rows("SELECT CAST(count(*) AS TEXT) FROM qx_stream_deliveries")
        .await;
    assert_ne!(
        in_flight.unwrap(),
        [["0"]],
        "messages were in hand when it died"
    );
    world.drain().await;
    account::check(&world, TIMES).await;
}

/// The host dies when it has taken a request to retry a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn retry_1() {
    let mut world = World::with(Way::Embedded, &["triage"]).await;
    let lines = webhooks_file();
    drop(
        world
            .qx(&["trigger", "--lines", lines.to_str().unwrap()])
            .await
            .ok(),
    );
    world.drain().await;
    drop(world.qx(&["dlq", "retry", "--all"]).await.ok());
    world.run_with(&[], &[("QX_CRASH_AT", "retry-1")]).await;
    let mut host = world.host.take().unwrap();
    assert_eq!(
        host.ended(PATIENCE).await.code(),
        None,
        "{}",
        host.printed()
    );

    let attempts = "SELECT CAST(delivered_count AS TEXT) FROM qx_dead_letters";
    assert_eq!(
        world.rows(attempts).await,
        [["1"], ["1"]],
        "kept as they were"
    );
    // Ten minutes later.
    let later = "UPDATE qx_dead_letters SET retry_taken_at = '2026-01-01T00:00:00.000Z'";
    world.database().await.execute(later).await;
    world.run_with(&[], &[]).await;
    world.settles(attempts, &[&["2"], &["2"]]).await;
}

/// Kills the host again and again while it works.
async fn killed_at_random_moments(way: Way) {
    let mut world = world(way).await;
    for deaths in 1..=4 {
        world.run_with(&[], &[]).await;
        let wanted = format!("{}", deaths * 40);
        // Some work was done, or all of it: either is a moment to die in.
        let sql = format!(
            "SELECT CASE WHEN count(*) >= {wanted} THEN 'enough' ELSE 'few' END FROM qx_inbox"
        );
        world.settles(&sql, &[&["enough"]]).await;
        world.kill();
    }
    world.drain().await;
    account::check(&world, TIMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_or_repeated_on_the_embedded_way() {
    killed_at_random_moments(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_or_repeated_on_postgresql_and_nats() {
    killed_at_random_moments(Way::Servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_and_database_may_die_under_load() {
    let mut world = world(Way::Servers).await;
    world.run_with(&[], &[]).await;
    let some = "SELECT CASE WHEN count(*) >= 30 THEN 'enough' ELSE 'few' END FROM qx_inbox";
    world.settles(some, &[&["enough"]]).await;
    world.nats.as_mut().unwrap().restart().await.unwrap();
    let more = "SELECT CASE WHEN count(*) >= 90 THEN 'enough' ELSE 'few' END FROM qx_inbox";
    world.settles(more, &[&["enough"]]).await;
    world.postgres.as_ref().unwrap().restart().unwrap();
    let all = format!(
        "SELECT CASE WHEN count(*) >= {} THEN 'all' ELSE CAST(count(*) AS TEXT) END FROM qx_inbox",
        178 * TIMES
    );
    world.settles(&all, &[&["all"]]).await;
    let host = world.host.take().unwrap();
    assert_eq!(host.stop().await, 0, "{}", world.printed());
    world.drain().await;
    account::check(&world, TIMES).await;
}

const FINE: &str = "(call $ok)";

/// The host has died in its window.
async fn dies(world: &mut World) {
    let mut host = world.host.take().unwrap();
    let status = host.ended(PATIENCE).await;
    assert_eq!(status.code(), None, "ended by a signal: {}", host.printed());
}

async fn history(world: &World, component: &str) -> Vec<(String, String)> {
    let args = ["handlers", "history", component, "--output", "json"];
    let lines = world.qx(&args).await.ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let line = |line: &serde_json::Value| (text(&line["action"]), text(&line["by"]));
    lines.as_array().unwrap().iter().map(line).collect()
}

/// The command that puts a build into the folder dies between its settings and itself.
#[tokio::test(flavor = "multi_thread")]
async fn deploy_1() {
    let mut world = World::with(Way::Embedded, &["triage"]).await;
    world.run().await;
    world.serves(&["triage"]).await;
    let old = world.listed("triage").await["digest"].clone();
    let bytes = rebuilt("triage", "two");
    std::fs::write(world.path("two.wasm"), &bytes).unwrap();
    world.write("two.toml", "[limits]\ncpu_ms = 1999\n");
    let load = [
        "handlers",
        "load",
        "two.wasm",
        "--name",
        "triage",
        "--sidecar",
        "two.toml",
    ];
    let died = world.qx_with(&load, &[("QX_CRASH_AT", "deploy-1")]).await;
    assert_eq!(died.code, -1, "ended by a signal: {died:?}");
    assert!(world.path("components/triage.toml").is_file());
    assert_eq!(world.listed("triage").await["digest"], old);
    drop(world.qx(&load).await.ok());
    assert_eq!(
        world.listed("triage").await["digest"],
        digest(&bytes).as_str()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_2() {
    let mut world = World::with(Way::Embedded, &["triage"]).await;
    world.run_with(&[], &[("QX_CRASH_AT", "deploy-2:2")]).await;
    world.ready().await;
    world.serves(&["triage"]).await;
    let bytes = rebuilt("triage", "two");
    world.put("triage.wasm", &bytes);
    dies(&mut world).await;
    world.run().await;
    let is_new = |seen: &serde_json::Value| seen["digest"] == digest(&bytes).as_str();
    world.lists("triage", is_new).await;
    let line = |action: &str| (action.to_owned(), "folder".to_owned());
    assert_eq!(
        history(&world, "triage").await,
        [line("swap"), line("load")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_3() {
    let mut world = World::with(Way::Embedded, &[]).await;
    world.run_with(&[], &[("QX_CRASH_AT", "deploy-3")]).await;
    world.ready().await;
    world.put(
        "pings.toml",
        b"[canary]\npercent = 100\nfailed_percent = 0\n",
    );
    let (good, bad) = (ping(FINE, ""), ping("(unreachable)", ""));
    world.put("pings.wasm", &good);
    world.serves(&["pings"]).await;
    world.put("pings.wasm", &bad);
    world
        .lists("pings", |seen| seen["canary"].is_object())
        .await;
    drop(world.trigger("ping", &json!({})).await);
    dies(&mut world).await;
    assert_eq!(
        std::fs::read(world.path("components/pings.wasm")).unwrap(),
        bad
    );
    world.run().await;
    let is_back = |seen: &serde_json::Value| {
        seen["state"] == "serving" && seen["digest"] == digest(&good).as_str()
    };
    world.lists("pings", is_back).await;
    assert_eq!(
        std::fs::read(world.path("components/pings.wasm")).unwrap(),
        good
    );
    let handled = "SELECT lower(hex(digest)) FROM qx_inbox WHERE component = 'pings'";
    world.settles(handled, &[&[&digest(&good)]]).await;
}

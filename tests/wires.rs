//! The wires between the host, its broker and its database lose answers: what was
//! done without an answer counts as done, once.
#![cfg(test)]

use acceptance::proxy::{Proxy, Wire};
use acceptance::trial::{IN_ORDER, Trial};
use acceptance::{Way, World};
use serde_json::json;

/// Events of one recording.
const EVENTS: u64 = 60;
/// The same, as a count of marks.
const EVENTS_EACH: usize = 60;

/// Bytes after which answers were surely lost: more than a heartbeat has.
const LOST: u64 = 500;

/// A trial whose host reaches the broker through a proxy.
async fn broker_behind_a_proxy(name: &str, components: &[&'static str]) -> (Trial, Proxy) {
    let world = World::bare(Way::Servers).await;
    let url = world.nats.as_ref().unwrap().url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::to(port).await;
    let through = format!("nats://127.0.0.1:{}", proxy.port());
    world.write("qx-host.toml", &world.config().replace(&url, &through));
    (Trial::within(world, name, components).await, proxy)
}

/// A trial whose host reaches the database through a proxy.
async fn database_behind_a_proxy(name: &str, components: &[&'static str]) -> (Trial, Proxy) {
    let world = World::bare(Way::Servers).await;
    let port = world.postgres.as_ref().unwrap().port();
    let proxy = Proxy::to(port).await;
    let (from, to) = (format!(":{port}/"), format!(":{}/", proxy.port()));
    world.write("qx-host.toml", &world.config().replace(&from, &to));
    (Trial::within(world, name, components).await, proxy)
}

async fn messages_on_the_stream(trial: &Trial) -> u64 {
    let context = trial.world.jetstream().await;
    let mut stream = context.get_stream("QX_EVENTS").await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_broker_that_is_lost_makes_no_second_message() {
    let (mut trial, proxy) = broker_behind_a_proxy("answer-lost", &["tally"]).await;
    trial.world.run().await;
    for nth in 1..=3 {
        proxy.set(Wire::DeafClient);
        trial.record(EVENTS, &json!({})).await;
        proxy.has_swallowed(LOST).await;
        proxy.set(Wire::Open);
        trial.has_handled(nth * EVENTS_EACH).await;
    }
    trial.ends().await;
    // What was emitted went over the same wire.
    assert_eq!(messages_on_the_stream(&trial).await, 2 * 3 * EVENTS);
    trial.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_are_lost_repeat_no_effect() {
    let (mut trial, proxy) = broker_behind_a_proxy("acknowledgement-lost", &["tally"]).await;
    trial.world.run().await;
    for nth in 1..=2 {
        trial.record(EVENTS, &json!({"spin": 2_000_000})).await;
        trial.is_in_flight("tally").await;
        proxy.set(Wire::DeafServer);
        proxy.has_swallowed(LOST).await;
        proxy.set(Wire::Open);
        trial.has_handled(nth * EVENTS_EACH).await;
    }
    trial.is_good().await;
}

/// The commit is made, and nobody hears of it; or it is not made, and nobody hears
/// of that. Both look the same to the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nobody_hears_is_made_once() {
    let (mut trial, proxy) = database_behind_a_proxy("commit-unknown", &["tally"]).await;
    trial.world.run().await;
    for nth in 1..=6 {
        let wire = if nth % 2 == 0 {
            Wire::CutBefore(b"COMMIT")
        } else {
            Wire::CutAfter(b"COMMIT")
        };
        proxy.set(wire);
        trial.record(EVENTS, &json!({})).await;
        proxy.has_cut(nth).await;
        trial.has_handled(EVENTS_EACH * nth as usize).await;
    }
    trial.is_good().await;
}

/// Everything is cut, for a while, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_is_cut_under_load_loses_and_repeats_nothing() {
    for (trial, proxy) in [
        broker_behind_a_proxy("broker-cut", &["tally", IN_ORDER]).await,
        database_behind_a_proxy("database-cut", &["tally", IN_ORDER]).await,
    ] {
        let mut trial = trial;
        trial.world.run_with(&[], &[]).await;
        let load = trial.load();
        for _ in 0..3 {
            trial.gets_on().await;
            proxy.set(Wire::Cut);
            let committed = load.committed();
            let look = async || {
                if load.committed() > committed + 20 {
                    Ok(())
                } else {
                    Err("fewer".to_owned())
                }
            };
            trial
                .world
                .eventually("events are recorded meanwhile", look)
                .await;
            proxy.set(Wire::Open);
        }
        load.stop().await;
        trial.is_good().await;
    }
}

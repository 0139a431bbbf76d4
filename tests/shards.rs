//! The outbox in parts, each with a relay of its own, on several hosts: the order of a
//! key holds, each part finds another relay, and no two hosts have it in other parts.
#![cfg(test)]

use acceptance::trial::{IN_ORDER, Trial};
use acceptance::{Way, World};
use serde_json::json;

const FAILED: i32 = 1;
const SHARDS: &str = "[relay]\nshards = 3\nshard_by = \"correlation\"\n";

async fn in_parts(name: &str) -> Trial {
    let world = World::bare(Way::Servers).await;
    let config = world.config().replace("[relay]\n", SHARDS);
    let config = config.replace("[consumer]\n", "[consumer]\nlease_s = 2\n");
    world.write("qx-host.toml", &config);
    Trial::within(world, name, &["tally", IN_ORDER]).await
}

/// Who relays which part.
async fn relays(trial: &Trial) -> Vec<Vec<String>> {
    let sql = "SELECT name, holder FROM qx_leases WHERE name LIKE 'relay%' AND holder <> '' ORDER BY name";
    trial.world.rows(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_key_holds_though_its_part_goes_from_host_to_host() {
    let mut trial = in_parts("shards").await;
    trial.world.run_with(&[], &[]).await;
    let mut second = trial.second("second.toml", &[], &[]);
    let load = trial.load();
    trial.gets_on().await;
    let parts: Vec<String> = relays(&trial)
        .await
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(parts, ["relay:0/3", "relay:1/3", "relay:2/3"]);
    for _ in 0..2 {
        trial.history.note("kill -9 of the first host");
        trial.world.kill();
        trial.gets_on().await;
        trial.history.note("the broker is killed");
        trial.world.nats.as_mut().unwrap().restart().await.unwrap();
        trial.world.run_with(&[], &[]).await;
        trial.gets_on().await;
        trial
            .history
            .note("the second host is stopped past its lease");
        second.signal("STOP");
        trial.gets_on().await;
        second.signal("CONT");
        trial.history.note("kill -9 of the second host");
        second.kill();
        second = trial.second("second.toml", &[], &[]);
        trial.gets_on().await;
    }
    load.stop().await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_parts_is_refused_until_every_host_has_stopped() {
    let mut trial = in_parts("shards-changed").await;
    trial.world.run().await;
    trial.record(20, &json!({})).await;
    trial.has_handled(40).await;
    let as_it_was = std::fs::read_to_string(trial.world.path("qx-host.toml")).unwrap();
    let other = as_it_was.replace("shards = 3", "shards = 5");
    trial
        .world
        .write("other.toml", &other.replace(trial.world.admin(), ""));
    let run = trial.world.qx(&["--config", "other.toml", "run"]).await;
    let said = [
        "the outbox is in 3 parts by correlation",
        "says 5 parts by correlation",
    ];
    run.fails(FAILED, &said);
    let migrate = trial.world.qx(&["--config", "other.toml", "migrate"]).await;
    migrate.fails(FAILED, &["is at work (lease ", "stop every host"]);
    trial.record(20, &json!({})).await;
    trial.has_handled(80).await;
    let host = trial.world.host.take().unwrap();
    assert_eq!(host.stop().await, 0);
    // What was recorded meanwhile is in the new parts.
    trial.record(20, &json!({})).await;
    trial.world.write("qx-host.toml", &other);
    let migrated = trial.world.qx(&["migrate"]).await.ok().stdout;
    assert!(
        migrated.contains("the outbox is in 5 parts by correlation"),
        "{migrated}"
    );
    trial.world.run().await;
    trial.has_handled(120).await;
    trial.ends().await;
    let parts = relays(&trial).await;
    let of_five = |row: &&Vec<String>| row[0].ends_with("/5");
    assert_eq!(parts.iter().filter(of_five).count(), 5, "{parts:?}");
    trial.is_good().await;
}

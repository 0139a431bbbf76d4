//! Brokers that lose a part of themselves under load: a consumer, a server of three,
//! the space on their disk.
#![cfg(test)]

use acceptance::trial::{IN_ORDER, Trial};
use acceptance::{Way, World};
use qx_broker::testing::{Cluster, Disk};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deleted_under_load_is_made_again_and_nothing_is_lost() {
    let mut trial = Trial::new("consumer-deleted", &["tally", "tally-two", IN_ORDER]).await;
    trial.world.run().await;
    let context = trial.world.jetstream().await;
    let load = trial.load();
    for _ in 0..3 {
        trial.gets_on().await;
        let stream = context.get_stream("QX_EVENTS").await.unwrap();
        for component in ["tally", IN_ORDER] {
            let consumer = format!("qx_{component}");
            stream.delete_consumer(&consumer).await.unwrap();
        }
        trial.gets_on().await;
    }
    load.stop().await;
    trial.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_that_loses_one_server_after_the_other_loses_nothing() {
    let mut cluster = Cluster::start().await.unwrap();
    let world = World::bare(Way::Servers).await;
    let own = format!("servers = [\"{}\"]", world.nats.as_ref().unwrap().url());
    let all = format!("servers = {:?}\nreplicas = 3", cluster.urls());
    world.write("qx-host.toml", &world.config().replace(&own, &all));
    let mut trial = Trial::within(world, "cluster", &["tally", "tally-two", IN_ORDER]).await;
    trial.world.run().await;
    let load = trial.load();
    trial.gets_on().await;
    let replicas = async |cluster: &Cluster| {
        let context = cluster.context().await.unwrap();
        let stream = context.get_stream("QX_EVENTS").await.unwrap();
        stream.cached_info().config.num_replicas
    };
    assert_eq!(replicas(&cluster).await, 3);
    for _ in 0..2 {
        let leader = cluster.leader_of("QX_EVENTS").await.unwrap_or_default();
        trial.history.note(format!("server {leader} dies"));
        cluster.servers[leader].kill();
        trial.gets_on().await;
        cluster.servers[leader].restart().await.unwrap();
        cluster.ready().await.unwrap();
        trial.gets_on().await;
    }
    load.stop().await;
    trial.is_good().await;
}

/// nats-server 2.15 does not write again by itself once there is space: it has to be
/// started anew, which is its operator's part. The host needs nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_full_takes_nothing_and_everything_goes_out_when_it_was_freed() {
    let disk = Disk::mount().await.unwrap();
    let world = World::bare_with(Way::Servers, disk.setup().unwrap()).await;
    let mut trial = Trial::within(world, "disk-full", &["tally", IN_ORDER]).await;
    trial.world.run().await;
    trial.record(50, &json!({})).await;
    trial.has_handled(50).await;
    disk.fill().unwrap();
    let filler = "x".repeat(2_000);
    trial.record(200, &json!({"filler": filler})).await;
    trial.world.prints("rows wait until this works again").await;
    let status = trial
        .world
        .qx(&["outbox", "status", "--output", "json"])
        .await;
    let status = status.ok().json();
    assert!(status["pending"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["failed"], 0, "the broker's fault is not the row's");
    disk.free().unwrap();
    trial.world.nats.as_mut().unwrap().restart().await.unwrap();
    trial.is_good().await;
}

//! The main job, end to end, on both ways: every recorded webhook goes from the
//! outbox into the handlers, and every one of them is accounted for.
#![cfg(test)]

use acceptance::{Way, World, account, webhooks_file};

async fn main_job(way: Way) {
    let mut world = World::with(way, &account::COMPONENTS).await;
    let lines = webhooks_file();
    let recorded = world
        .qx(&["trigger", "--lines", lines.to_str().unwrap()])
        .await
        .ok();
    assert!(recorded.stdout.contains("129 events"), "{recorded:?}");
    world.drain().await;
    account::check(&world, 1).await;

    let printed = world.printed();
    assert!(
        printed.contains("Every event is accounted for."),
        "{printed}"
    );
    let status = world
        .qx(&["outbox", "status", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(status["pending"], 0);
    assert_eq!(status["failed"], 0);
    let letters = world
        .qx(&["dlq", "list", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(letters.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_is_accounted_for_on_the_embedded_way() {
    main_job(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_is_accounted_for_on_postgresql_and_nats() {
    main_job(Way::Servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_and_consumer_may_be_processes_of_their_own() {
    let mut world = World::with(Way::Servers, &account::COMPONENTS).await;
    let lines = webhooks_file();
    drop(
        world
            .qx(&["trigger", "--lines", lines.to_str().unwrap()])
            .await
            .ok(),
    );
    world.run_with(&["--roles", "relay"], &[]).await;
    let waiting = "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events WHERE published_at IS NULL";
    world.settles(waiting, &[&["0"]]).await;
    let handled = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox";
    assert_eq!(
        world.rows(handled).await,
        [["0"]],
        "a relay alone calls no handler"
    );
    let relay = world.host.take().unwrap();
    assert_eq!(relay.stop().await, 0);

    world.drain().await;
    account::check(&world, 1).await;
}

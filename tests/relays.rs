//! The relay against real servers: rows that can never go out do not hold up the
//! others, and of several relays one is in charge, with another ready to follow.
#![cfg(test)]

use std::path::PathBuf;

use acceptance::{Host, Way, World};
use qx_broker::testing::Setup;
use serde_json::json;
use uuid::Uuid;

/// Records events as a producer with plain SQL does.
async fn record(world: &World, event_name: &str, count: usize) {
    let insert = format!(
        "INSERT INTO qx_outbox_events (id, event_name, payload, occurred_at) \
         SELECT gen_random_uuid(), '{event_name}', jsonb_build_object( \
             'event_id', gen_random_uuid(), 'event_name', '{event_name}', 'payload', n), now() \
         FROM generate_series(1, {count}) AS n"
    );
    world.database().await.execute(&insert).await;
}

async fn published(world: &World, count: usize) {
    let waiting = "SELECT CAST(count(*) FILTER (WHERE published_at IS NULL AND failed_at IS NULL) AS TEXT), \
                   CAST(count(*) FILTER (WHERE published_at IS NOT NULL) AS TEXT) FROM qx_outbox_events";
    world.settles(waiting, &[&["0", &count.to_string()]]).await;
}

async fn messages_on_the_stream(world: &World) -> u64 {
    let client = async_nats::connect(world.nats.as_ref().unwrap().url())
        .await
        .unwrap();
    let context = async_nats::jetstream::new(client);
    let mut stream = context.get_stream("QX_EVENTS").await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_published_is_set_aside_with_its_reason_and_the_others_go_on() {
    const LIMIT: usize = 65_536;
    let setup = Setup {
        extra: format!("max_payload: {LIMIT}"),
        ..Setup::default()
    };
    let mut world = World::bare_with(Way::Servers, setup).await;
    drop(world.qx(&["migrate"]).await.ok());
    let insert = async |event_name: &str, body: serde_json::Value| {
        let insert = "INSERT INTO qx_outbox_events (id, event_name, payload, occurred_at) \
                      VALUES (gen_random_uuid(), $1, $2::jsonb, now())";
        let insert = sqlx::query(insert).bind(event_name).bind(body.to_string());
        insert.execute(world.database().await.pool()).await.unwrap();
    };
    let large = "x".repeat(LIMIT);
    record(&world, "good.before", 1).await;
    insert(
        "two words",
        json!({"event_id": Uuid::new_v4(), "payload": 1}),
    )
    .await;
    insert("no.id", json!({"payload": 1})).await;
    insert("no.envelope", json!([1, 2])).await;
    insert(
        "too.large",
        json!({"event_id": Uuid::new_v4(), "payload": large}),
    )
    .await;
    record(&world, "good.behind", 3).await;

    world.run().await;
    published(&world, 4).await;
    let status = world
        .qx(&["outbox", "status", "--output", "json"])
        .await
        .ok()
        .json();
    let expected =
        json!({"pending": 0, "oldest_pending_ms": 0, "delayed": 0, "published": 4, "failed": 4});
    assert_eq!(status, expected);
    let reasons = "SELECT event_name, last_error FROM qx_outbox_events \
                   WHERE failed_at IS NOT NULL ORDER BY seq";
    let reasons = world.rows(reasons).await;
    for (row, (name, part)) in reasons.iter().zip([
        ("two words", "`two words` is not legal"),
        ("no.id", "event_id"),
        ("no.envelope", "envelope"),
        ("too.large", "65536"),
    ]) {
        assert_eq!(row[0], name);
        assert!(row[1].contains(part), "no {part} in {}", row[1]);
    }
    assert_eq!(messages_on_the_stream(&world).await, 4);
    let told = world.qx(&["doctor"]).await.ok().stdout;
    assert!(told.contains("4 rows were set aside"), "{told}");

    // Put right, a row goes out.
    let mended = "UPDATE qx_outbox_events SET event_name = 'one.word', failed_at = NULL \
                  WHERE event_name = 'two words'";
    world.database().await.execute(mended).await;
    published(&world, 5).await;
}

/// A second relay in the same world, with an admin address of its own.
fn second(world: &World) -> (Host, PathBuf) {
    let config = world.config().replace(world.admin(), "");
    world.write("second.toml", &config);
    let log = world.path("second.log");
    let args = [
        "--config",
        "second.toml",
        "run",
        "--live",
        "--roles",
        "relay",
    ];
    (Host::start(world.dir(), &log, &args, &[]), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_publish_each_row_once_and_the_second_follows_when_the_first_dies() {
    const ROWS: usize = 50;
    const IN_CHARGE: &str = "this relay is in charge";
    let mut world = World::with(Way::Servers, &[]).await;
    world.run_with(&["--roles", "relay"], &[]).await;
    world.prints(IN_CHARGE).await;
    let (second, second_log) = second(&world);
    let look = async || {
        let printed = second.printed();
        if printed.contains("connected to NATS") {
            Ok(())
        } else {
            Err(printed)
        }
    };
    world.eventually("the second relay is there", look).await;
    for _ in 0..4 {
        record(&world, "a.b", ROWS).await;
    }
    published(&world, 4 * ROWS).await;
    assert_eq!(messages_on_the_stream(&world).await, 4 * ROWS as u64);
    for printed in [world.printed(), second.printed()] {
        assert!(
            !printed.contains("known already"),
            "something was sent twice: {printed}"
        );
    }
    assert!(
        !second.printed().contains(IN_CHARGE),
        "{}",
        second.printed()
    );

    world.kill();
    record(&world, "a.b", ROWS).await;
    published(&world, 5 * ROWS).await;
    assert_eq!(messages_on_the_stream(&world).await, 5 * ROWS as u64);
    let printed = std::fs::read_to_string(second_log).unwrap();
    assert!(printed.contains(IN_CHARGE), "{printed}");
    assert_eq!(second.stop().await, 0);
}

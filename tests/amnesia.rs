//! The broker confirms, and then forgets: wiped, deleted, or restored from an older
//! copy, with the host down or at work. What was lost goes out again, once; what was
//! handled stays handled once.
#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use acceptance::{Way, World, account, webhooks_file};
use async_nats::jetstream::{self, Context};

/// Webhooks are recorded so often: enough to be in the midst of them.
const TIMES: usize = 2;

/// Events handled when the disaster comes: some, and by far not all.
const SOME: usize = 60;

/// Inbox marks of one recording.
const MARKS: usize = 178;

/// A host at work, that has handled some events.
async fn at_work(way: Way) -> World {
    let mut world = World::with(way, &account::COMPONENTS).await;
    record(&world, TIMES).await;
    world.run_with(&[], &[]).await;
    handles(&world, SOME).await;
    world
}

async fn record(world: &World, times: usize) {
    let lines = webhooks_file();
    for _ in 0..times {
        let args = ["trigger", "--lines", lines.to_str().unwrap()];
        drop(world.qx(&args).await.ok());
    }
}

/// Waits until so many events are handled, or more.
async fn handles(world: &World, marks: usize) {
    let sql =
        format!("SELECT CASE WHEN count(*) >= {marks} THEN 'enough' ELSE 'few' END FROM qx_inbox");
    world.settles(&sql, &[&["enough"]]).await;
}

async fn context(world: &World) -> Context {
    let url = world.nats.as_ref().unwrap().url();
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// Waits until each row has its message on the stream that is there now, and the
/// stream no other.
async fn every_row_is_on_the_stream_once(world: &World) {
    let context = context(world).await;
    let look = || async {
        let stream = context.get_stream("QX_EVENTS").await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let info = stream.info().await.map_err(|error| error.to_string())?;
        let (made, messages) = (info.created.unix_timestamp_nanos(), info.state.messages);
        let sql = format!(
            "SELECT CAST(count(*) AS TEXT), CAST(count(DISTINCT stream_seq) FILTER (WHERE stream_created = {made}) AS TEXT) \
             FROM qx_outbox_events"
        );
        let rows = world.rows(&sql).await;
        let wanted = messages.to_string();
        if rows == [[wanted.clone(), wanted]] {
            Ok(())
        } else {
            Err(format!(
                "{messages} messages, rows and those on the stream: {rows:?}"
            ))
        }
    };
    let what = "every row is on the stream once";
    world.eventually(what, look).await;
}

/// Waits until everything is handled, and gives it the time to go wrong.
async fn all_is_well(mut world: World, times: usize) {
    handles(&world, MARKS * times).await;
    if world.way() == Way::Servers {
        every_row_is_on_the_stream_once(&world).await;
    }
    if let Some(host) = world.host.take() {
        assert_eq!(host.stop().await, 0, "{}", world.printed());
    }
    world.drain().await;
    account::check(&world, times).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_wiped_while_the_host_is_down_gets_every_event_again() {
    let mut world = at_work(Way::Servers).await;
    world.kill();
    let nats = world.nats.as_mut().unwrap();
    nats.wipe().unwrap();
    nats.restart().await.unwrap();
    world.run_with(&[], &[]).await;
    all_is_well(world, TIMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_wiped_under_load_gets_every_event_again() {
    let mut world = at_work(Way::Servers).await;
    let nats = world.nats.as_mut().unwrap();
    nats.wipe().unwrap();
    nats.restart().await.unwrap();
    world
        .prints("the stream lost messages that it had confirmed")
        .await;
    all_is_well(world, TIMES).await;
}

/// Behind a connection that stands, under load and again when all is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_under_load_is_made_again_with_every_event() {
    let world = at_work(Way::Servers).await;
    let context = context(&world).await;
    context.delete_stream("QX_EVENTS").await.unwrap();
    handles(&world, MARKS * TIMES).await;
    every_row_is_on_the_stream_once(&world).await;
    context.delete_stream("QX_EVENTS").await.unwrap();
    all_is_well(world, TIMES).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            (entry.path(), to)
        };
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::copy(entry, to).unwrap();
        }
    }
}

/// Puts the broker back to where it was when `SOME` events were handled. Half of
/// the events came since.
async fn restored_from_an_older_copy(is_down: bool) {
    let mut world = at_work(Way::Servers).await;
    handles(&world, MARKS * TIMES).await;
    let older = world.path("older");
    let nats = world.nats.as_mut().unwrap();
    nats.kill();
    copy(&nats.store(), &older);
    nats.restart().await.unwrap();
    record(&world, TIMES).await;
    handles(&world, MARKS * (TIMES + 1)).await;
    if is_down {
        world.kill();
    }
    let nats = world.nats.as_mut().unwrap();
    nats.wipe().unwrap();
    copy(&older, &nats.store());
    nats.restart().await.unwrap();
    if is_down {
        world.run_with(&[], &[]).await;
    }
    record(&world, 1).await;
    all_is_well(world, 2 * TIMES + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_with_an_older_store_gets_what_it_lacks_again() {
    restored_from_an_older_copy(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_that_came_while_the_host_was_down_is_found_out_at_the_start() {
    restored_from_an_older_copy(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_stream_whose_file_is_gone_gets_every_event_again() {
    let mut world = at_work(Way::Embedded).await;
    world.kill();
    for file in ["qx-stream.db", "qx-stream.db-wal", "qx-stream.db-shm"] {
        // Not every one of them is there.
        drop(std::fs::remove_file(world.path(file)));
    }
    assert!(!world.path("qx-stream.db").exists());
    world.run_with(&[], &[]).await;
    all_is_well(world, TIMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_the_broker_may_lose_and_what_to_do() {
    let world = World::with(Way::Servers, &[]).await;
    let stream = jetstream::stream::Config {
        name: "QX_EVENTS".to_owned(),
        subjects: vec!["svc.>".to_owned()],
        duplicate_window: Duration::from_mins(10),
        max_age: Duration::from_hours(1),
        ..Default::default()
    };
    let made = context(&world).await.create_stream(stream).await;
    made.unwrap();
    let ran = world.qx(&["doctor", "--output", "json"]).await.ok();
    let findings = ran.json();
    let all = findings.as_array().unwrap().iter();
    let own: Vec<_> = all.filter(|one| one["what"] == "durability").collect();
    assert_eq!(own.len(), 2, "{own:?}");
    for (finding, state, part) in [
        (
            own[0],
            "warning",
            "nats stream edit QX_EVENTS --max-age=72h",
        ),
        (own[1], "ok", "sync_interval: always"),
    ] {
        assert_eq!(finding["state"], state);
        let detail = finding["detail"].as_str().unwrap();
        assert!(detail.contains(part), "no {part} in {detail}");
    }
}

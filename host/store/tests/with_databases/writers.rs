//! Transactions that have a `seq` and are not over: what a relay that keeps the order
//! of `seq` waits for. On a server only; a file has one writer at a time.

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Outbox, Writers};
use qx_store::{Store, StoreConfig, producer, testing};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::world::{World, event};

const INSERT: &str =
    "INSERT INTO qx_outbox_events (event_name, payload, occurred_at) VALUES ('a', '{}', now())";

async fn connect(url: &str) -> (PgConnection, i32) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    let pid = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut conn);
    let pid = pid.await.unwrap().get(0);
    (conn, pid)
}

async fn run(conn: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

async fn writers(outbox: &Arc<dyn Outbox>) -> Writers {
    outbox.writers().await.unwrap()
}

async fn who_has_written_is_open_until_it_is_over(world: World) {
    let outbox = &world.outbox;
    assert_eq!(writers(outbox).await, Writers::default());
    assert_eq!(outbox.oldest_writer().await.unwrap(), None);
    let (mut slow, pid) = connect(&world.url).await;
    run(&mut slow, "BEGIN").await;
    assert_eq!(writers(outbox).await.open, []);
    run(&mut slow, INSERT).await;
    world.record(&[event("b")]).await;
    let found = writers(outbox).await;
    assert_eq!(found.newest, Some(outbox.pending(1).await.unwrap()[0].seq));
    let [writer] = &found.open[..] else {
        panic!("{found:?}")
    };
    assert_eq!(writer.pid, Some(pid));
    assert!(writer.number.is_some());
    let oldest = outbox.oldest_writer().await.unwrap().unwrap();
    assert_eq!(oldest.pid, Some(pid));
    assert!(oldest.open_ms.is_some() && oldest.who.contains("user qx"));
    // A savepoint has a number of its own, and makes no other transaction.
    run(&mut slow, &format!("SAVEPOINT s; {INSERT}")).await;
    assert_eq!(writers(outbox).await.open, found.open);
    run(&mut slow, "COMMIT").await;
    assert_eq!(writers(outbox).await.open, []);
    // Nothing of it was published, and its rows come first.
    assert_eq!(world.waiting().await, ["a", "b", "a"]);
    run(&mut slow, &format!("BEGIN; {INSERT}; ROLLBACK")).await;
    assert_eq!(writers(outbox).await.open, []);
}

#[tokio::test]
async fn who_has_written_is_open_until_it_is_over_on_a_connection_of_ones_own() {
    who_has_written_is_open_until_it_is_over(World::postgres().await).await;
}

#[tokio::test]
async fn who_has_written_is_open_until_it_is_over_behind_a_pooler() {
    who_has_written_is_open_until_it_is_over(World::pooled().await).await;
}

/// A long report, or an import into another table, holds nothing back.
#[tokio::test]
async fn who_reads_or_writes_elsewhere_is_no_writer() {
    let world = World::postgres().await;
    world.record(&[event("a")]).await;
    let (mut other, _) = connect(&world.url).await;
    run(
        &mut other,
        "CREATE TABLE elsewhere (n int); BEGIN; INSERT INTO elsewhere VALUES (1);
         SELECT count(*) FROM qx_outbox_events; SELECT * FROM qx_outbox_events FOR UPDATE",
    )
    .await;
    assert_eq!(writers(&world.outbox).await.open, []);
    let server = testing::Postgres::shared().unwrap();
    let second = server.fresh_database().unwrap();
    let store = Store::connect(&StoreConfig::new(&second)).await.unwrap();
    store.migrate().await.unwrap();
    let (mut there, _) = connect(&second).await;
    run(&mut there, &format!("BEGIN; {INSERT}")).await;
    assert_eq!(writers(&world.outbox).await.open, []);
    assert_eq!(writers(&store.outbox()).await.open.len(), 1);
}

/// Between taking a `seq` and writing the row there is a moment in which it has no
/// number yet.
#[tokio::test]
async fn who_is_about_to_write_is_open_before_it_has_a_number() {
    let world = World::postgres().await;
    let (mut gate, _) = connect(&world.url).await;
    run(&mut gate, "SELECT pg_advisory_lock(7)").await;
    let (mut slow, pid) = connect(&world.url).await;
    let insert = async move {
        let sql = "INSERT INTO qx_outbox_events (event_name, payload, occurred_at)
            SELECT 'a', '{}', now() FROM (SELECT pg_advisory_xact_lock(7) OFFSET 0) AS gate";
        run(&mut slow, sql).await;
    };
    let look = async {
        loop {
            let found = writers(&world.outbox).await.open;
            if let [writer] = &found[..] {
                assert_eq!((writer.pid, writer.number), (Some(pid), None));
                break;
            }
            tokio::task::yield_now().await;
        }
        run(&mut gate, "SELECT pg_advisory_unlock(7)").await;
    };
    let both = async { tokio::join!(insert, look) };
    tokio::time::timeout(Duration::from_mins(1), both)
        .await
        .unwrap();
    assert_eq!(writers(&world.outbox).await.open, []);
}

#[tokio::test]
async fn a_prepared_transaction_stays_open_under_its_number() {
    let server = testing::Postgres::start().unwrap();
    let url = server.database("qx").unwrap();
    let (mut conn, _) = connect(&url).await;
    run(&mut conn, "ALTER SYSTEM SET max_prepared_transactions = 2").await;
    server.restart().unwrap();
    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.migrate().await.unwrap();
    let outbox = store.outbox();
    let (mut slow, _) = connect(&url).await;
    run(&mut slow, &format!("BEGIN; {INSERT}")).await;
    let before = writers(&outbox).await.open;
    run(&mut slow, "PREPARE TRANSACTION 'two phases'").await;
    let after = writers(&outbox).await.open;
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(before[0].number, after[0].number);
    assert_eq!(after[0].pid, None);
    let oldest = outbox.oldest_writer().await.unwrap().unwrap();
    assert!(oldest.who.contains("two phases"), "{oldest:?}");
    run(&mut slow, "COMMIT PREPARED 'two phases'").await;
    assert_eq!(writers(&outbox).await.open, []);
}

/// Six that write at once, in transactions of several rows, some of them taken back.
/// Whenever a look finds nobody, all is there that will ever be, up to the newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_before_what_was_newest_when_nobody_was_writing() {
    let world = World::postgres().await;
    let url = world.url.clone();
    let writer = async |number: u64| {
        let mut conn = PgConnection::connect(&url).await.unwrap();
        for round in 0..60 {
            let mut tx = conn.begin().await.unwrap();
            for _ in 0..=(number + round) % 3 {
                producer::record(&mut *tx, &event("a")).await.unwrap();
            }
            if (number + round).is_multiple_of(7) {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
        }
    };
    let all = async {
        tokio::join!(
            writer(1),
            writer(2),
            writer(3),
            writer(4),
            writer(5),
            writer(6)
        );
    };
    tokio::pin!(all);
    let (mut known, mut complete_to) = (std::collections::BTreeSet::new(), 0);
    for last in [false, true] {
        loop {
            let found = writers(&world.outbox).await;
            if let (Some(newest), true) = (found.newest, found.open.is_empty()) {
                let rows = world.outbox.pending_to(newest, 10_000).await.unwrap();
                for row in rows {
                    let is_new = known.insert(row.seq);
                    assert!(!is_new || row.seq > complete_to, "{} came late", row.seq);
                }
                complete_to = newest;
            }
            let step = async {
                if last {
                    return true;
                }
                tokio::select! {
                    () = &mut all => true,
                    () = tokio::task::yield_now() => false,
                }
            };
            if step.await {
                break;
            }
        }
    }
    let rows = world.number("SELECT count(*) FROM qx_outbox_events").await;
    assert_eq!(known.len(), usize::try_from(rows).unwrap());
}

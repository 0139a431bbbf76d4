//! What only a server can do wrong: plans, restarts, locks, what a pooler would
//! see.

use std::time::Duration;

use qx_events::LetterFilter;
use qx_events::ports::Settled;
use qx_store::{Store, StoreConfig, testing};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::world::{World, event, letter, name, published, settlement, with_state};

async fn text(conn: &mut PgConnection, sql: &str) -> String {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(conn)
        .await
        .unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>(0) + "\n")
        .collect()
}

/// With few rows waiting among many, and with very many waiting.
#[tokio::test]
async fn rows_that_wait_are_found_by_their_index_without_a_sort() {
    let world = World::postgres().await;
    let mut conn = PgConnection::connect(&world.url).await.unwrap();
    let insert = "INSERT INTO qx_outbox_events (event_name, payload, occurred_at, published_at)
        SELECT 'a', '{}', now(), CASE WHEN n > 100 THEN now() END FROM generate_series(1, 20000) AS n;
        ANALYZE qx_outbox_events";
    for prepare in [
        insert,
        "UPDATE qx_outbox_events SET published_at = NULL; ANALYZE qx_outbox_events",
    ] {
        sqlx::raw_sql(prepare).execute(&mut conn).await.unwrap();
        let explain = "EXPLAIN SELECT seq, id, coalesce(body, payload::text) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= 19000
            ORDER BY seq LIMIT 1000";
        let newest = "EXPLAIN SELECT seq FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
            ORDER BY seq DESC LIMIT 1";
        let plan = text(&mut conn, newest).await;
        assert!(
            plan.contains("Scan Backward using qx_outbox_pending"),
            "{plan}"
        );
        let plan = text(&mut conn, explain).await;
        assert!(
            plan.contains("Index Scan using qx_outbox_pending"),
            "{plan}"
        );
        assert!(
            !plan.contains("Sort") && !plan.contains("Seq Scan"),
            "{plan}"
        );
    }
    assert_eq!(world.outbox.pending(1_000).await.unwrap().len(), 1_000);
}

/// A plan that compared every row that waits with every row of the batch would
/// run into the time limit here. Nine times, because the server plans anew for
/// the first five.
#[tokio::test]
async fn rows_are_marked_by_their_index_before_there_are_statistics() {
    let world = World::postgres().await;
    world
        .sql(
            "ALTER TABLE qx_outbox_events SET (autovacuum_enabled = off);
              INSERT INTO qx_outbox_events (event_name, payload, occurred_at)
              SELECT 'a', '{}', now() FROM generate_series(1, 60000)",
        )
        .await;
    let lease = world.lease().await;
    for _ in 0..9 {
        let rows = world.outbox.pending(1_000).await.unwrap();
        assert!(
            world
                .mark(lease, rows.iter().rev().map(|row| row.seq))
                .await
        );
    }
    let sql = "SELECT count(*) FROM qx_outbox_events WHERE stream_seq = seq + 1000";
    assert_eq!(world.number(sql).await, 9_000);
}

/// Published rows are not counted when somebody asks.
#[tokio::test]
async fn status_does_not_read_the_published_rows() {
    let world = World::postgres().await;
    world
        .sql(
            "INSERT INTO qx_outbox_events (event_name, payload, occurred_at)
               SELECT 'a', '{}', now() FROM generate_series(1, 5000)",
        )
        .await;
    let lease = world.lease().await;
    let seqs: Vec<i64> = world
        .outbox
        .pending(4_990)
        .await
        .unwrap()
        .iter()
        .map(|row| row.seq)
        .collect();
    assert!(world.mark(lease, seqs).await);
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.published), (10, 4_990));
    assert_eq!(
        world.outbox.clean_up(Duration::ZERO, 1_000).await.unwrap(),
        1_000
    );
    assert_eq!(world.outbox.status().await.unwrap().published, 3_990);
    world.sql("TRUNCATE qx_outbox_events").await;
    assert_eq!(world.outbox.status().await.unwrap().published, 0);
}

/// Behind a pooler the next transaction is on another connection of the server:
/// no statement may have a name, no setting may outlive its transaction.
#[tokio::test]
async fn nothing_stays_on_a_connection_behind_a_pooler() {
    let server = testing::Postgres::start().unwrap();
    let url = server.database("qx").unwrap() + "?statement-cache-capacity=0";
    let migrating = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    migrating.migrate().await.unwrap();
    migrating.close().await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let log = "ALTER DATABASE qx SET log_statement = 'all'";
    sqlx::raw_sql(log).execute(&mut conn).await.unwrap();

    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.check().await.unwrap();
    let (outbox, ledger, letters) = (store.outbox(), store.ledger(), store.dead_letters());
    let mut one = with_state("a", &[("k", None)], &[("k", Some("1")), ("l", None)]);
    one.effects.emitted.push(event("a"));
    assert_eq!(ledger.settle(&[one]).await.unwrap(), [Settled::Committed]);
    ledger.read_state(&name("a"), None, "k").await.unwrap();
    let lease = outbox
        .lease("a", Duration::from_mins(1))
        .await
        .unwrap()
        .unwrap();
    let rows = outbox.pending(1).await.unwrap();
    assert!(
        outbox
            .mark_published(lease, &[published(rows[0].seq)])
            .await
            .unwrap()
    );
    outbox.clean_up(Duration::ZERO, 10).await.unwrap();
    letters.bury(&letter("a", "x")).await.unwrap();
    letters
        .request_retry(&LetterFilter::default())
        .await
        .unwrap();
    assert_eq!(letters.take_requested(1).await.unwrap().len(), 1);
    store.audit().await.unwrap();

    let log = server.log();
    assert!(log.contains("execute <unnamed>:"), "{log}");
    assert!(!log.contains("execute sqlx_s"), "{log}");
    let settings = log.matches("SET statement_timeout").count();
    assert!(
        log.contains("SET LOCAL statement_timeout") && settings == 0,
        "{log}"
    );
}

#[tokio::test]
async fn a_restart_of_the_server_is_a_transient_fault_and_heals() {
    let server = testing::Postgres::start().unwrap();
    let url = server.database("qx").unwrap();
    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.migrate().await.unwrap();
    let (outbox, ledger) = (store.outbox(), store.ledger());
    let one = settlement("a");
    assert_eq!(
        ledger.settle(std::slice::from_ref(&one)).await.unwrap(),
        [Settled::Committed]
    );
    server.kill().unwrap();
    let fault = outbox.status().await.unwrap_err();
    assert!(fault.is_transient(), "{}", fault.chain());
    let fault = ledger.settle(std::slice::from_ref(&one)).await.unwrap_err();
    assert!(fault.is_transient(), "{}", fault.chain());
    server.up().unwrap();
    // A connection that broke is found out at the latest by the call that uses it.
    while let Err(fault) = outbox.status().await {
        assert!(fault.is_transient(), "{}", fault.chain());
    }
    assert_eq!(ledger.settle(&[one]).await.unwrap(), [Settled::Duplicate]);
}

/// Numbers are given out before the commit, so they do not come in its order.
#[tokio::test]
async fn a_row_whose_transaction_ends_late_is_read_after_later_ones_went_out() {
    let world = World::postgres().await;
    let mut slow = PgConnection::connect(&world.url).await.unwrap();
    let mut slow = slow.begin().await.unwrap();
    let insert = "INSERT INTO qx_outbox_events (event_name, payload, occurred_at) VALUES ('slow', '{}', now())";
    sqlx::query(insert).execute(&mut *slow).await.unwrap();
    world.record(&[event("quick"), event("quick")]).await;
    let lease = world.lease().await;
    let early = world.outbox.pending(10).await.unwrap();
    assert_eq!(early.len(), 2);
    assert!(world.mark(lease, early.iter().map(|row| row.seq)).await);
    slow.commit().await.unwrap();
    let late = world.outbox.pending(10).await.unwrap();
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].event_name, "slow");
    assert!(early.iter().all(|row| row.seq > late[0].seq));
}

/// A person's open transaction in psql must not stop the host for ever.
#[tokio::test]
async fn a_lock_that_is_never_given_back_is_a_transient_fault() {
    let world = World::postgres().await;
    let mut conn = PgConnection::connect(&world.url).await.unwrap();
    let lock = "BEGIN; LOCK TABLE qx_leases IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let fault = world
        .outbox
        .lease("a", Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(fault.is_transient(), "{}", fault.chain());
    assert!(fault.chain().contains("lock timeout"), "{}", fault.chain());
    sqlx::raw_sql("ROLLBACK").execute(&mut conn).await.unwrap();
    world.lease().await;
}

/// A producer with a role and a search path of its own, which knows one table.
#[tokio::test]
async fn a_role_that_knows_only_the_outbox_can_write_and_mark_it() {
    let world = World::postgres().await;
    world.record(&[event("a"), event("b")]).await;
    world
        .sql(
            "DROP ROLE IF EXISTS relay_of_old; CREATE ROLE relay_of_old;
              GRANT SELECT, INSERT, UPDATE, DELETE ON qx_outbox_events TO relay_of_old;
              SET ROLE relay_of_old; SET search_path = pg_catalog;
              UPDATE public.qx_outbox_events SET published_at = now() WHERE event_name = 'a';
              DELETE FROM public.qx_outbox_events WHERE event_name = 'a';
              UPDATE public.qx_outbox_events SET published_at = now(), attempts = attempts + 1;
              RESET ROLE; DROP OWNED BY relay_of_old; DROP ROLE relay_of_old",
        )
        .await;
    assert_eq!(world.outbox.status().await.unwrap().published, 1);
}

/// With hundreds of thousands of rows that are kept, and none of them lost.
#[tokio::test]
async fn what_the_stream_has_lost_is_looked_for_in_its_index() {
    let world = World::postgres().await;
    world
        .sql(
            "ALTER TABLE qx_outbox_events SET (autovacuum_enabled = off);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at, published_at,
                stream_name, stream_created, stream_seq)
             SELECT 'a', '{}', now(), now(), 'QX', 7, n FROM generate_series(1, 200000) AS n",
        )
        .await;
    let stream = qx_events::ports::StreamState {
        name: "QX".to_owned(),
        created_ns: 7,
        last_seq: 200_000,
    };
    let lease = world.lease().await;
    for statistics in ["", "ANALYZE qx_outbox_events"] {
        world.sql(statistics).await;
        let reads = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
                     FROM pg_stat_user_tables WHERE relname = 'qx_outbox_events'";
        let before = world.number(reads).await;
        for _ in 0..7 {
            let forgotten = world.outbox.forget_lost(lease, &stream, 5_000).await;
            assert_eq!(forgotten.unwrap(), Some(0));
        }
        let read = world.number(reads).await - before;
        assert!(read < 1_000, "{read} rows were read");
    }
    let shorter = qx_events::ports::StreamState {
        last_seq: 199_990,
        ..stream
    };
    let forgotten = world.outbox.forget_lost(lease, &shorter, 5_000).await;
    assert_eq!(forgotten.unwrap(), Some(10));
}

#[tokio::test]
async fn whether_a_row_waits_is_seen_without_a_look_at_those_that_are_published() {
    let world = World::postgres().await;
    world
        .sql(
            "ALTER TABLE qx_outbox_events SET (autovacuum_enabled = off);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at, published_at)
             SELECT 'past', '{}', now(), now() FROM generate_series(1, 100000)",
        )
        .await;
    let lease = world.lease().await;
    for statistics in ["", "ANALYZE qx_outbox_events"] {
        world.sql(statistics).await;
        let reads = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
                     FROM pg_stat_user_tables WHERE relname = 'qx_outbox_events'";
        let before = world.number(reads).await;
        for _ in 0..7 {
            let due = world.outbox.come_due(lease, 200).await.unwrap();
            assert!(!due.unwrap().waits);
        }
        let read = world.number(reads).await - before;
        assert!(read < 1_000, "{read} rows were read");
    }
}

/// However many rows are due later, the relay does not step over them.
#[tokio::test]
async fn rows_that_are_due_later_are_not_in_the_way_of_the_others() {
    let world = World::postgres().await;
    world
        .sql(
            "ALTER TABLE qx_outbox_events SET (autovacuum_enabled = off);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at, due_at)
             SELECT 'later', '{}', now(), now() + interval '1 day' FROM generate_series(1, 100000);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at)
             SELECT 'now', '{}', now() FROM generate_series(1, 50)",
        )
        .await;
    let lease = world.lease().await;
    for statistics in ["", "ANALYZE qx_outbox_events"] {
        world.sql(statistics).await;
        let reads = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
                     FROM pg_stat_user_tables WHERE relname = 'qx_outbox_events'";
        let before = world.number(reads).await;
        for _ in 0..7 {
            assert_eq!(world.outbox.pending(200).await.unwrap().len(), 50);
            let due = world.outbox.come_due(lease, 200).await.unwrap();
            assert_eq!(due.unwrap().came, 0);
        }
        let read = world.number(reads).await - before;
        assert!(read < 1_000, "{read} rows were read");
    }
}

//! Migrations: in place over the predecessor's tables, beside an application's
//! own, and safe when several start at once.

use qx_events::{DeadReasonKind, LetterFilter, StateSize};
use qx_store::{Store, StoreConfig, StoreError, testing};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::task::JoinSet;

use crate::world::{World, event, name, with_state};

/// The predecessor's tables as its own migrations make them: defaults in the
/// application, a number of its own choosing for the names of the indexes.
const SEED: &str = r#"
    CREATE TABLE qx_outbox_events (
        id uuid NOT NULL, event_name varchar(255) NOT NULL, event_version integer NOT NULL,
        payload jsonb NOT NULL, occurred_at timestamptz NOT NULL, correlation_id uuid,
        causation_id uuid, tenant_id uuid, published_at timestamptz, attempts integer NOT NULL,
        last_error varchar(2048), CONSTRAINT pk_qx_outbox_events PRIMARY KEY (id));
    CREATE INDEX ix_qx_outbox_unpublished ON qx_outbox_events (published_at, occurred_at);
    CREATE INDEX "ix_Event Name" ON qx_outbox_events (event_name);
    CREATE INDEX of_the_application ON qx_outbox_events (correlation_id);
    CREATE TABLE qx_dead_letters (
        id uuid PRIMARY KEY, event_name varchar(255) NOT NULL, event_version integer NOT NULL,
        payload jsonb NOT NULL, headers jsonb, subject varchar(512) NOT NULL, correlation_id uuid,
        tenant_id uuid, delivered_count integer NOT NULL, last_error varchar(2048),
        failed_at timestamptz NOT NULL);
    INSERT INTO qx_dead_letters VALUES (gen_random_uuid(), 'user.left', 1, '{"event_id": "x"}',
        '{"qx.event_name": "user.left", "n": 1}', 'svc.user.left', NULL, NULL, 5, 'boom', now());
    INSERT INTO qx_outbox_events
    SELECT gen_random_uuid(), 'user.n' || n, 1,
           jsonb_build_object('event_id', gen_random_uuid(), 'event_name', 'user.n' || n, 'payload', n),
           timestamptz '2026-01-01' + (1000 - n) * interval '1 second', NULL, NULL, NULL,
           CASE WHEN n % 2 = 0 THEN now() END, CASE WHEN n % 3 = 0 THEN 10 ELSE 0 END,
           CASE WHEN n % 3 = 0 THEN 'gave up' END
    FROM generate_series(1, 1000) AS n;
"#;

/// The statement of the predecessor's recorder: an explicit list of columns.
const SEED_INSERT: &str = "
    INSERT INTO qx_outbox_events (id, event_name, event_version, payload, occurred_at, correlation_id,
        causation_id, tenant_id, published_at, attempts, last_error)
    VALUES (gen_random_uuid(), 'user.late', 1, '{\"event_id\": \"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10\"}',
        timestamptz '2020-01-01', NULL, NULL, NULL, NULL, 0, NULL)";

async fn seeded() -> (std::sync::Arc<testing::Postgres>, String, PgConnection) {
    let server = testing::Postgres::shared().unwrap();
    let url = server.fresh_database().unwrap();
    let mut conn = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(SEED).execute(&mut conn).await.unwrap();
    (server, url, conn)
}

async fn column(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(conn)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_predecessors_outbox_is_taken_over_with_its_rows() {
    let (_server, url, mut conn) = seeded().await;
    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.migrate().await.unwrap();
    store.check().await.unwrap();
    let outbox = store.outbox();
    let status = outbox.status().await.unwrap();
    assert_eq!(
        (status.pending, status.published, status.failed),
        (500, 500, 0)
    );
    assert!(status.oldest_pending_ms > 1_000_000);

    // Also those that were given up, by time: the numbers run backwards.
    sqlx::raw_sql(SEED_INSERT).execute(&mut conn).await.unwrap();
    let rows = outbox.pending(1_000).await.unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.event_name.as_str()).collect();
    let mut expected: Vec<String> = (1..=1_000)
        .rev()
        .filter(|n| n % 2 == 1)
        .map(|n| format!("user.n{n}"))
        .collect();
    expected.push("user.late".to_owned());
    assert_eq!(names, expected);
    assert!(rows[0].body.starts_with(b"{"));
}

#[tokio::test]
async fn the_predecessors_bad_indexes_are_replaced_and_others_stay() {
    let (_server, url, mut conn) = seeded().await;
    Store::connect(&StoreConfig::new(&url))
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    let sql =
        "SELECT indexname::text FROM pg_indexes WHERE tablename = 'qx_outbox_events' ORDER BY 1";
    let expected = [
        "of_the_application",
        "pk_qx_outbox_events",
        "qx_outbox_due",
        "qx_outbox_failed",
        "qx_outbox_pending",
        "qx_outbox_published",
        "qx_outbox_stored",
    ];
    assert_eq!(column(&mut conn, sql).await, expected);
    let sql = "SELECT obj_description('qx_outbox_events'::regclass)";
    assert!(column(&mut conn, sql).await[0].starts_with("Contract with producers"));
}

#[tokio::test]
async fn the_predecessors_dead_letters_are_shown_and_not_retried() {
    let (_server, url, _conn) = seeded().await;
    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.migrate().await.unwrap();
    let letters = store.dead_letters();
    let all = LetterFilter::default();
    let shown = letters.list(&all, 10).await.unwrap();
    assert_eq!(shown.len(), 1);
    let letter = &shown[0];
    assert_eq!(letter.component.as_str(), "no-component");
    assert_eq!((letter.attempts, letter.event_id), (5, None));
    assert_eq!(letter.reason.kind, DeadReasonKind::Exhausted);
    assert_eq!(letter.reason.text, "boom");
    assert_eq!(letter.headers.get("qx.event_name"), Some("user.left"));
    assert_eq!(letter.body, r#"{"event_id": "x"}"#);
    let theirs = LetterFilter {
        component: Some(letter.component.clone()),
        ..all.clone()
    };
    assert_eq!(letters.list(&theirs, 10).await.unwrap().len(), 1);
    assert_eq!(letters.request_retry(&all).await.unwrap(), 0);
    assert_eq!(letters.drop_letters(&theirs).await.unwrap(), 1);
}

#[tokio::test]
async fn an_application_keeps_its_own_migrations_in_the_same_database() {
    for world in [World::postgres().await, World::sqlite().await] {
        world
            .sql(
                "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY);
                  INSERT INTO _sqlx_migrations VALUES (1)",
            )
            .await;
        world.record(&[event("a")]).await;
        world.store.migrate().await.unwrap();
        world.store.check().await.unwrap();
        assert_eq!(
            world.waiting().await,
            ["a"],
            "a second migration changes nothing"
        );
        assert!(world.number("SELECT count(*) FROM qx_migrations").await >= 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn several_may_open_a_new_file_at_once() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("qx.db").display());
        let mut hosts = JoinSet::new();
        for _ in 0..16 {
            let config = StoreConfig::new(&url).create();
            hosts.spawn(async move { Store::connect(&config).await.unwrap().close().await });
        }
        hosts.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_migrate_at_once() {
    let server = testing::Postgres::shared().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", folder.path().join("qx.db").display());
    let direct = server.fresh_database().unwrap();
    let pooled = server.fresh_database().unwrap() + "?statement-cache-capacity=0";
    for url in [file, direct, pooled] {
        let mut hosts = JoinSet::new();
        for _ in 0..6 {
            let config = StoreConfig::new(&url).create();
            hosts.spawn(async move {
                let store = Store::connect(&config).await.unwrap();
                store.migrate().await.unwrap();
                store.check().await.unwrap();
            });
        }
        hosts.join_all().await;
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_fine_and_a_changed_one_is_not() {
    for world in [World::postgres().await, World::sqlite().await] {
        world
            .sql("INSERT INTO qx_migrations (version, description, success, checksum, execution_time)
                  SELECT 9000, 'later', success, checksum, 0 FROM qx_migrations WHERE version = 1")
            .await;
        world.store.check().await.unwrap();
        world.store.migrate().await.unwrap();
        world
            .sql(
                "UPDATE qx_migrations SET checksum = (
                  SELECT checksum FROM qx_migrations WHERE version = 1) WHERE version = 2",
            )
            .await;
        for error in [world.store.check().await, world.store.migrate().await] {
            let error = error.unwrap_err();
            assert!(matches!(error, StoreError::Modified(2)), "{error}");
        }
    }
}

#[tokio::test]
async fn state_that_was_there_before_it_was_counted_is_counted() {
    for world in [World::postgres().await, World::sqlite().await] {
        let writes = [("k1", Some("1")), ("kä", Some("ü"))];
        let one = with_state("a", &[], &writes);
        world.ledger.settle(&[one]).await.unwrap();
        // As a version before the count left it.
        world
            .sql("DROP TABLE qx_state_sizes; DELETE FROM qx_migrations WHERE version = 14")
            .await;
        world.store.migrate().await.unwrap();
        let sizes = world.ledger.state_sizes().await.unwrap();
        let expected = StateSize { keys: 2, bytes: 8 };
        assert_eq!(sizes, [(name("a"), expected)]);
    }
}

#[tokio::test]
async fn a_failed_migration_leaves_the_tables_as_they_were() {
    let (_server, url, mut conn) = seeded().await;
    // Something of the application is in the way of the last migration.
    sqlx::raw_sql("CREATE TABLE qx_leases (name text)")
        .execute(&mut conn)
        .await
        .unwrap();
    let store = Store::connect(&StoreConfig::new(&url)).await.unwrap();
    store.migrate().await.unwrap_err();
    let sql = "SELECT column_name::text FROM information_schema.columns
               WHERE table_name = 'qx_outbox_events' AND column_name = 'seq'";
    assert!(column(&mut conn, sql).await.is_empty());
    sqlx::raw_sql("DROP TABLE qx_leases")
        .execute(&mut conn)
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.check().await.unwrap();
}

/// What producers in other languages copy.
#[tokio::test]
async fn the_sql_of_the_readme_records_an_event() {
    let readme = include_str!("../../../../migrations/README.md");
    let blocks: Vec<&str> = readme
        .split("```sql")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let [on_postgres, on_sqlite] = blocks[..] else {
        panic!("{} blocks", blocks.len())
    };
    for (world, sql) in [
        (World::postgres().await, on_postgres),
        (World::sqlite().await, on_sqlite),
    ] {
        world
            .sql("CREATE TABLE orders (id int, state text); INSERT INTO orders VALUES (7, '')")
            .await;
        world.sql(sql).await;
        let rows = world.outbox.pending(10).await.unwrap();
        let message = qx_events::prepare(&rows[0]).unwrap();
        assert_eq!(message.event_name.as_str(), "order.placed");
        assert!(message.headers.trace().is_some());
        let envelope = qx_events::Envelope::decode(&message.body, None).unwrap();
        assert_eq!(envelope.event_id, message.message_id);
        assert_ne!(envelope.event_id, rows[0].id);
        let payload: serde_json::Value = serde_json::from_str(envelope.payload.get()).unwrap();
        assert_eq!(payload, serde_json::json!({ "order": 7 }));
        let sql = "SELECT count(*) FROM orders WHERE state = 'placed'";
        assert_eq!(world.number(sql).await, 1);
    }
}

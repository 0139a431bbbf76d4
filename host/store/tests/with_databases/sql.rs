//! SQL of components against a real server: what commits with the settlement, what is
//! undone, and everything that a guest might try to get past its role.

use std::time::Duration;

use qx_events::StateSeen;
use qx_events::ports::{
    Answer, Settled, Sql, SqlBounds, SqlRefusal, SqlTransaction, SqlValue, Statement, Wants,
};
use qx_store::RoleFlaw;
use std::sync::Arc;
use uuid::Uuid;

use crate::world::{World, event, settlement, with_state};

const BOUNDS: SqlBounds = SqlBounds {
    time: Duration::from_secs(5),
    rows: 100,
    bytes: 10_000,
};

/// A role of this test's own, as `docs/sql.md` says to make one, with a table.
async fn role(world: &World) -> String {
    let role = format!("qx_test_{}", Uuid::new_v4().simple());
    world
        .sql(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             CREATE ROLE {role} NOLOGIN; CREATE SCHEMA {role} AUTHORIZATION {role};
             SET ROLE {role};
             CREATE TABLE {role}.stars (
                 repository text PRIMARY KEY, stars bigint NOT NULL DEFAULT 0 CHECK (stars >= 0),
                 seen_at timestamptz, note jsonb, raw bytea, score double precision, good boolean);
             CREATE TABLE {role}.parts (
                 id int PRIMARY KEY, whole int REFERENCES {role}.parts DEFERRABLE INITIALLY DEFERRED)"
        ))
        .await;
    role
}

fn sql(world: &World) -> Arc<dyn Sql> {
    world.store.sql(2).unwrap()
}

async fn begin(sql: &Arc<dyn Sql>, role: &str) -> Box<dyn SqlTransaction> {
    sql.begin(role, BOUNDS).await.unwrap()
}

fn statement(text: &str, parameters: &[SqlValue], wants: Wants) -> Statement {
    Statement {
        text: text.to_owned(),
        parameters: parameters.to_vec(),
        wants,
        time: Duration::MAX,
    }
}

async fn count(tx: &mut Box<dyn SqlTransaction>, text: &str) -> Result<u64, SqlRefusal> {
    let answer = tx.run(&statement(text, &[], Wants::Count)).await.unwrap();
    answer.map(|answer| match answer {
        Answer::Count(count) => count,
        Answer::Rows(rows) => panic!("{rows:?}"),
    })
}

async fn rows(
    tx: &mut Box<dyn SqlTransaction>,
    text: &str,
    parameters: &[SqlValue],
) -> Result<Vec<String>, SqlRefusal> {
    let asked = statement(text, parameters, Wants::Rows);
    tx.run(&asked).await.unwrap().map(|answer| match answer {
        Answer::Rows(rows) => rows,
        Answer::Count(count) => panic!("{count}"),
    })
}

fn code(refusal: SqlRefusal) -> String {
    match refusal {
        SqlRefusal::Database { code, .. } => code,
        SqlRefusal::Limit { word, .. } => word.to_owned(),
    }
}

async fn stars(world: &World, role: &str) -> i64 {
    world
        .number(&format!("SELECT count(*) FROM {role}.stars"))
        .await
}

#[tokio::test]
async fn what_a_call_wrote_it_reads_and_commits_with_its_mark() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let mut tx = begin(&sql, &role).await;
    let insert = "INSERT INTO stars (repository, stars, seen_at, note, raw, score, good)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING stars + 1 AS next; ";
    let parameters = [
        SqlValue::Text("it's; --".to_owned()),
        SqlValue::Integer(41),
        SqlValue::Text("2026-03-01T10:00:00Z".to_owned()),
        SqlValue::Text("{\"a\": 1.10}".to_owned()),
        SqlValue::Bytes(vec![0, 255]),
        SqlValue::Number(0.5),
        SqlValue::Boolean(true),
    ];
    let next = rows(&mut tx, insert, &parameters).await;
    assert_eq!(next.unwrap(), [r#"{"next":42}"#]);
    let seen = rows(
        &mut tx,
        "SELECT repository, stars, note, raw, score, good FROM stars WHERE stars > $1",
        &[SqlValue::Integer(1)],
    )
    .await;
    assert_eq!(
        seen.unwrap(),
        [
            r#"{"repository":"it's; --","stars":41,"note":{"a": 1.10},"raw":"\\x00ff","score":0.5,"good":true}"#
        ]
    );
    assert_eq!(
        count(&mut tx, "UPDATE stars SET stars = 7 -- all of them").await,
        Ok(1)
    );
    assert_eq!(stars(&world, &role).await, 0, "nobody else sees it yet");

    let mut own = settlement("stars");
    own.effects.emitted.push(event("repo.starred"));
    assert_eq!(tx.finish().await.unwrap(), Ok(()));
    assert_eq!(tx.settle(&own).await.unwrap(), Settled::Committed);
    assert_eq!(stars(&world, &role).await, 1);
    assert_eq!(world.waiting().await, ["repo.starred"]);

    // The same event once more: nothing of it stays.
    let mut tx = begin(&sql, &role).await;
    assert_eq!(count(&mut tx, "DELETE FROM stars").await, Ok(1));
    assert_eq!(tx.settle(&own).await.unwrap(), Settled::Duplicate);
    assert_eq!(stars(&world, &role).await, 1);
    assert_eq!(
        world.ledger.settle(&[own]).await.unwrap(),
        [Settled::Duplicate]
    );
}

#[tokio::test]
async fn a_statement_that_fails_is_undone_alone_and_the_call_goes_on() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let mut tx = begin(&sql, &role).await;
    assert_eq!(
        count(&mut tx, "INSERT INTO stars VALUES ('a', 1)").await,
        Ok(1)
    );
    let again = count(&mut tx, "INSERT INTO stars VALUES ('b', 1), ('a', 1)").await;
    assert_eq!(code(again.unwrap_err()), "23505");
    for (text, expected) in [
        ("INSERT INTO stars VALUES ('c', -1)", "23514"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELEC 1", "42601"),
        ("", "42601"),
        ("SELECT 1 / 0", "22012"),
        ("SELECT $1", "42601"),
    ] {
        let refused = count(&mut tx, text).await.unwrap_err();
        assert_eq!(code(refused), expected, "{text}");
    }
    assert_eq!(tx.finish().await.unwrap(), Ok(()));
    let settled = tx.settle(&settlement("stars")).await.unwrap();
    assert_eq!(
        (settled, stars(&world, &role).await),
        (Settled::Committed, 1)
    );
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_its_connection_serves_the_next() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    for _ in 0..5 {
        let mut tx = begin(&sql, &role).await;
        assert_eq!(
            count(&mut tx, "INSERT INTO stars VALUES ('a', 1)").await,
            Ok(1)
        );
    }
    let mut tx = begin(&sql, &role).await;
    let none = rows(&mut tx, "SELECT * FROM stars", &[]).await;
    assert_eq!(none, Ok(Vec::new()));
}

#[tokio::test]
async fn a_constraint_that_was_put_off_is_an_answer_at_the_end() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let mut tx = begin(&sql, &role).await;
    assert_eq!(
        count(&mut tx, "INSERT INTO parts VALUES (1, 2)").await,
        Ok(1)
    );
    let refused = tx.finish().await.unwrap().unwrap_err();
    assert_eq!(code(refused), "23503");
}

#[tokio::test]
async fn of_a_call_that_would_keep_too_much_state_none_of_its_sql_is_kept() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    for (keys, kept) in [(1, 0), (2, 1)] {
        let mut own = with_state("stars", &[], &[("k1", Some("1")), ("k2", Some("2"))]);
        own.bounds.keys = keys;
        let mut tx = begin(&sql, &role).await;
        let insert = "INSERT INTO stars VALUES ('a', 1)";
        assert_eq!(count(&mut tx, insert).await, Ok(1));
        let settled = tx.settle(&own).await.unwrap();
        assert_eq!(matches!(settled, Settled::Overfull(_)), kept == 0);
        assert_eq!(stars(&world, &role).await, kept);
    }
}

#[tokio::test]
async fn what_state_a_call_read_must_still_be_so() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let mut tx = begin(&sql, &role).await;
    assert_eq!(
        count(&mut tx, "INSERT INTO stars VALUES ('a', 1)").await,
        Ok(1)
    );
    let seen = StateSeen {
        version: 1,
        bytes: 1,
    };
    let stale = with_state("stars", &[("k", Some(seen))], &[]);
    assert_eq!(tx.settle(&stale).await.unwrap(), Settled::Conflict);
    assert_eq!(stars(&world, &role).await, 0);
}

#[tokio::test]
async fn an_answer_and_a_statement_have_bounds() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let bounds = SqlBounds {
        time: Duration::from_millis(300),
        ..BOUNDS
    };
    let mut tx = sql.begin(&role, bounds).await.unwrap();
    let many = rows(&mut tx, "SELECT generate_series(1, 101)", &[]).await;
    assert_eq!(code(many.unwrap_err()), "sql_rows");
    let large = rows(&mut tx, "SELECT repeat('x', 10000)", &[]).await;
    assert_eq!(code(large.unwrap_err()), "value_kb");
    let long = rows(&mut tx, "SELECT pg_sleep(60)", &[]).await;
    assert_eq!(code(long.unwrap_err()), "sql_time");
    assert_eq!(
        count(&mut tx, "SELECT generate_series(1, 100000)").await,
        Ok(100_000)
    );
}

/// What a guest might try.
const ATTACKS: &[&str] = &[
    // The host's tables, and others'.
    "SELECT * FROM qx_outbox_events",
    "SELECT * FROM public.qx_inbox",
    "INSERT INTO qx_inbox (component, event_id, digest) VALUES ('x', gen_random_uuid(), '')",
    "DELETE FROM qx_state",
    "UPDATE qx_leases SET token = 0",
    "SELECT nextval('qx_state_versions')",
    "SELECT * FROM payroll",
    "SELECT * FROM pg_authid",
    // Who it is.
    "RESET ROLE",
    "SET ROLE NONE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SELECT set_config('role', 'none', true)",
    "SELECT set_config('session_authorization', 'qx', false)",
    "DO $$ BEGIN RESET ROLE; END $$",
    "SELECT 1; RESET ROLE",
    "SELECT 1) SELECT 1; RESET ROLE; --",
    "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'",
    "UPDATE pg_settings SET setting = 'qx' WHERE name = 'session_authorization'",
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'synchronous_commit'",
    "SELECT query_to_xml('RESET ROLE', true, true, '')",
    "SELECT U&\"set\\005fconfig\"('role', 'none', true)",
    // The transaction.
    "COMMIT",
    "ROLLBACK",
    "SELECT 1; COMMIT; SELECT 1",
    "SAVEPOINT a",
    "RELEASE SAVEPOINT qx_guest",
    "ROLLBACK TO SAVEPOINT qx_guest",
    "PREPARE TRANSACTION 'a'",
    // The server's files and programs.
    "COPY stars TO PROGRAM 'true'",
    "COPY stars FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_reload_conf()",
    "ALTER SYSTEM SET fsync = off",
    // Others' sessions.
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    "SELECT pg_notify('a', 'b')",
    "NOTIFY a",
    "LISTEN a",
    "LOCK TABLE stars",
    "SELECT * FROM dblink('dbname=app', 'SELECT 1') AS t (a int)",
    // What stays.
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE qx_inbox (a int)",
    "SELECT 1 AS a INTO TEMP qx_inbox",
    "CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT 1; CREATE OR REPLACE FUNCTION evil() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER FUNCTION pg_temp.qx_guest SECURITY INVOKER",
    "ALTER TABLE stars DISABLE TRIGGER ALL",
    "PREPARE a AS SELECT 1",
    "EXECUTE qx_statement",
    "DEALLOCATE ALL",
    "DECLARE a CURSOR WITH HOLD FOR SELECT 1",
    "CALL nothing()",
    "TRUNCATE stars",
    "GRANT ALL ON stars TO PUBLIC",
];

/// Everything here is refused, and nothing is the worse for it. The host's own user is
/// a superuser here: there is the most to be gained.
#[tokio::test]
async fn nothing_a_guest_tries_gets_past_its_role() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    world
        .sql("CREATE TABLE payroll (name text); INSERT INTO payroll VALUES ('ada')")
        .await;
    let mut tx = begin(&sql, &role).await;
    for attack in ATTACKS {
        let asked = statement(attack, &[], Wants::Count);
        let answer = tx.run(&asked).await.unwrap();
        assert!(answer.is_err(), "{attack}: {answer:?}");
    }
    let own = [SqlValue::Text(role.clone())];
    let user = rows(&mut tx, "SELECT current_user::text = $1 AS own", &own).await;
    assert_eq!(user.unwrap(), [r#"{"own":true}"#]);
    // It is still a transaction, and the host's settlement goes through.
    assert_eq!(
        count(&mut tx, "INSERT INTO stars VALUES ('a', 1)").await,
        Ok(1)
    );
    assert_eq!(tx.finish().await.unwrap(), Ok(()));
    assert_eq!(
        tx.settle(&settlement("stars")).await.unwrap(),
        Settled::Committed
    );
    assert_eq!(stars(&world, &role).await, 1);
    assert_eq!(world.number("SELECT count(*) FROM payroll").await, 1);
}

/// A function of the application may change settings, whoever calls it. They hold for the
/// guest's own statement and no further: what the host commits is synced as it was.
#[tokio::test]
async fn settings_that_a_guest_changes_are_not_the_hosts() {
    let world = World::postgres().await;
    let (role, sql) = (role(&world).await, sql(&world));
    let function = format!(
        "CREATE FUNCTION {role}.change(name text, value text) RETURNS text LANGUAGE sql
         AS 'SELECT set_config(name, value, false)'"
    );
    world.sql(&function).await;
    let mut tx = begin(&sql, &role).await;
    for (name, value) in [
        ("search_path", "nowhere"),
        ("statement_timeout", "0"),
        ("synchronous_commit", "off"),
        ("standard_conforming_strings", "off"),
        ("client_encoding", "SJIS"),
    ] {
        let parameters = [name, value].map(|text| SqlValue::Text(text.to_owned()));
        let changed = rows(&mut tx, "SELECT change($1, $2)", &parameters).await;
        assert!(changed.unwrap().concat().contains(value));
        let ask = "SELECT current_setting($1) AS now";
        let now = rows(&mut tx, ask, &parameters[..1]).await.unwrap().concat();
        assert!(!now.contains(&format!("\"{value}\"")), "{name}: {now}");
        rows(&mut tx, "SELECT change($1, $2)", &parameters)
            .await
            .unwrap();
    }
    assert_eq!(
        tx.settle(&settlement("stars")).await.unwrap(),
        Settled::Committed
    );
}

#[tokio::test]
async fn a_role_that_can_do_too_much_runs_nothing_and_the_look_says_what_helps() {
    let world = World::postgres().await;
    let sql = sql(&world);
    let (fit, unfit) = (role(&world).await, role(&world).await);
    let report = world.store.role(&fit).await.unwrap().unwrap();
    assert_eq!(report.flaws, []);
    world
        .sql(&format!(
            "GRANT SELECT (key) ON qx_state TO {unfit}; ALTER ROLE {unfit} LOGIN CREATEDB"
        ))
        .await;
    let report = world.store.role(&unfit).await.unwrap().unwrap();
    assert_eq!(
        report.flaws,
        [
            RoleFlaw::Tables("qx_state".to_owned()),
            RoleFlaw::Privileged,
            RoleFlaw::Login
        ]
    );
    assert!(
        report.flaws[0]
            .sentence(&report)
            .contains("REVOKE ALL ON qx_state")
    );
    for (role, why) in [
        (unfit.as_str(), "has rights on tables of the host"),
        ("qx", "is a superuser"),
        (
            "nobody_of_this_name",
            "CREATE ROLE \"nobody_of_this_name\" NOLOGIN",
        ),
    ] {
        let Err(fault) = sql.begin(role, BOUNDS).await else {
            panic!("{role} was taken");
        };
        assert!(
            fault.is_transient() && fault.chain().contains(why),
            "{}",
            fault.chain()
        );
    }
}

#[tokio::test]
async fn on_sqlite_no_component_runs_sql_and_the_reason_is_said() {
    let world = World::sqlite().await;
    let Err(why) = world.store.sql(2) else {
        panic!("there are no roles in SQLite");
    };
    assert!(why.contains("PostgreSQL"), "{why}");
}

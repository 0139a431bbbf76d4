//! A fresh, migrated database with an outbox, a ledger and dead letters.

use std::sync::Arc;

use qx_events::ports::{
    DeadLetters, Lease, Leases, Ledger, Outbox, PublishedRow, Settlement, StoredAt,
};
use qx_events::{
    ComponentName, DeadLetter, DeadReason, DeadReasonKind, Digest, Effects, EventName, NewEvent,
    StateRead, StateSeen, StateWrite,
};
use qx_store::{Store, StoreConfig, producer, testing};
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;
use uuid::Uuid;

/// One database.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) leases: Arc<dyn Leases>,
    _here: Place,
}

/// Goes with the world.
enum Place {
    Folder(#[expect(dead_code, reason = "removed on drop")] TempDir),
    Server(#[expect(dead_code, reason = "stopped on drop")] Arc<testing::Postgres>),
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("qx.db").display());
        Self::migrated(url, Place::Folder(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        let server = testing::Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let url = server.fresh_database().unwrap();
        Self::migrated(url, Place::Server(server)).await
    }

    /// As if a pooler in transaction mode stood in between.
    pub(crate) async fn pooled() -> Self {
        let server = testing::Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let url = server.fresh_database().unwrap() + "?statement-cache-capacity=0";
        Self::migrated(url, Place::Server(server)).await
    }

    /// A server that never finds things as they were read: every group looks first.
    pub(crate) async fn wary() -> Self {
        let world = Self::postgres().await;
        world.settles_straight("false").await;
        world
    }

    /// Lets the server say this of every group, and write nothing.
    pub(crate) async fn settles_straight(&self, answer: &str) {
        let says = format!(
            "DO $$ BEGIN EXECUTE format(
                'CREATE OR REPLACE FUNCTION qx_settle(%s) RETURNS boolean LANGUAGE sql AS ''SELECT {answer}''',
                pg_get_function_arguments('qx_settle'::regproc)); END $$"
        );
        self.sql(&says).await;
    }

    async fn migrated(url: String, here: Place) -> Self {
        let store = Store::connect(&StoreConfig::new(&url).create())
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let (outbox, ledger, letters) = (store.outbox(), store.ledger(), store.dead_letters());
        let leases = store.leases();
        Self {
            store,
            url,
            outbox,
            ledger,
            letters,
            leases,
            _here: here,
        }
    }

    /// Runs SQL that both databases understand, on a connection of its own.
    pub(crate) async fn sql(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite") {
            let mut conn = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        } else {
            let mut conn = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        }
    }

    /// The number in the first column of the first row.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite") {
            let mut conn = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql)
                .fetch_one(&mut conn)
                .await
                .unwrap()
                .get(0)
        } else {
            let mut conn = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql)
                .fetch_one(&mut conn)
                .await
                .unwrap()
                .get(0)
        }
    }

    /// Records events as a producer does.
    pub(crate) async fn record(&self, events: &[NewEvent]) {
        if self.url.starts_with("sqlite") {
            let mut conn = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            let mut tx = conn.begin().await.unwrap();
            producer::record_all(&mut *tx, events).await.unwrap();
            tx.commit().await.unwrap();
        } else {
            let mut conn = sqlx::PgConnection::connect(&self.url).await.unwrap();
            let mut tx = conn.begin().await.unwrap();
            producer::record_all(&mut *tx, events).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    pub(crate) async fn lease(&self) -> Lease {
        let term = std::time::Duration::from_mins(1);
        self.outbox.lease("tests", term).await.unwrap().unwrap()
    }

    /// Names of the rows that wait, in their order.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        let rows = self.outbox.pending(1_000).await.unwrap();
        rows.into_iter().map(|row| row.event_name).collect()
    }

    pub(crate) async fn mark(&self, lease: Lease, seqs: impl IntoIterator<Item = i64>) -> bool {
        let rows: Vec<PublishedRow> = seqs.into_iter().map(published).collect();
        self.outbox.mark_published(lease, &rows).await.unwrap()
    }
}

/// When the stream `QX` was made that rows are marked with.
pub(crate) const CREATED_NS: i64 = 1_790_000_000_123_456_789;

pub(crate) fn published(seq: i64) -> PublishedRow {
    let sequence = seq.cast_unsigned() + 1_000;
    let stored = StoredAt {
        stream: "QX".to_owned(),
        sequence,
        duplicate: false,
    };
    PublishedRow {
        seq,
        stored,
        stream_created_ns: Some(CREATED_NS),
    }
}

pub(crate) fn name(component: &str) -> ComponentName {
    ComponentName::parse(component).unwrap()
}

pub(crate) fn event(name: &str) -> NewEvent {
    event_with(name, r#"{"n": 1.10}"#)
}

pub(crate) fn event_with(name: &str, payload: &str) -> NewEvent {
    let payload = serde_json::value::RawValue::from_string(payload.to_owned()).unwrap();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap();
    NewEvent::new(EventName::parse(name).unwrap(), payload, now)
}

/// A settlement of a fresh event that changes nothing.
pub(crate) fn settlement(component: &str) -> Settlement {
    Settlement {
        component: name(component),
        digest: Digest::new([7; 32]),
        event_id: Uuid::now_v7(),
        tenant_id: None,
        effects: Effects::default(),
        bounds: qx_events::Limits::default().state,
        replayed: None,
        fence: None,
        recorded: false,
    }
}

/// The same, which read these versions and wrote these values.
pub(crate) fn with_state(
    component: &str,
    reads: &[(&str, Option<StateSeen>)],
    writes: &[(&str, Option<&str>)],
) -> Settlement {
    let read = |(key, seen): &(&str, Option<StateSeen>)| StateRead {
        key: (*key).to_owned(),
        seen: *seen,
    };
    let write = |(key, value): &(&str, Option<&str>)| StateWrite {
        key: (*key).to_owned(),
        value: value.map(str::to_owned),
    };
    Settlement {
        effects: Effects {
            reads: reads.iter().map(read).collect(),
            writes: writes.iter().map(write).collect(),
            emitted: Vec::new(),
        },
        ..settlement(component)
    }
}

pub(crate) fn letter(component: &str, event_name: &str) -> DeadLetter {
    let event_id = Uuid::now_v7();
    let component = name(component);
    DeadLetter {
        id: DeadLetter::id_for(&component, Some(event_id), 1),
        component,
        digest: Some(Digest::new([9; 32])),
        event_name: event_name.to_owned(),
        event_version: 2,
        event_id: Some(event_id),
        correlation_id: Some(Uuid::max()),
        tenant_id: Some(Uuid::max()),
        subject: format!("svc.{event_name}"),
        headers: qx_events::wire::Headers(vec![(
            "qx.event_name".to_owned(),
            event_name.to_owned(),
        )]),
        body: r#"{ "payload": {"b": 1.10, "a": [] } }"#.into(),
        edited: None,
        attempts: 3,
        reason: DeadReason {
            kind: DeadReasonKind::Rejected,
            text: "no such order".to_owned(),
        },
        failed_at: chrono::DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap(),
        retry_requested_at: None,
    }
}

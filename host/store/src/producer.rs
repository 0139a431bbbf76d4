//! Records events in the caller's own transaction: they leave when it commits,
//! and never when it does not. Usable without the rest of the host.
//!
//! ```no_run
//! use qx_events::{EventName, NewEvent, OrderingKey};
//! use qx_store::producer;
//!
//! # async fn example(pool: sqlx::PgPool, now: chrono::DateTime<chrono::Utc>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let mut tx = pool.begin().await?;
//! sqlx::query("UPDATE orders SET state = 'placed' WHERE id = 7").execute(&mut *tx).await?;
//!
//! let payload = serde_json::value::to_raw_value(&serde_json::json!({ "order": 7 }))?;
//! let mut event = NewEvent::new(EventName::parse("order.placed")?, payload, now);
//! // Where the order of events counts: those of one key keep it.
//! event.0.ordering_key = Some(OrderingKey::parse("order 7")?);
//! producer::record(&mut *tx, &event).await?;
//! // And one that leaves in an hour.
//! let payload = serde_json::value::to_raw_value(&serde_json::json!({ "order": 7 }))?;
//! let late = NewEvent::new(EventName::parse("order.overdue")?, payload, now);
//! let late = late.due_after(std::time::Duration::from_hours(1));
//! producer::record(&mut *tx, &late).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! In another language, or without this crate: the plain SQL for it is in
//! `migrations/README.md`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use qx_events::{Due, Envelope, NewEvent, TraceContext};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

use crate::columns::{jsonb_takes, sqlite_time};
use crate::sqlite::together;

/// Longest wait that is kept as it is: what is longer is as good as never, and the
/// sum must still be a time of both databases.
const WAIT_MAX: Duration = Duration::from_hours(24 * 366 * 100);

/// The event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The column is an `integer`.
    #[error(transparent)]
    Version(#[from] VersionTooLarge),
    /// The transaction is of no use any more: roll it back.
    #[error(
        "failed to insert into qx_outbox_events; if the table is missing, run `qx-host migrate`"
    )]
    Database(#[from] sqlx::Error),
}

/// The column `event_version` is an `integer`.
#[derive(Debug, thiserror::Error)]
#[error("event version {0} does not fit; use one below 2147483648")]
pub struct VersionTooLarge(u32);

/// Records one event. Pass `&mut *tx`, of PostgreSQL or SQLite.
pub async fn record<C: Connection>(conn: &mut C, event: &NewEvent) -> Result<(), RecordError> {
    record_all(conn, std::slice::from_ref(event)).await
}

/// Records many events, which leave in this order.
pub async fn record_all<C: Connection>(
    conn: &mut C,
    events: &[NewEvent],
) -> Result<(), RecordError> {
    if events.is_empty() {
        return Ok(());
    }
    conn.insert(Recorded::all(events)?).await?;
    Ok(())
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for sqlx::PgConnection {}
    impl Sealed for sqlx::SqliteConnection {}
}

/// A connection that has the outbox in its database, inside a transaction.
pub trait Connection: sealed::Sealed {
    #[doc(hidden)]
    fn insert(
        &mut self,
        rows: Vec<Recorded>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Connection for PgConnection {
    async fn insert(&mut self, rows: Vec<Recorded>) -> Result<(), sqlx::Error> {
        // A connection that keeps no statements may have a pooler behind it, where
        // a named one would stay with the server. One that is new has none either.
        let keeps_statements = sqlx::Connection::cached_statements_size(self) > 0;
        let query = sqlx::query(INSERT_POSTGRES).persistent(keeps_statements);
        Columns::of(rows).bind(query).execute(self).await?;
        Ok(())
    }
}

impl Connection for SqliteConnection {
    async fn insert(&mut self, rows: Vec<Recorded>) -> Result<(), sqlx::Error> {
        insert_sqlite(self, rows).await
    }
}

/// `ORDER BY`, so that `seq` counts in the order of the events. The host's own events go by
/// the same statement within `qx_settle` of the migrations: a column more is two changes.
pub(crate) const INSERT_POSTGRES: &str = "
    INSERT INTO qx_outbox_events (
        id, event_name, event_version, payload, body, occurred_at,
        correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at)
    SELECT id, event_name, event_version, payload::jsonb, body, coalesce(occurred_at, now()),
           correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key,
           coalesce(due_at, statement_timestamp() + wait_ms * interval '1 millisecond')
    FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::timestamptz[],
                $7::uuid[], $8::uuid[], $9::uuid[], $10::text[], $11::text[],
                $12::text[], $13::timestamptz[], $14::bigint[]) WITH ORDINALITY AS t (
        id, event_name, event_version, payload, body, occurred_at,
        correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at,
        wait_ms, position)
    ORDER BY position";

const INSERT_SQLITE: &str = "
    INSERT INTO qx_outbox_events (
        id, event_name, event_version, payload, occurred_at,
        correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at) ";

/// One event as the columns have it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Recorded {
    id: Uuid,
    event_name: String,
    event_version: i32,
    envelope: String,
    occurred_at: Option<DateTime<Utc>>,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    tenant_id: Option<Uuid>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    ordering_key: Option<String>,
    due_at: Option<DateTime<Utc>>,
    wait_ms: Option<i64>,
    /// What stands for the envelope where jsonb cannot hold it.
    stub: Option<String>,
}

impl Recorded {
    pub(crate) fn all<'a>(
        events: impl IntoIterator<Item = &'a NewEvent>,
    ) -> Result<Vec<Self>, VersionTooLarge> {
        events.into_iter().map(Self::of).collect()
    }

    fn of(event: &NewEvent) -> Result<Self, VersionTooLarge> {
        let envelope = &event.0;
        let version = envelope.event_version;
        let text = envelope.encode();
        let trace = envelope.trace.as_ref();
        let (due_at, wait) = match event.due() {
            Due::AtOnce => (None, None),
            Due::At(time) => (Some(time), None),
            Due::After(wait) => (None, Some(wait.min(WAIT_MAX))),
        };
        Ok(Self {
            id: Uuid::now_v7(),
            event_name: envelope.event_name.to_string(),
            event_version: i32::try_from(version).map_err(|_too_large| VersionTooLarge(version))?,
            stub: (!jsonb_takes(&text)).then(|| stub(envelope)),
            envelope: text,
            occurred_at: occurred_at(envelope),
            correlation_id: envelope.correlation_id,
            causation_id: envelope.causation_id,
            tenant_id: envelope.tenant_id,
            traceparent: trace.map(|trace| trace.traceparent().to_owned()),
            tracestate: trace.and_then(TraceContext::tracestate).map(str::to_owned),
            ordering_key: envelope.ordering_key.as_ref().map(ToString::to_string),
            due_at,
            wait_ms: wait.and_then(|wait| i64::try_from(wait.as_millis()).ok()),
        })
    }
}

/// Rows of the outbox, column by column: one statement for all of them.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    id: Vec<Uuid>,
    event_name: Vec<String>,
    event_version: Vec<i32>,
    payload: Vec<String>,
    body: Vec<Option<String>>,
    occurred_at: Vec<Option<DateTime<Utc>>>,
    correlation_id: Vec<Option<Uuid>>,
    causation_id: Vec<Option<Uuid>>,
    tenant_id: Vec<Option<Uuid>>,
    traceparent: Vec<Option<String>>,
    tracestate: Vec<Option<String>>,
    ordering_key: Vec<Option<String>>,
    due_at: Vec<Option<DateTime<Utc>>>,
    wait_ms: Vec<Option<i64>>,
}

impl Columns {
    pub(crate) fn of(rows: Vec<Recorded>) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: Recorded) {
        let (payload, body) = match row.stub {
            None => (row.envelope, None),
            Some(stub) => (stub, Some(row.envelope)),
        };
        self.id.push(row.id);
        self.event_name.push(row.event_name);
        self.event_version.push(row.event_version);
        self.payload.push(payload);
        self.body.push(body);
        self.occurred_at.push(row.occurred_at);
        self.correlation_id.push(row.correlation_id);
        self.causation_id.push(row.causation_id);
        self.tenant_id.push(row.tenant_id);
        self.traceparent.push(row.traceparent);
        self.tracestate.push(row.tracestate);
        self.ordering_key.push(row.ordering_key);
        self.due_at.push(row.due_at);
        self.wait_ms.push(row.wait_ms);
    }

    pub(crate) fn bind(
        self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Query<'_, sqlx::Postgres, PgArguments> {
        query
            .bind(self.id)
            .bind(self.event_name)
            .bind(self.event_version)
            .bind(self.payload)
            .bind(self.body)
            .bind(self.occurred_at)
            .bind(self.correlation_id)
            .bind(self.causation_id)
            .bind(self.tenant_id)
            .bind(self.traceparent)
            .bind(self.tracestate)
            .bind(self.ordering_key)
            .bind(self.due_at)
            .bind(self.wait_ms)
    }
}

/// SQLite has no arrays: a statement for many rows has that many times the parameters.
pub(crate) async fn insert_sqlite(
    conn: &mut SqliteConnection,
    mut rows: Vec<Recorded>,
) -> Result<(), sqlx::Error> {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    while !rows.is_empty() {
        let some = rows.drain(..together(rows.len()));
        let mut insert = QueryBuilder::<Sqlite>::new(INSERT_SQLITE);
        insert.push_values(some, |mut values, row| {
            values
                .push_bind(row.id.to_string())
                .push_bind(row.event_name)
                .push_bind(row.event_version)
                .push_bind(row.envelope)
                .push("coalesce(")
                .push_bind_unseparated(row.occurred_at.map(sqlite_time))
                .push_unseparated(", strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
                .push_bind(text(row.correlation_id))
                .push_bind(text(row.causation_id))
                .push_bind(text(row.tenant_id))
                .push_bind(row.traceparent)
                .push_bind(row.tracestate)
                .push_bind(row.ordering_key)
                .push("coalesce(")
                .push_bind_unseparated(row.due_at.map(sqlite_time))
                .push_unseparated(", strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', ")
                .push_bind_unseparated(row.wait_ms.map(sqlite_wait))
                .push_unseparated("))");
        });
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// A wait as SQLite's functions of time take it: seconds, with three digits.
fn sqlite_wait(ms: i64) -> String {
    format!("+{}.{:03} seconds", ms / 1000, ms % 1000)
}

/// The envelope's time for the column. A time in another notation stays in the
/// envelope as it is, and the column gets the database's.
fn occurred_at(envelope: &Envelope) -> Option<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(&envelope.occurred_at).ok()?;
    Some(parsed.with_timezone(&Utc))
}

/// What stands in `payload` when jsonb cannot hold the envelope: enough to find
/// the event, and where the rest is.
fn stub(envelope: &Envelope) -> String {
    let stub = serde_json::json!({
        "event_id": envelope.event_id,
        "event_name": envelope.event_name.as_str(),
        "event_version": envelope.event_version,
        "payload": null,
        "note": "jsonb cannot hold this envelope; it is in column body",
    });
    stub.to_string()
}

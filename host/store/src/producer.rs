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
use uuid::Uuid;

use crate::columns::{jsonb_takes, sqlite_time};

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
    conn.insert(Columns::of(events)?).await?;
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
    fn insert(&mut self, columns: Columns) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Connection for PgConnection {
    async fn insert(&mut self, columns: Columns) -> Result<(), sqlx::Error> {
        // A connection that keeps no statements may have a pooler behind it, where
        // a named one would stay with the server. One that is new has none either.
        let keeps_statements = sqlx::Connection::cached_statements_size(self) > 0;
        let query = sqlx::query(INSERT_POSTGRES).persistent(keeps_statements);
        columns.bind_postgres(query).execute(self).await?;
        Ok(())
    }
}

impl Connection for SqliteConnection {
    async fn insert(&mut self, columns: Columns) -> Result<(), sqlx::Error> {
        columns.insert_sqlite(self).await
    }
}

/// `ORDER BY`, so that `seq` counts in the order of the events.
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
        correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at)
    VALUES (?1, ?2, ?3, ?4, coalesce(?5, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
            ?6, ?7, ?8, ?9, ?10, ?11,
            coalesce(?12, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', ?13)))";

/// Rows of the outbox, column by column: one statement for all of them.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Columns {
    id: Vec<Uuid>,
    event_name: Vec<String>,
    event_version: Vec<i32>,
    envelope: Vec<String>,
    stub: Vec<Option<String>>,
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
    pub(crate) fn of<'a>(
        events: impl IntoIterator<Item = &'a NewEvent>,
    ) -> Result<Self, VersionTooLarge> {
        let mut columns = Self::default();
        for event in events {
            columns.push(&event.0)?;
            columns.push_due(event.due());
        }
        Ok(columns)
    }

    fn push(&mut self, envelope: &Envelope) -> Result<(), VersionTooLarge> {
        let version = envelope.event_version;
        let version = i32::try_from(version).map_err(|_too_large| VersionTooLarge(version))?;
        let text = envelope.encode();
        let trace = envelope.trace.as_ref();
        self.id.push(Uuid::now_v7());
        self.event_name.push(envelope.event_name.to_string());
        self.event_version.push(version);
        self.stub
            .push((!jsonb_takes(&text)).then(|| stub(envelope)));
        self.envelope.push(text);
        self.occurred_at.push(occurred_at(envelope));
        self.correlation_id.push(envelope.correlation_id);
        self.causation_id.push(envelope.causation_id);
        self.tenant_id.push(envelope.tenant_id);
        self.traceparent
            .push(trace.map(|trace| trace.traceparent().to_owned()));
        self.tracestate
            .push(trace.and_then(TraceContext::tracestate).map(str::to_owned));
        let key = envelope.ordering_key.as_ref();
        self.ordering_key.push(key.map(ToString::to_string));
        Ok(())
    }

    fn push_due(&mut self, due: Due) {
        let (at, wait) = match due {
            Due::AtOnce => (None, None),
            Due::At(time) => (Some(time), None),
            Due::After(wait) => (None, Some(wait)),
        };
        self.due_at.push(at);
        let most = WAIT_MAX.as_millis();
        let wait = wait.map(|wait| wait.as_millis().min(most));
        self.wait_ms
            .push(wait.and_then(|wait| i64::try_from(wait).ok()));
    }

    pub(crate) fn bind_postgres(
        self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Query<'_, sqlx::Postgres, PgArguments> {
        let (mut payload, mut body) = (Vec::new(), Vec::new());
        for (envelope, stub) in self.envelope.into_iter().zip(self.stub) {
            let (json, text) = match stub {
                None => (envelope, None),
                Some(stub) => (stub, Some(envelope)),
            };
            payload.push(json);
            body.push(text);
        }
        query
            .bind(self.id)
            .bind(self.event_name)
            .bind(self.event_version)
            .bind(payload)
            .bind(body)
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

    /// SQLite has no arrays; within one process a statement costs little.
    pub(crate) async fn insert_sqlite(
        self,
        conn: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let text = |id: &Option<Uuid>| id.map(|id| id.to_string());
        let envelopes = self
            .event_name
            .into_iter()
            .zip(self.event_version)
            .zip(self.envelope);
        let ids = self
            .correlation_id
            .iter()
            .zip(&self.causation_id)
            .zip(&self.tenant_id);
        let traces = self.traceparent.into_iter().zip(self.tracestate);
        let dues = self.due_at.into_iter().zip(self.wait_ms);
        let traces = traces.zip(self.ordering_key.into_iter().zip(dues));
        let rest = self.occurred_at.into_iter().zip(ids).zip(traces);
        for (
            (id, ((name, version), envelope)),
            ((occurred_at, ids), (trace, (key, (due_at, wait_ms)))),
        ) in self.id.iter().zip(envelopes).zip(rest)
        {
            let ((correlation_id, causation_id), tenant_id) = ids;
            sqlx::query(INSERT_SQLITE)
                .bind(id.to_string())
                .bind(name)
                .bind(version)
                .bind(envelope)
                .bind(occurred_at.map(sqlite_time))
                .bind(text(correlation_id))
                .bind(text(causation_id))
                .bind(text(tenant_id))
                .bind(trace.0)
                .bind(trace.1)
                .bind(key)
                .bind(due_at.map(sqlite_time))
                .bind(wait_ms.map(sqlite_wait))
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }
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

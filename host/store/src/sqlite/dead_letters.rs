//! Dead letters on SQLite.

use async_trait::async_trait;
use qx_events::ports::{DeadLetters, Fence};
use qx_events::{DeadLetter, DeadReason, DeadReasonKind, Digest, Fault, LetterFilter};
use sqlx::Row as _;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::{Sqlite, attempts, leases, now};
use crate::columns::{LAST_ERROR_CHARS_MAX, fit, parse_time, parse_uuid, sqlite_time};
use crate::letter::{LetterColumns, StoredLetter};

macro_rules! columns {
    () => {
        "id, component, digest, event_name, event_version, event_id, correlation_id, tenant_id,
         subject, headers, payload, raw, delivered_count, kind, last_error, failed_at"
    };
}

/// The letters that a filter means; its values are ?1 to ?4.
macro_rules! meant {
    () => {
        "(json_array_length(?1) = 0 OR id IN (SELECT value FROM json_each(?1)))
         AND (?2 IS NULL OR coalesce(component, 'no-component') = ?2)
         AND (?3 IS NULL OR event_name = ?3)
         AND (?4 IS NULL OR coalesce(kind, 'exhausted') = ?4)"
    };
}

/// A request that stands is kept: the message that leads here can come twice.
const BURY: &str = "
    INSERT INTO qx_dead_letters (
        id, component, digest, event_name, event_version, event_id, correlation_id, tenant_id,
        subject, headers, payload, raw, delivered_count, kind, last_error, failed_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    ON CONFLICT (id) DO UPDATE SET
        digest = excluded.digest, subject = excluded.subject, headers = excluded.headers,
        payload = excluded.payload, raw = excluded.raw, delivered_count = excluded.delivered_count,
        kind = excluded.kind, last_error = excluded.last_error, failed_at = excluded.failed_at";

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM qx_dead_letters WHERE ",
    meant!(),
    " ORDER BY failed_at DESC, id LIMIT ?5"
);

/// Only a letter that has a component can be given to it again.
const REQUEST_RETRY: &str = concat!(
    "UPDATE qx_dead_letters SET retry_requested_at = ",
    now!(),
    ", retry_taken_at = NULL
     WHERE component IS NOT NULL AND ",
    meant!()
);

const DROP: &str = concat!("DELETE FROM qx_dead_letters WHERE ", meant!());

// CRASH WINDOW retry-1: taken, and the host died before the retry was settled. A
// request that was taken ten minutes ago and has no answer is handed out again;
// if it was settled after all, the inbox mark says so.
const DUE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM qx_dead_letters
     WHERE retry_requested_at IS NOT NULL
       AND (retry_taken_at IS NULL
            OR retry_taken_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-10 minutes'))
     ORDER BY retry_requested_at, id LIMIT ?1"
);

const TAKE: &str = concat!(
    "UPDATE qx_dead_letters SET retry_taken_at = ",
    now!(),
    " WHERE id = ?1"
);

/// A request that came while this one was worked on is not answered by it.
const RETRY_FAILED: &str = concat!(
    "UPDATE qx_dead_letters SET
        retry_requested_at = CASE WHEN retry_taken_at IS NULL THEN retry_requested_at END,
        retry_taken_at = NULL,
        delivered_count = delivered_count + 1, digest = coalesce(?2, digest),
        kind = ?3, last_error = ?4, failed_at = ",
    now!(),
    "
     WHERE id = ?1"
);

#[async_trait]
impl DeadLetters for Sqlite {
    async fn bury(&self, letter: &DeadLetter) -> Result<(), Fault> {
        self.bury_within(letter, None).await.map(drop)
    }

    async fn bury_fenced(&self, letter: &DeadLetter, fence: &Fence) -> Result<bool, Fault> {
        self.bury_within(letter, Some(fence)).await
    }

    async fn list(&self, filter: &LetterFilter, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.file
            .read("list dead letters", async |conn| {
                let query = meant(sqlx::query(LIST), filter).bind(limit);
                letters(&query.fetch_all(conn).await?)
            })
            .await
    }

    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.file
            .write("request the retry of dead letters", async |conn| {
                let query = meant(sqlx::query(REQUEST_RETRY), filter);
                Ok(query.execute(conn).await?.rows_affected())
            })
            .await
    }

    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.file
            .write("drop dead letters", async |conn| {
                Ok(meant(sqlx::query(DROP), filter)
                    .execute(conn)
                    .await?
                    .rows_affected())
            })
            .await
    }

    async fn take_requested(&self, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.file
            .write("take dead letters to retry", async |conn| {
                let rows = sqlx::query(DUE).bind(limit).fetch_all(&mut *conn).await?;
                let letters = letters(&rows)?;
                for letter in &letters {
                    let query = sqlx::query(TAKE).bind(letter.id.to_string());
                    query.execute(&mut *conn).await?;
                }
                Ok(letters)
            })
            .await
    }

    async fn retry_failed(
        &self,
        id: Uuid,
        digest: Option<Digest>,
        reason: &DeadReason,
    ) -> Result<(), Fault> {
        let text = fit(&reason.text, LAST_ERROR_CHARS_MAX);
        self.file
            .write("note a failed retry", async |conn| {
                sqlx::query(RETRY_FAILED)
                    .bind(id.to_string())
                    .bind(digest.map(|digest| digest.bytes().to_vec()))
                    .bind(reason.kind.as_str())
                    .bind(text.as_ref())
                    .execute(conn)
                    .await?;
                Ok(())
            })
            .await
    }

    async fn count(&self) -> Result<u64, Fault> {
        self.file
            .read("count dead letters", async |conn| {
                let row = sqlx::query("SELECT count(*) FROM qx_dead_letters")
                    .fetch_one(conn)
                    .await?;
                Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
            })
            .await
    }
}

impl Sqlite {
    async fn bury_within(&self, letter: &DeadLetter, fence: Option<&Fence>) -> Result<bool, Fault> {
        let columns = LetterColumns::of(letter);
        self.file
            .write("write a dead letter", async |conn| {
                if let Some(fence) = fence
                    && !leases::look(conn, [&*fence.name]).await?.has(fence)
                {
                    return Ok(false);
                }
                bury(conn, columns).await?;
                Ok(true)
            })
            .await
    }
}

async fn bury(conn: &mut SqliteConnection, columns: LetterColumns) -> Result<(), sqlx::Error> {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    sqlx::query(BURY)
        .bind(columns.id.to_string())
        .bind(&columns.component)
        .bind(columns.digest)
        .bind(columns.event_name)
        .bind(columns.event_version)
        .bind(text(columns.event_id))
        .bind(text(columns.correlation_id))
        .bind(text(columns.tenant_id))
        .bind(columns.subject)
        .bind(columns.headers)
        .bind(columns.payload)
        .bind(columns.raw)
        .bind(columns.delivered_count)
        .bind(columns.kind)
        .bind(columns.last_error)
        .bind(sqlite_time(columns.failed_at))
        .execute(&mut *conn)
        .await?;
    if let Some(event_id) = columns.event_id {
        let (component, attempts) = (&columns.component, columns.delivered_count);
        attempts::dead(conn, component, event_id, attempts).await?;
    }
    Ok(())
}

fn meant<'q>(
    query: Query<'q, sqlx::Sqlite, SqliteArguments>,
    filter: &LetterFilter,
) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    let ids: Vec<String> = filter.ids.iter().map(ToString::to_string).collect();
    query
        .bind(serde_json::json!(ids).to_string())
        .bind(filter.component.as_ref().map(ToString::to_string))
        .bind(filter.event_name.clone())
        .bind(filter.kind.map(DeadReasonKind::as_str))
}

fn letters(rows: &[SqliteRow]) -> Result<Vec<DeadLetter>, sqlx::Error> {
    rows.iter().map(|row| stored(row)?.into_letter()).collect()
}

fn stored(row: &SqliteRow) -> Result<StoredLetter, sqlx::Error> {
    let id = |column: &'static str| {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| parse_uuid(column, &text)).transpose()
    };
    let failed_at: String = row.try_get("failed_at")?;
    Ok(StoredLetter {
        id: id("id")?.unwrap_or_default(),
        component: row.try_get("component")?,
        digest: row.try_get("digest")?,
        event_name: row.try_get("event_name")?,
        event_version: row.try_get("event_version")?,
        event_id: id("event_id")?,
        correlation_id: id("correlation_id")?,
        tenant_id: id("tenant_id")?,
        subject: row.try_get("subject")?,
        headers: row.try_get("headers")?,
        payload: row.try_get("payload")?,
        raw: row.try_get("raw")?,
        delivered_count: row.try_get("delivered_count")?,
        kind: row.try_get("kind")?,
        last_error: row.try_get("last_error")?,
        failed_at: parse_time("failed_at", &failed_at)?,
    })
}

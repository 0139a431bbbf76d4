//! Dead letters on PostgreSQL.

use async_trait::async_trait;
use qx_events::ports::{DeadLetters, Fence};
use qx_events::{DeadLetter, DeadReason, DeadReasonKind, Digest, Fault, LetterFilter};
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use uuid::Uuid;

use super::{Postgres, Session, attempts, leases};
use crate::columns::{LAST_ERROR_CHARS_MAX, fit};
use crate::letter::{LetterColumns, StoredLetter, stub};

macro_rules! columns {
    () => {
        "id, component, digest, event_name, event_version, event_id, correlation_id, tenant_id,
         subject, headers::text AS headers, payload::text AS payload, raw, delivered_count, kind,
         last_error, failed_at"
    };
}

/// The letters that a filter means; its values are $1 to $4. What the
/// predecessor did not write reads as it is listed.
macro_rules! meant {
    () => {
        "(cardinality($1::uuid[]) = 0 OR id = ANY($1))
         AND ($2::text IS NULL OR coalesce(component, 'no-component') = $2)
         AND ($3::text IS NULL OR event_name = $3)
         AND ($4::text IS NULL OR coalesce(kind, 'exhausted') = $4)"
    };
}

/// A request that stands is kept: the message that leads here can come twice.
const BURY: &str = "
    INSERT INTO qx_dead_letters (
        id, component, digest, event_name, event_version, event_id, correlation_id, tenant_id,
        subject, headers, payload, raw, delivered_count, kind, last_error, failed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $13, $14, $15, $16)
    ON CONFLICT (id) DO UPDATE SET
        digest = excluded.digest, subject = excluded.subject, headers = excluded.headers,
        payload = excluded.payload, raw = excluded.raw, delivered_count = excluded.delivered_count,
        kind = excluded.kind, last_error = excluded.last_error, failed_at = excluded.failed_at";

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM qx_dead_letters WHERE ",
    meant!(),
    " ORDER BY failed_at DESC, id LIMIT $5"
);

/// Only a letter that has a component can be given to it again.
const REQUEST_RETRY: &str = concat!(
    "UPDATE qx_dead_letters SET retry_requested_at = clock_timestamp(), retry_taken_at = NULL
     WHERE component IS NOT NULL AND ",
    meant!()
);

const DROP: &str = concat!("DELETE FROM qx_dead_letters WHERE ", meant!());

// CRASH WINDOW retry-1: taken, and the host died before the retry was settled. A
// request that was taken ten minutes ago and has no answer is handed out again;
// if it was settled after all, the inbox mark says so.
const TAKE: &str = concat!(
    "WITH due AS (
        SELECT id AS due_id FROM qx_dead_letters
        WHERE retry_requested_at IS NOT NULL
          AND (retry_taken_at IS NULL OR retry_taken_at < clock_timestamp() - interval '10 minutes')
        ORDER BY retry_requested_at, id LIMIT $1
        FOR UPDATE SKIP LOCKED
     ), taken AS (
        UPDATE qx_dead_letters SET retry_taken_at = clock_timestamp()
        FROM due WHERE id = due_id
        RETURNING *
     )
     SELECT ",
    columns!(),
    " FROM taken ORDER BY retry_requested_at, id"
);

/// A request that came while this one was worked on is not answered by it.
const RETRY_FAILED: &str = "
    UPDATE qx_dead_letters SET
        retry_requested_at = CASE WHEN retry_taken_at IS NULL THEN retry_requested_at END,
        retry_taken_at = NULL,
        delivered_count = delivered_count + 1, digest = coalesce($2, digest),
        kind = $3, last_error = $4, failed_at = clock_timestamp()
    WHERE id = $1";

#[async_trait]
impl DeadLetters for Postgres {
    async fn bury(&self, letter: &DeadLetter) -> Result<(), Fault> {
        self.bury_within(letter, None).await.map(drop)
    }

    async fn bury_fenced(&self, letter: &DeadLetter, fence: &Fence) -> Result<bool, Fault> {
        self.bury_within(letter, Some(fence)).await
    }

    async fn list(&self, filter: &LetterFilter, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.call("list dead letters", async |session| {
            let query = meant(session.sql(LIST), filter).bind(i64::from(limit));
            letters(&query.fetch_all(session.conn()).await?)
        })
        .await
    }

    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.call("request the retry of dead letters", async |session| {
            let query = meant(session.sql(REQUEST_RETRY), filter);
            Ok(query.execute(session.conn()).await?.rows_affected())
        })
        .await
    }

    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.call("drop dead letters", async |session| {
            let query = meant(session.sql(DROP), filter);
            Ok(query.execute(session.conn()).await?.rows_affected())
        })
        .await
    }

    async fn take_requested(&self, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.call("take dead letters to retry", async |session| {
            let query = session.sql(TAKE).bind(i64::from(limit));
            letters(&query.fetch_all(session.conn()).await?)
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
        let digest = digest.map(|digest| digest.bytes().to_vec());
        self.call("note a failed retry", async |session| {
            let query = session.sql(RETRY_FAILED).bind(id).bind(&digest);
            let query = query.bind(reason.kind.as_str()).bind(&text);
            query.execute(session.conn()).await?;
            Ok(())
        })
        .await
    }

    async fn count(&self) -> Result<u64, Fault> {
        self.call("count dead letters", async |session| {
            let query = session.sql("SELECT count(*) FROM qx_dead_letters");
            let count: i64 = query.fetch_one(session.conn()).await?.try_get(0)?;
            Ok(count.cast_unsigned())
        })
        .await
    }
}

impl Postgres {
    async fn bury_within(&self, letter: &DeadLetter, fence: Option<&Fence>) -> Result<bool, Fault> {
        const DOING: &str = "write a dead letter";
        let write = async |session: &mut Session<'_>, columns: &LetterColumns| {
            if let Some(fence) = fence
                && !leases::lock(session, [&*fence.name]).await?.has(fence)
            {
                return Ok(false);
            }
            bury(session, columns).await?;
            Ok(true)
        };
        let columns = LetterColumns::of(letter);
        let buried = self.call(DOING, async |session| write(session, &columns).await);
        match buried.await {
            // Some JSON that this crate thought fit and jsonb did not: a letter
            // must be written, so its body is in `raw` alone.
            Err(fault) if !fault.is_transient() => {
                let payload = stub(&columns.raw);
                let columns = LetterColumns { payload, ..columns };
                self.call(DOING, async |session| write(session, &columns).await)
                    .await
            }
            other => other,
        }
    }
}

async fn bury(session: &mut Session<'_>, columns: &LetterColumns) -> Result<(), sqlx::Error> {
    session
        .sql(BURY)
        .bind(columns.id)
        .bind(columns.component.clone())
        .bind(columns.digest.clone())
        .bind(columns.event_name.clone())
        .bind(columns.event_version)
        .bind(columns.event_id)
        .bind(columns.correlation_id)
        .bind(columns.tenant_id)
        .bind(columns.subject.clone())
        .bind(columns.headers.clone())
        .bind(columns.payload.clone())
        .bind(columns.raw.clone())
        .bind(columns.delivered_count)
        .bind(columns.kind)
        .bind(columns.last_error.clone())
        .bind(columns.failed_at)
        .execute(session.conn())
        .await?;
    if let Some(event_id) = columns.event_id {
        let (component, attempts) = (&columns.component, columns.delivered_count);
        attempts::dead(session, component, event_id, attempts).await?;
    }
    Ok(())
}

fn meant<'q>(
    query: Query<'q, sqlx::Postgres, PgArguments>,
    filter: &LetterFilter,
) -> Query<'q, sqlx::Postgres, PgArguments> {
    query
        .bind(filter.ids.clone())
        .bind(filter.component.as_ref().map(ToString::to_string))
        .bind(filter.event_name.clone())
        .bind(filter.kind.map(DeadReasonKind::as_str))
}

fn letters(rows: &[PgRow]) -> Result<Vec<DeadLetter>, sqlx::Error> {
    rows.iter().map(|row| stored(row)?.into_letter()).collect()
}

fn stored(row: &PgRow) -> Result<StoredLetter, sqlx::Error> {
    Ok(StoredLetter {
        id: row.try_get("id")?,
        component: row.try_get("component")?,
        digest: row.try_get("digest")?,
        event_name: row.try_get("event_name")?,
        event_version: row.try_get("event_version")?,
        event_id: row.try_get("event_id")?,
        correlation_id: row.try_get("correlation_id")?,
        tenant_id: row.try_get("tenant_id")?,
        subject: row.try_get("subject")?,
        headers: row.try_get("headers")?,
        payload: row.try_get("payload")?,
        raw: row.try_get("raw")?,
        delivered_count: row.try_get("delivered_count")?,
        kind: row.try_get("kind")?,
        last_error: row.try_get("last_error")?,
        failed_at: row.try_get("failed_at")?,
    })
}

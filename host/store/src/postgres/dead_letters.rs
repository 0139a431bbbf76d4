//! Dead letters on PostgreSQL.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use qx_events::ports::{AfterEdit, DeadLetters, EditAnswer, Fence};
use qx_events::{DeadLetter, DeadReason, DeadReasonKind, Digest, Fault, LetterFilter};
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use uuid::Uuid;

use super::{Postgres, Session, attempts, leases};
use crate::columns::{LAST_ERROR_CHARS_MAX, fit};
use crate::letter::{LetterColumns, Names, StoredLetter, names, payload_or_stub, stub};
use crate::letter_sql::{bind_filter, bind_letter, statements, stored_letter};

statements! {
    headers: "headers::text", payload: "payload::text", json: "::jsonb",
    payload_bytes: "convert_to(payload::text, 'UTF8')",
    ids: "(cardinality($1) = 0 OR id = ANY($1))",
    names: "event_name = ANY($3)",
    reason: "strpos(lower(coalesce(last_error, '')), lower($8)) > 0",
    now: "clock_timestamp()", long_ago: "clock_timestamp() - interval '10 minutes'",
}

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
    " FROM taken ORDER BY taken.retry_requested_at, taken.id"
);

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
            let query = meant(session, LIST, filter).await?.bind(i64::from(limit));
            letters(&query.fetch_all(session.conn()).await?)
        })
        .await
    }

    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.call("request the retry of dead letters", async |session| {
            let query = meant(session, REQUEST_RETRY, filter).await?;
            Ok(query.execute(session.conn()).await?.rows_affected())
        })
        .await
    }

    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.call("drop dead letters", async |session| {
            let query = meant(session, DROP, filter).await?;
            Ok(query.execute(session.conn()).await?.rows_affected())
        })
        .await
    }

    async fn take_requested(&self, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.statement("take dead letters to retry", async |session| {
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

    async fn edit(
        &self,
        id: Uuid,
        event_id: Uuid,
        body: &Bytes,
        then: AfterEdit,
    ) -> Result<EditAnswer, Fault> {
        let payload = payload_or_stub(body);
        self.call("edit a dead letter", async |session| {
            let query = session.sql(EDIT).bind(id).bind(body.to_vec());
            let query = query.bind(&payload).bind(event_id);
            let query = query.bind(then == AfterEdit::Retry);
            if query.execute(session.conn()).await?.rows_affected() > 0 {
                return Ok(EditAnswer::Done);
            }
            let known = session.sql(EXISTS).bind(id).fetch_one(session.conn());
            Ok(if known.await?.try_get::<i64, _>(0)? > 0 {
                EditAnswer::BeingRetried
            } else {
                EditAnswer::Gone
            })
        })
        .await
    }

    async fn count(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.call("count dead letters", async |session| {
            let query = meant(session, COUNT, filter).await?;
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
    let query = bind_letter!(session.sql(BURY), columns, own, own);
    query.execute(session.conn()).await?;
    if let Some(event_id) = columns.event_id {
        let (component, attempts) = (&columns.component, columns.delivered_count);
        attempts::dead(session, component, event_id, attempts).await?;
    }
    Ok(())
}

/// The statement with the values of the filter.
async fn meant(
    session: &mut Session<'_>,
    statement: &'static str,
    filter: &LetterFilter,
) -> Result<Query<'static, sqlx::Postgres, PgArguments>, sqlx::Error> {
    let names = match names(filter.event_name.as_ref()) {
        Names::Any => None,
        Names::These(names) => Some(names),
        Names::Matching(pattern) => {
            let rows = session.sql(NAMES).fetch_all(session.conn()).await?;
            let all: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            let mut all = all?;
            all.retain(|name| pattern.matches(name));
            Some(all)
        }
    };
    let query = session.sql(statement);
    Ok(bind_filter!(
        query,
        filter,
        filter.ids.clone(),
        names,
        own,
        own
    ))
}

fn letters(rows: &[PgRow]) -> Result<Vec<DeadLetter>, sqlx::Error> {
    rows.iter().map(|row| stored(row)?.into_letter()).collect()
}

fn stored(row: &PgRow) -> Result<StoredLetter, sqlx::Error> {
    let id = |column| row.try_get::<Option<Uuid>, _>(column);
    let time = |column| row.try_get::<Option<DateTime<Utc>>, _>(column);
    Ok(stored_letter!(row, id, time))
}

/// PostgreSQL takes our values as they are.
const fn own<T: Copy>(value: T) -> T {
    value
}

//! Dead letters on SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use qx_events::ports::{AfterEdit, DeadLetters, EditAnswer, Fence};
use qx_events::{DeadLetter, DeadReason, DeadReasonKind, Digest, Fault, LetterFilter};
use sqlx::Row as _;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::{Sqlite, attempts, leases, now};
use crate::columns::{LAST_ERROR_CHARS_MAX, fit, parse_time, parse_uuid, sqlite_time};
use crate::letter::{LetterColumns, Names, StoredLetter, names, payload_or_stub};
use crate::letter_sql::{bind_filter, bind_letter, statements, stored_letter};

statements! {
    headers: "headers", payload: "payload", json: "",
    payload_bytes: "CAST(payload AS BLOB)",
    ids: "(json_array_length($1) = 0 OR id IN (SELECT value FROM json_each($1)))",
    names: "event_name IN (SELECT value FROM json_each($3))",
    reason: "instr(lower(coalesce(last_error, '')), lower($8)) > 0",
    now: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    long_ago: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-10 minutes')",
}

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
     ORDER BY retry_requested_at, id LIMIT $1"
);

const TAKE: &str = concat!(
    "UPDATE qx_dead_letters SET retry_taken_at = ",
    now!(),
    " WHERE id = $1"
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
                let query = meant(conn, LIST, filter).await?.bind(limit);
                letters(&query.fetch_all(conn).await?)
            })
            .await
    }

    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.file
            .write("request the retry of dead letters", async |conn| {
                let query = meant(conn, REQUEST_RETRY, filter).await?;
                Ok(query.execute(conn).await?.rows_affected())
            })
            .await
    }

    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.file
            .write("drop dead letters", async |conn| {
                let query = meant(conn, DROP, filter).await?;
                Ok(query.execute(conn).await?.rows_affected())
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

    async fn edit(
        &self,
        id: Uuid,
        event_id: Uuid,
        body: &Bytes,
        then: AfterEdit,
    ) -> Result<EditAnswer, Fault> {
        self.file
            .write("edit a dead letter", async |conn| {
                let query = sqlx::query(EDIT).bind(text(id)).bind(body.to_vec());
                let query = query.bind(payload_or_stub(body)).bind(text(event_id));
                let query = query.bind(then == AfterEdit::Retry);
                if query.execute(&mut *conn).await?.rows_affected() > 0 {
                    return Ok(EditAnswer::Done);
                }
                let known = sqlx::query(EXISTS).bind(text(id)).fetch_one(conn).await?;
                Ok(if known.try_get::<i64, _>(0)? > 0 {
                    EditAnswer::BeingRetried
                } else {
                    EditAnswer::Gone
                })
            })
            .await
    }

    async fn count(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.file
            .read("count dead letters", async |conn| {
                let query = meant(conn, COUNT, filter).await?;
                let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
                Ok(count.cast_unsigned())
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
    let query = bind_letter!(sqlx::query(BURY), columns, text, sqlite_time);
    query.execute(&mut *conn).await?;
    if let Some(event_id) = columns.event_id {
        let (component, attempts) = (&columns.component, columns.delivered_count);
        attempts::dead(conn, component, event_id, attempts).await?;
    }
    Ok(())
}

/// The statement with the values of the filter.
async fn meant(
    conn: &mut SqliteConnection,
    statement: &'static str,
    filter: &LetterFilter,
) -> Result<Query<'static, sqlx::Sqlite, SqliteArguments>, sqlx::Error> {
    let names = match names(filter.event_name.as_ref()) {
        Names::Any => None,
        Names::These(names) => Some(names),
        Names::Matching(pattern) => {
            let rows = sqlx::query(NAMES).fetch_all(conn).await?;
            let all: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            let mut all = all?;
            all.retain(|name| pattern.matches(name));
            Some(all)
        }
    };
    let ids: Vec<String> = filter.ids.iter().map(ToString::to_string).collect();
    let (ids, names) = (list(&ids), names.as_deref().map(list));
    let query = sqlx::query(statement);
    Ok(bind_filter!(query, filter, ids, names, text, sqlite_time))
}

/// A list, as SQLite takes one.
fn list(texts: &[String]) -> String {
    serde_json::json!(texts).to_string()
}

fn text(id: Uuid) -> String {
    id.to_string()
}

fn letters(rows: &[SqliteRow]) -> Result<Vec<DeadLetter>, sqlx::Error> {
    rows.iter().map(|row| stored(row)?.into_letter()).collect()
}

fn stored(row: &SqliteRow) -> Result<StoredLetter, sqlx::Error> {
    let id = |column: &'static str| {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| parse_uuid(column, &text)).transpose()
    };
    let time = |column: &'static str| {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| parse_time(column, &text)).transpose()
    };
    Ok(stored_letter!(row, id, time))
}

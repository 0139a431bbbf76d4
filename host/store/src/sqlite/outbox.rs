//! The outbox on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{
    Due, Lease, OpenWriter, Outbox, OutboxStatus, PublishedRow, StreamState, Writers,
};
use qx_events::{Fault, Row};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{Sqlite, many, now, now_ms};
use crate::columns::{LAST_ERROR_CHARS_MAX, fit, parse_uuid};

const LEASE: &str = concat!(
    "INSERT INTO qx_leases AS own (name, holder, token, expires_at)
     VALUES ('relay', ?1, 1, ",
    now_ms!(),
    " + ?2)
     ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        token = own.token + (own.holder <> excluded.holder),
        expires_at = excluded.expires_at
     WHERE own.holder = excluded.holder OR own.expires_at <= ",
    now_ms!(),
    "
     RETURNING token"
);

/// The token goes on at once: what the former holder still writes is refused.
const RELEASE: &str = "
    UPDATE qx_leases SET holder = '', token = token + 1, expires_at = 0
    WHERE name = 'relay' AND token = ?1";

const HOLDS: &str = "SELECT count(*) FROM qx_leases WHERE name = 'relay' AND token = ?1";

/// Served by the index `qx_outbox_pending` alone: no sort.
const PENDING: &str = "
    SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
           traceparent, tracestate,
           payload
    FROM qx_outbox_events
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= ?2
    ORDER BY seq LIMIT ?1";

const NEWEST: &str = "
    SELECT seq FROM qx_outbox_events
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
    ORDER BY seq DESC LIMIT 1";

/// From the end of the table, as far as the limit: rows with a larger body are left
/// out of those, not looked for further down.
const NEWEST_OF_ALL: &str = "
    SELECT * FROM (
        SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
               traceparent, tracestate, payload
        FROM qx_outbox_events ORDER BY seq DESC LIMIT ?1)
    WHERE octet_length(payload) <= ?2
    ORDER BY seq DESC";

/// One look at the index of what waits.
const WAITS: &str = "
    SELECT EXISTS (SELECT 1 FROM qx_outbox_events INDEXED BY qx_outbox_pending
                   WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL)";

/// The earliest of those that are due later, or by now, and in how many
/// milliseconds. Times are text that sorts.
const DUE: &str = "
    SELECT seq, CAST((unixepoch(due_at, 'subsec') - unixepoch('now', 'subsec')) * 1000 AS INTEGER)
           AS in_ms
    FROM qx_outbox_events INDEXED BY qx_outbox_due
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL
    ORDER BY due_at, seq LIMIT ?1";

const NEXT_SEQ: &str = "
    UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'qx_outbox_events' RETURNING seq";

const COMES_DUE: &str = "
    UPDATE qx_outbox_events SET seq = ?2, recorded_at = due_at, due_at = NULL
    WHERE seq = ?1 AND due_at IS NOT NULL";

const MARK_PUBLISHED: &str = concat!(
    "UPDATE qx_outbox_events
     SET published_at = ",
    now!(),
    ", last_error = NULL, stream_name = told.value ->> 1, stream_seq = told.value ->> 2,
         stream_created = told.value ->> 3
     FROM json_each(?1) AS told
     WHERE seq = told.value ->> 0 AND published_at IS NULL AND failed_at IS NULL"
);

/// Three looks at the index, which find nothing as a rule: made earlier, made
/// later, and behind the end. The rule is `StreamState::lost`.
const LOST: &str = "
    SELECT seq FROM (
        SELECT seq FROM qx_outbox_events INDEXED BY qx_outbox_stored
        WHERE published_at IS NOT NULL AND stream_created IS NOT NULL AND stream_created < ?1
        UNION ALL
        SELECT seq FROM qx_outbox_events INDEXED BY qx_outbox_stored
        WHERE published_at IS NOT NULL AND stream_created IS NOT NULL AND stream_created > ?1
        UNION ALL
        SELECT seq FROM qx_outbox_events INDEXED BY qx_outbox_stored
        WHERE published_at IS NOT NULL AND stream_created IS NOT NULL AND stream_created = ?1
          AND stream_seq > ?2
    ) LIMIT ?3";

const FORGET: &str = "
    UPDATE qx_outbox_events
    SET published_at = NULL, stream_name = NULL, stream_seq = NULL, stream_created = NULL
    WHERE seq = ?1 AND published_at IS NOT NULL";

const SET_ASIDE: &str = concat!(
    "UPDATE qx_outbox_events SET failed_at = ",
    now!(),
    ", last_error = ?2
     WHERE seq = ?1 AND published_at IS NULL AND failed_at IS NULL"
);

/// As text, like `published_at`: compared as times because both sort.
const CLEAN_UP: &str = "
    DELETE FROM qx_outbox_events WHERE seq IN (
        SELECT seq FROM qx_outbox_events
        WHERE published_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1)
        ORDER BY published_at LIMIT ?2
    )";

/// Each count reads one partial index; a million published rows take some ten
/// milliseconds, which is enough for the database of one machine.
const STATUS: &str = "
    SELECT (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL) AS waiting,
           (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL) AS delayed,
           (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NOT NULL) AS failed,
           (SELECT count(*) FROM qx_outbox_events WHERE published_at IS NOT NULL) AS published,
           (SELECT CAST((unixepoch('now', 'subsec')
                         - unixepoch(coalesce(recorded_at, occurred_at), 'subsec')) * 1000 AS INTEGER)
            FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
            ORDER BY seq LIMIT 1) AS oldest_ms";

#[async_trait]
impl Outbox for Sqlite {
    async fn lease(&self, holder: &str, term: Duration) -> Result<Option<Lease>, Fault> {
        let term = i64::try_from(term.as_millis()).unwrap_or(i64::MAX / 2);
        self.file
            .write("take the relay's lease", async |conn| {
                let query = sqlx::query(LEASE).bind(holder).bind(term);
                let row = query.fetch_optional(conn).await?;
                row.map(|row| {
                    Ok(Lease {
                        token: row.try_get(0)?,
                    })
                })
                .transpose()
            })
            .await
    }

    async fn release(&self, lease: Lease) -> Result<(), Fault> {
        self.file
            .write("give the relay's lease back", async |conn| {
                sqlx::query(RELEASE).bind(lease.token).execute(conn).await?;
                Ok(())
            })
            .await
    }

    async fn pending_to(&self, last: i64, limit: u32) -> Result<Vec<Row>, Fault> {
        self.file
            .read("read rows that wait", async |conn| {
                let query = sqlx::query(PENDING).bind(limit).bind(last);
                let rows = query.fetch_all(conn).await?;
                rows.iter().map(row).collect()
            })
            .await
    }

    /// A file has one writer at a time, and rows get their numbers in its
    /// transaction: the order of the commits is that of `seq`, and nobody comes late.
    async fn writers(&self) -> Result<Writers, Fault> {
        self.file
            .read("look for the newest row", async |conn| {
                let row = sqlx::query(NEWEST).fetch_optional(conn).await?;
                let newest = row.map(|row| row.try_get(0)).transpose()?;
                let open = Vec::new();
                Ok(Writers { newest, open })
            })
            .await
    }

    async fn newest(&self, limit: u32, body_bytes_max: u32) -> Result<Vec<Row>, Fault> {
        self.file
            .read("read the newest rows", async |conn| {
                let query = sqlx::query(NEWEST_OF_ALL).bind(limit).bind(body_bytes_max);
                let rows = query.fetch_all(conn).await?;
                rows.iter().map(row).collect()
            })
            .await
    }

    async fn oldest_writer(&self) -> Result<Option<OpenWriter>, Fault> {
        Ok(None)
    }

    async fn mark_published(&self, lease: Lease, rows: &[PublishedRow]) -> Result<bool, Fault> {
        self.file
            .write("mark rows published", async |conn| {
                if !holds(conn, lease).await? {
                    return Ok(false);
                }
                let rows: Vec<_> = rows
                    .iter()
                    .map(|row| {
                        let (stream, at) = (row.stored.stream.as_str(), row.stored.sequence);
                        (row.seq, stream, at.cast_signed(), row.stream_created_ns)
                    })
                    .collect();
                let query = sqlx::query(MARK_PUBLISHED).bind(many(rows));
                query.execute(&mut *conn).await?;
                Ok(true)
            })
            .await
    }

    async fn come_due(&self, lease: Lease, limit: u32) -> Result<Option<Due>, Fault> {
        const DOING: &str = "look for rows that are due";
        // Without the write lock as long as none is.
        let looked = self.file.read(DOING, async |conn| {
            if !holds(conn, lease).await? {
                return Ok(None);
            }
            let next = due(conn, 1).await?.first().map(|(_, ms)| *ms);
            let waits = sqlx::query(WAITS).fetch_one(conn).await?.try_get(0)?;
            Ok(Some((next, waits)))
        });
        let Some((next, waits)) = looked.await? else {
            return Ok(None);
        };
        if next.is_none_or(|ms| ms > 0) {
            let next = next.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned()));
            let came = 0;
            return Ok(Some(Due { came, next, waits }));
        }
        let moved = self.file.write(DOING, async |conn| {
            if !holds(conn, lease).await? {
                return Ok(None);
            }
            let mut came = 0;
            for (seq, _) in due(conn, limit).await?.iter().filter(|(_, ms)| *ms <= 0) {
                let next = sqlx::query(NEXT_SEQ).fetch_one(&mut *conn).await?;
                let next: i64 = next.try_get(0)?;
                let query = sqlx::query(COMES_DUE).bind(seq).bind(next);
                came += query.execute(&mut *conn).await?.rows_affected();
            }
            Ok(Some(came))
        });
        // There may be more: looked at again at once.
        let next = Some(Duration::ZERO);
        let waits = true;
        Ok(moved.await?.map(|came| Due { came, next, waits }))
    }

    async fn forget_lost(
        &self,
        lease: Lease,
        stream: &StreamState,
        limit: u32,
    ) -> Result<Option<u64>, Fault> {
        const DOING: &str = "look for rows that the stream has lost";
        // Without the write lock as long as nothing is lost.
        let looked = self.file.read(DOING, async |conn| {
            let held = holds(conn, lease).await?;
            Ok((held, lost(conn, stream, 1).await?.is_empty()))
        });
        match looked.await? {
            (false, _) => return Ok(None),
            (true, true) => return Ok(Some(0)),
            (true, false) => {}
        }
        let forgotten = self.file.write(DOING, async |conn| {
            if !holds(conn, lease).await? {
                return Ok(None);
            }
            let seqs = lost(conn, stream, limit).await?;
            for seq in &seqs {
                sqlx::query(FORGET).bind(seq).execute(&mut *conn).await?;
            }
            Ok(Some(seqs.len() as u64))
        });
        forgotten.await
    }

    async fn set_aside(&self, lease: Lease, seq: i64, reason: &str) -> Result<bool, Fault> {
        let reason = fit(reason, LAST_ERROR_CHARS_MAX);
        self.file
            .write("set a row aside", async |conn| {
                if !holds(conn, lease).await? {
                    return Ok(false);
                }
                let query = sqlx::query(SET_ASIDE).bind(seq).bind(reason.as_ref());
                query.execute(conn).await?;
                Ok(true)
            })
            .await
    }

    async fn clean_up(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        // 1,000 years: a time minus this is still one.
        const FOREVER: Duration = Duration::from_hours(24 * 365 * 1000);
        let age = format!("-{} seconds", retention.min(FOREVER).as_secs_f64());
        self.file
            .write("delete old published rows", async |conn| {
                let query = sqlx::query(CLEAN_UP).bind(&age).bind(limit);
                Ok(query.execute(conn).await?.rows_affected())
            })
            .await
    }

    async fn status(&self) -> Result<OutboxStatus, Fault> {
        self.file
            .read("count rows", async |conn| {
                let row = sqlx::query(STATUS).fetch_one(conn).await?;
                let count = |column: &str| {
                    let count: Option<i64> = row.try_get(column)?;
                    Ok::<_, sqlx::Error>(count.unwrap_or(0).max(0).cast_unsigned())
                };
                Ok(OutboxStatus {
                    pending: count("waiting")? + count("delayed")?,
                    delayed: count("delayed")?,
                    oldest_pending_ms: count("oldest_ms")?,
                    published: count("published")?,
                    failed: count("failed")?,
                })
            })
            .await
    }
}

/// Whether the lease is still good, inside the transaction that depends on it.
async fn holds(conn: &mut SqliteConnection, lease: Lease) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(HOLDS).bind(lease.token).fetch_one(conn).await?;
    Ok(row.try_get::<i64, _>(0)? == 1)
}

/// The earliest rows with a due time, and in how many milliseconds they are due.
async fn due(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query(DUE).bind(limit).fetch_all(conn).await?;
    let row = |row: &SqliteRow| Ok((row.try_get("seq")?, row.try_get("in_ms")?));
    rows.iter().map(row).collect()
}

/// Rows whose message the stream has lost.
async fn lost(
    conn: &mut SqliteConnection,
    stream: &StreamState,
    limit: u32,
) -> Result<Vec<i64>, sqlx::Error> {
    let end = i64::try_from(stream.last_seq).unwrap_or(i64::MAX);
    let query = sqlx::query(LOST).bind(stream.created_ns).bind(end);
    let rows = query.bind(limit).fetch_all(conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let id = |column: &'static str| {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| parse_uuid(column, &text)).transpose()
    };
    let body: String = row.try_get("payload")?;
    Ok(Row {
        seq: row.try_get("seq")?,
        id: id("id")?.unwrap_or_default(),
        event_name: row.try_get("event_name")?,
        event_version: row.try_get("event_version")?,
        correlation_id: id("correlation_id")?,
        tenant_id: id("tenant_id")?,
        ordering_key: row.try_get("ordering_key")?,
        traceparent: row.try_get("traceparent")?,
        tracestate: row.try_get("tracestate")?,
        body: body.into(),
    })
}

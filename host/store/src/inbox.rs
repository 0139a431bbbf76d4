//! Forgets inbox marks that are so old that their event cannot come again: neither
//! from the stream, nor as the retry of a dead letter.

use std::time::Duration;

use qx_events::Fault;

use crate::store::Store;

/// By the time of the statement: no index serves a clock that goes on meanwhile.
const POSTGRES: &str = "
    DELETE FROM qx_inbox WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM qx_inbox AS mark
        WHERE handled_at < statement_timestamp() - $1 * interval '1 second'
          AND NOT EXISTS (SELECT FROM qx_dead_letters AS letter
                          WHERE letter.component = mark.component AND letter.event_id = mark.event_id)
        ORDER BY handled_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Marks lie in the order in which they came: only those before the first that is
/// young enough are looked at.
const SQLITE: &str = "
    DELETE FROM qx_inbox WHERE rowid IN (
        SELECT mark.rowid FROM qx_inbox AS mark
        WHERE mark.rowid < coalesce((
                SELECT rowid FROM qx_inbox
                WHERE handled_at >= strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1)
                ORDER BY rowid LIMIT 1), 9223372036854775807)
          AND NOT EXISTS (SELECT 1 FROM qx_dead_letters AS letter
                          WHERE letter.component = mark.component AND letter.event_id = mark.event_id)
        ORDER BY mark.rowid LIMIT ?2)";

/// What was last noted as long ago.
const POSTGRES_ATTEMPTS: &str = "
    DELETE FROM qx_attempts WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM qx_attempts
        WHERE noted_at < statement_timestamp() - $1 * interval '1 second'
        ORDER BY noted_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

const SQLITE_ATTEMPTS: &str = "
    DELETE FROM qx_attempts WHERE (component, event_id) IN (
        SELECT component, event_id FROM qx_attempts
        WHERE noted_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1) LIMIT ?2)";

/// A mark is as young as the last time its event came: a row that is published once
/// more, because the stream lost it, is kept anew and can come anew. Once a day is
/// enough, so that a duplicate seldom costs a write.
pub(crate) const RENEW_POSTGRES: &str = "
    UPDATE qx_inbox SET handled_at = clock_timestamp()
    WHERE component = $1 AND event_id = ANY($2)
      AND handled_at < clock_timestamp() - interval '1 day'";

/// Whether it is time.
pub(crate) const OLD_SQLITE: &str = "
    SELECT 1 FROM qx_inbox WHERE component = ?1 AND event_id = ?2
      AND handled_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day')";

/// The same. In the place of those that came last: see `SQLITE`.
pub(crate) const RENEW_SQLITE: &str = "
    REPLACE INTO qx_inbox (component, event_id, digest)
    SELECT component, event_id, digest FROM qx_inbox
    WHERE component = ?1 AND event_id = ?2";

/// A time minus this, a thousand years, is still one.
pub(crate) const RETENTION_MAX: Duration = Duration::from_hours(24 * 365 * 1000);

impl Store {
    /// Deletes marks that are older than `retention`, at most `limit`; returns
    /// how many. Keep them for longer than the stream and the outbox together keep an
    /// event: without its mark, one that comes again is handled again. The mark of an
    /// event that is a dead letter of the component stays, whatever its age.
    pub async fn clean_up_inbox(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        let doing = "delete old inbox marks";
        self.clean_up_by((POSTGRES, SQLITE), doing, retention, limit)
            .await
    }

    /// The same for records of attempts: of events that were handled all the same,
    /// of dead ones, and of those whose message is gone.
    pub async fn clean_up_attempts(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        let statements = (POSTGRES_ATTEMPTS, SQLITE_ATTEMPTS);
        let doing = "delete old records of attempts";
        self.clean_up_by(statements, doing, retention, limit).await
    }

    async fn clean_up_by(
        &self,
        (on_postgres, on_sqlite): (&'static str, &'static str),
        doing: &'static str,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, Fault> {
        let retention = retention.min(RETENTION_MAX);
        match self {
            Self::Postgres(postgres) => {
                let gone = postgres.call(doing, async |session| {
                    let query = session.sql(on_postgres).bind(retention.as_secs_f64());
                    let query = query.bind(i64::from(limit));
                    Ok(query.execute(session.conn()).await?.rows_affected())
                });
                gone.await
            }
            Self::Sqlite(sqlite) => {
                let gone = sqlite.file().write(doing, async |conn| {
                    let query = sqlx::query(on_sqlite);
                    let query = query.bind(format!("-{} seconds", retention.as_secs_f64()));
                    Ok(query.bind(limit).execute(conn).await?.rows_affected())
                });
                gone.await
            }
        }
    }
}

//! Forgets inbox marks that are so old that their event cannot come again.

use std::time::Duration;

use qx_events::Fault;

use crate::store::Store;

const POSTGRES: &str = "
    DELETE FROM qx_inbox WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM qx_inbox
        WHERE handled_at < clock_timestamp() - $1 * interval '1 second'
        LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Marks lie in the order in which they came: only the first are looked at.
const SQLITE: &str = "
    DELETE FROM qx_inbox
    WHERE rowid IN (SELECT rowid FROM qx_inbox ORDER BY rowid LIMIT ?2)
      AND handled_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1)";

/// What was last noted as long ago.
const POSTGRES_ATTEMPTS: &str = "
    DELETE FROM qx_attempts WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM qx_attempts
        WHERE noted_at < clock_timestamp() - $1 * interval '1 second'
        LIMIT $2 FOR UPDATE SKIP LOCKED))";

const SQLITE_ATTEMPTS: &str = "
    DELETE FROM qx_attempts WHERE (component, event_id) IN (
        SELECT component, event_id FROM qx_attempts
        WHERE noted_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1) LIMIT ?2)";

/// A time minus this, a thousand years, is still one.
const RETENTION_MAX: Duration = Duration::from_hours(24 * 365 * 1000);

impl Store {
    /// Deletes marks that are older than `retention`, at most `limit`; returns
    /// how many. Keep them for longer than the stream keeps its messages and a
    /// dead letter its retry: without its mark, an event that comes again is
    /// handled again.
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

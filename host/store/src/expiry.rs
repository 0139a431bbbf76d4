//! Deletes dead letters that nobody has looked after for longer than they are
//! kept. Never one whose retry is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use qx_events::Fault;
use sqlx::Row as _;

use crate::inbox::RETENTION_MAX;
use crate::store::Store;

const POSTGRES: &str = "
    DELETE FROM qx_dead_letters WHERE id = ANY(ARRAY(
        SELECT id FROM qx_dead_letters
        WHERE failed_at < statement_timestamp() - $1 * interval '1 second'
          AND retry_requested_at IS NULL
        ORDER BY failed_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING coalesce(component, 'no-component')";

const SQLITE: &str = "
    DELETE FROM qx_dead_letters WHERE id IN (
        SELECT id FROM qx_dead_letters
        WHERE failed_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', $1)
          AND retry_requested_at IS NULL
        ORDER BY failed_at LIMIT $2)
    RETURNING coalesce(component, 'no-component')";

impl Store {
    /// Deletes dead letters that were given up longer ago than `retention`, the
    /// oldest first and at most `limit`; returns how many of each component.
    pub async fn expire_dead_letters(
        &self,
        retention: Duration,
        limit: u32,
    ) -> Result<BTreeMap<String, u64>, Fault> {
        let doing = "delete expired dead letters";
        let retention = retention.min(RETENTION_MAX);
        let components: Vec<String> = match self {
            Self::Postgres(postgres) => {
                let gone = postgres.call(doing, async |session| {
                    let query = session.sql(POSTGRES).bind(retention.as_secs_f64());
                    let query = query.bind(i64::from(limit));
                    let rows = query.fetch_all(session.conn()).await?;
                    rows.iter().map(|row| row.try_get(0)).collect()
                });
                gone.await?
            }
            Self::Sqlite(sqlite) => {
                let gone = sqlite.file().write(doing, async |conn| {
                    let query = sqlx::query(SQLITE);
                    let query = query.bind(format!("-{} seconds", retention.as_secs_f64()));
                    let rows = query.bind(limit).fetch_all(conn).await?;
                    rows.iter().map(|row| row.try_get(0)).collect()
                });
                gone.await?
            }
        };
        let mut gone = BTreeMap::new();
        for component in components {
            *gone.entry(component).or_insert(0) += 1;
        }
        Ok(gone)
    }
}

//! Deletes what is old, and nothing that a known consumer has not passed.

use std::sync::Arc;
use std::time::Duration;

use qx_events::{ComponentName, Fault};

use super::{Consumer, Durable, EmbeddedStream, lock, millis};
use crate::sqlite::now_ms;

const TELL: &str =
    "UPDATE qx_stream_consumers SET cursor = ?2 WHERE component = ?1 AND cursor < ?2";

/// Passed by everybody: behind each cursor, and settled.
const CLEAN_UP: &str = concat!(
    "DELETE FROM qx_stream_messages WHERE seq IN (
        SELECT seq FROM qx_stream_messages
        WHERE stored_at < ",
    now_ms!(),
    " - ?1
          AND seq <= (SELECT coalesce(min(cursor), 9223372036854775807) FROM qx_stream_consumers)
          AND seq < (SELECT coalesce(min(seq), 9223372036854775807) FROM qx_stream_deliveries)
        ORDER BY stored_at LIMIT ?2
     )"
);

impl EmbeddedStream {
    /// Deletes messages that were stored longer than `retention` ago and that
    /// every consumer has passed and settled, at most `limit`; returns how many.
    ///
    /// Their message ids are forgotten with them, so keep them for longer than
    /// a relay may take to publish a row a second time.
    pub async fn clean_up(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        let shared = &self.shared;
        let consumers: Vec<Arc<Consumer>> =
            lock(&shared.consumers).values().map(Arc::clone).collect();
        shared
            .write(Durable::Now, "delete old messages", async |conn| {
                for consumer in consumers {
                    let query = sqlx::query(TELL).bind(consumer.component.as_str());
                    query.bind(consumer.passed()).execute(&mut *conn).await?;
                }
                let query = sqlx::query(CLEAN_UP).bind(millis(retention)).bind(limit);
                Ok(query.execute(conn).await?.rows_affected())
            })
            .await
    }

    /// Removes the durable consumer of a component that will not come back, so
    /// that the cleaner does not wait for it. Returns whether there was one.
    pub async fn forget(&self, component: &ComponentName) -> Result<bool, Fault> {
        let gone = self
            .shared
            .write(Durable::Now, "remove a consumer", async |conn| {
                let deliveries = "DELETE FROM qx_stream_deliveries WHERE component = ?1";
                sqlx::query(deliveries)
                    .bind(component.as_str())
                    .execute(&mut *conn)
                    .await?;
                let consumer = "DELETE FROM qx_stream_consumers WHERE component = ?1";
                let gone = sqlx::query(consumer)
                    .bind(component.as_str())
                    .execute(conn)
                    .await?;
                Ok(gone.rows_affected() == 1)
            });
        let gone = gone.await?;
        lock(&self.shared.consumers).remove(component);
        Ok(gone)
    }
}

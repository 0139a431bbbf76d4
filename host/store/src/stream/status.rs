//! What an operator sees of the stream. Any process may look, whoever owns it.

use std::path::Path;

use qx_events::ports::Lag;
use qx_events::{Fault, Pattern};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::take::wants;
use crate::error::StoreError;
use crate::sqlite;
use crate::store::IfMissing;

const CONSUMER: &str = "
    SELECT cursor, patterns,
           (SELECT count(*) FROM qx_stream_deliveries AS d WHERE d.component = c.component) AS in_flight
    FROM qx_stream_consumers AS c WHERE component = ?1";

/// Each name once: there are few, however many messages wait.
const WAITING: &str = "
    SELECT event_name, count(*) FROM qx_stream_messages INDEXED BY qx_stream_names
    WHERE seq > ?1 GROUP BY event_name";

const MESSAGES: &str = "
    SELECT count(*) AS messages, coalesce(min(seq), 0) AS first, coalesce(max(seq), 0) AS last
    FROM qx_stream_messages";

/// The stream as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// Messages kept.
    pub messages: u64,
    /// Position of the oldest of them; 0 when there is none.
    pub first: u64,
    /// Position of the newest of them; 0 when there is none.
    pub last: u64,
    /// The durable consumers, by name.
    pub consumers: Vec<ConsumerStatus>,
}

/// A durable consumer as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Its component.
    pub component: String,
    /// How far it is behind.
    pub lag: Lag,
}

impl StreamStatus {
    /// Reads the status of a stream's file, without owning it.
    pub async fn read(path: &Path) -> Result<Self, StoreError> {
        let file = sqlite::open(path, IfMissing::Refuse).await?;
        let status = file
            .report("read the stream's status", async |conn| status(conn).await)
            .await;
        file.close().await;
        status.map_err(|source: Fault| StoreError::StreamUnusable {
            path: path.to_path_buf(),
            source,
        })
    }
}

async fn status(conn: &mut SqliteConnection) -> Result<StreamStatus, sqlx::Error> {
    let row = sqlx::query(MESSAGES).fetch_one(&mut *conn).await?;
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let names = sqlx::query("SELECT component FROM qx_stream_consumers ORDER BY component");
    let mut consumers = Vec::new();
    for name in names.fetch_all(&mut *conn).await? {
        let component: String = name.try_get(0)?;
        if let Some(lag) = lag(conn, &component, 0).await? {
            consumers.push(ConsumerStatus { component, lag });
        }
    }
    Ok(StreamStatus {
        messages: number("messages")?,
        first: number("first")?,
        last: number("last")?,
        consumers,
    })
}

/// `passed`: how far its owner knows it to be, which may be farther.
pub(super) async fn lag(
    conn: &mut SqliteConnection,
    component: &str,
    passed: i64,
) -> Result<Option<Lag>, sqlx::Error> {
    let consumer = sqlx::query(CONSUMER)
        .bind(component)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(consumer) = consumer else {
        return Ok(None);
    };
    let patterns: Vec<String> = serde_json::from_str(consumer.try_get("patterns")?)
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let patterns: Vec<Pattern> = patterns
        .iter()
        .filter_map(|raw| Pattern::parse(raw).ok())
        .collect();
    let cursor: i64 = consumer.try_get("cursor")?;
    let waiting = sqlx::query(WAITING)
        .bind(cursor.max(passed))
        .fetch_all(conn)
        .await?;
    let mut pending = 0;
    for row in &waiting {
        if wants(&patterns, row.try_get(0)?) {
            pending += row.try_get::<i64, _>(1)?.cast_unsigned();
        }
    }
    let in_flight = consumer.try_get::<i64, _>("in_flight")?.cast_unsigned();
    Ok(Some(Lag { pending, in_flight }))
}

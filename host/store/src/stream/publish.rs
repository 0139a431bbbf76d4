//! The sending side: all messages of a call in one transaction.

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Published, Publisher, StoredAt, StreamState};
use qx_events::wire::Outgoing;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{Durable, EmbeddedStream, Shared, lock};
use crate::sqlite::now_ms;

/// Largest body: what a NATS server takes by default, so that growing into one
/// brings no surprise.
const BODY_BYTES_MAX: usize = 1 << 20;

const STORE: &str = concat!(
    "INSERT INTO qx_stream_messages (message_id, event_name, stored_at, headers, body)
     VALUES (?1, ?2, ",
    now_ms!(),
    ", ?3, ?4)
     ON CONFLICT (message_id) DO NOTHING RETURNING seq"
);

const FIND: &str = "SELECT seq FROM qx_stream_messages WHERE message_id = ?1";

/// Of the positions it has given away, not of the messages it still has: the
/// newest may have been deleted.
const STATE: &str = "
    SELECT created, coalesce(
        (SELECT seq FROM sqlite_sequence WHERE name = 'qx_stream_messages'), 0) AS last
    FROM qx_stream_identity";

#[async_trait]
impl Publisher for EmbeddedStream {
    async fn publish(&self, messages: &[Outgoing]) -> Vec<Published> {
        let shared = &self.shared;
        let stored = shared.write(Durable::Now, "store messages", async |conn| {
            let mut answers = Vec::with_capacity(messages.len());
            for message in messages {
                answers.push(match refusal(message) {
                    Some(why) => Published::Refused(why),
                    None => Published::Stored(store(conn, &shared.name, message).await?),
                });
            }
            Ok(answers)
        });
        match stored.await {
            Ok(answers) => {
                shared.wake_for(messages);
                answers
            }
            // One answer for all: the transaction is one.
            Err(fault) => messages
                .iter()
                .map(|message| match refusal(message) {
                    Some(why) => Published::Refused(why),
                    None => Published::Unknown(fault.chain()),
                })
                .collect(),
        }
    }

    async fn state(&self) -> Result<StreamState, Fault> {
        let read = self.shared.file.read("look at the stream", async |conn| {
            let row = sqlx::query(STATE).fetch_one(conn).await?;
            let (created, last): (i64, i64) = (row.try_get("created")?, row.try_get("last")?);
            Ok((created, last))
        });
        let (created_ms, last) = read.await?;
        Ok(StreamState {
            name: self.shared.name.clone(),
            created_ns: created_ms.saturating_mul(1_000_000),
            last_seq: last.cast_unsigned(),
        })
    }

    /// The file is open as long as the stream is.
    fn connection(&self) -> u64 {
        0
    }
}

fn refusal(message: &Outgoing) -> Option<String> {
    let bytes = message.body.len();
    (bytes > BODY_BYTES_MAX)
        .then(|| format!("body has {bytes} bytes, and {BODY_BYTES_MAX} are the most"))
}

async fn store(
    conn: &mut SqliteConnection,
    stream: &str,
    message: &Outgoing,
) -> Result<StoredAt, sqlx::Error> {
    let id = message.message_id.to_string();
    let headers = serde_json::to_string(&message.headers.0);
    let query = sqlx::query(STORE)
        .bind(&id)
        .bind(message.event_name.as_str());
    let query = query.bind(headers.map_err(|error| sqlx::Error::Encode(Box::new(error)))?);
    let new = query
        .bind(message.body.as_ref())
        .fetch_optional(&mut *conn)
        .await?;
    let (row, duplicate) = match new {
        Some(row) => (row, false),
        None => (sqlx::query(FIND).bind(&id).fetch_one(conn).await?, true),
    };
    let sequence: i64 = row.try_get(0)?;
    Ok(StoredAt {
        stream: stream.to_owned(),
        sequence: sequence.cast_unsigned(),
        duplicate,
    })
}

impl Shared {
    /// Wakes the consumers that want one of these.
    fn wake_for(&self, messages: &[Outgoing]) {
        for consumer in lock(&self.consumers).values() {
            let patterns = consumer.settings().patterns;
            let wanted = messages.iter().any(|message| {
                patterns
                    .iter()
                    .any(|pattern| pattern.matches(&message.event_name))
            });
            if wanted {
                consumer.woken.notify_waiters();
            }
        }
    }
}

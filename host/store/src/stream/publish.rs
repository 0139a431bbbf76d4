//! The sending side: all messages of a call in one transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Published, Publisher, StoredAt, StreamState};
use qx_events::wire::Outgoing;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{Durable, EmbeddedStream, Shared, lock};
use crate::sqlite::{now_ms, together};

/// Largest body: what a NATS server takes by default, so that growing into one
/// brings no surprise.
const BODY_BYTES_MAX: usize = 1 << 20;

const STORE: &str =
    "INSERT INTO qx_stream_messages (message_id, event_name, stored_at, headers, body) ";

const STORED: &str = " ON CONFLICT (message_id) DO NOTHING RETURNING message_id, seq";

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
            let mut stored = store(conn, &shared.name, messages).await?.into_iter();
            let answer = |message| match refusal(message) {
                Some(why) => Published::Refused(why),
                None => stored.next().map_or_else(unanswered, Published::Stored),
            };
            Ok(messages.iter().map(answer).collect())
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

fn unanswered() -> Published {
    Published::Unknown("the stream gave no answer".to_owned())
}

/// Stores those of these that can be, in their order, and says where each is.
async fn store(
    conn: &mut SqliteConnection,
    stream: &str,
    messages: &[Outgoing],
) -> Result<Vec<StoredAt>, sqlx::Error> {
    let taken = messages.iter().filter(|message| refusal(message).is_none());
    let mut rows = taken.map(Row::of).collect::<Result<Vec<_>, _>>()?;
    let mut stored = Vec::with_capacity(rows.len());
    while !rows.is_empty() {
        let some: Vec<_> = rows.drain(..together(rows.len())).collect();
        let mut new = insert(conn, &some).await?;
        for row in some {
            let (sequence, duplicate) = match new.remove(&row.id) {
                Some(sequence) => (sequence, false),
                None => (find(conn, &row.id).await?, true),
            };
            stored.push(StoredAt {
                stream: stream.to_owned(),
                sequence: sequence.cast_unsigned(),
                duplicate,
            });
        }
    }
    Ok(stored)
}

/// A message as its columns have it.
struct Row<'a> {
    id: String,
    headers: String,
    message: &'a Outgoing,
}

impl<'a> Row<'a> {
    fn of(message: &'a Outgoing) -> Result<Self, sqlx::Error> {
        let headers = serde_json::to_string(&message.headers.0);
        Ok(Self {
            id: message.message_id.to_string(),
            headers: headers.map_err(|error| sqlx::Error::Encode(Box::new(error)))?,
            message,
        })
    }
}

/// Inserts those whose id the stream does not have; returns the position of each.
async fn insert(
    conn: &mut SqliteConnection,
    rows: &[Row<'_>],
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let mut insert = QueryBuilder::<Sqlite>::new(STORE);
    insert.push_values(rows, |mut values, row| {
        values
            .push_bind(&row.id)
            .push_bind(row.message.event_name.as_str())
            .push(now_ms!())
            .push_bind(&row.headers)
            .push_bind(row.message.body.as_ref());
    });
    let stored = insert.push(STORED).build().fetch_all(conn).await?;
    let position = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
    stored.iter().map(position).collect()
}

async fn find(conn: &mut SqliteConnection, id: &str) -> Result<i64, sqlx::Error> {
    sqlx::query(FIND).bind(id).fetch_one(conn).await?.try_get(0)
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

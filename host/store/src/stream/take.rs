//! One look for messages: first those that are due again, then new ones.

use std::collections::BTreeSet;
use std::time::Duration;

use qx_events::{EventName, Fault, Pattern};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{Consumer, Durable, Settings, Shared, millis};
use crate::sqlite::{at, many, now_ms};

/// Names looked at in one statement.
const NAMES_MAX: i64 = 500;

/// Names looked at in one transaction, which keeps all others from writing: some
/// ten milliseconds. A consumer of a rare event looks again at once.
const NAMES_PER_LOOK_MAX: i64 = 10_000;

/// Names passed over before the file is told. After a restart they are looked at
/// once more, and the cleaner waits for them.
const UNTOLD_MAX: i64 = 1_000;

/// Due again: handed back, or not acknowledged in time.
const TAKE_DUE: &str = concat!(
    "UPDATE qx_stream_deliveries
     SET delivered = delivered + 1, taken = 1, visible_at = ",
    now_ms!(),
    " + ?2
     WHERE component = ?1 AND seq IN (
        SELECT seq FROM qx_stream_deliveries
        WHERE component = ?1 AND visible_at <= ",
    now_ms!(),
    "
        ORDER BY seq LIMIT ?3)
     RETURNING seq, delivered"
);

const IN_FLIGHT: &str = "SELECT count(*) FROM qx_stream_deliveries WHERE component = ?1";

const CURSOR: &str = "SELECT cursor FROM qx_stream_consumers WHERE component = ?1";

const NAMES: &str = "
    SELECT seq, event_name FROM qx_stream_messages INDEXED BY qx_stream_names
    WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const TAKE_NEW: &str = concat!(
    "INSERT INTO qx_stream_deliveries (component, seq, delivered, taken, visible_at)
     SELECT ?1, value, 1, 1, ",
    now_ms!(),
    " + ?3 FROM json_each(?2)"
);

const MOVE_CURSOR: &str =
    "UPDATE qx_stream_consumers SET cursor = ?2 WHERE component = ?1 AND cursor < ?2";

/// One look-up by key for each.
const LOAD: &str = "
    SELECT asked.key, event_name, headers, body
    FROM json_each(?1) AS asked CROSS JOIN qx_stream_messages AS message
    ON message.seq = asked.value";

const LOSE: &str = "DELETE FROM qx_stream_deliveries WHERE component = ?1 AND seq = ?2";

const NEXT_DUE: &str = concat!(
    "SELECT min(visible_at) - ",
    now_ms!(),
    " FROM qx_stream_deliveries WHERE component = ?1"
);

/// What one look found.
pub(super) struct Taken {
    pub(super) messages: Vec<TakenMessage>,
    /// When nothing was found: in how long something is due, if anything is.
    pub(super) next_look: Option<Duration>,
}

/// A message that is now in flight.
pub(super) struct TakenMessage {
    pub(super) seq: i64,
    pub(super) delivered: i64,
    pub(super) event_name: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// How far the names were looked at, and which of them are wanted.
#[derive(Debug)]
struct Look {
    wanted: Vec<i64>,
    passed: i64,
    /// There may be more behind it.
    unfinished: bool,
}

impl Shared {
    /// Takes at most `max` messages for the consumer.
    pub(super) async fn take(
        &self,
        consumer: &Consumer,
        settings: &Settings,
        max: usize,
    ) -> Result<Taken, Fault> {
        let component = consumer.component.as_str();
        let taken = self.write(Durable::Soon, "take messages", async |conn| {
            let mut taken = take_due(conn, component, settings, max).await?;
            let room = room(conn, component, settings)
                .await?
                .min(max - taken.len());
            let look = look(conn, consumer, settings, room).await?;
            if !look.wanted.is_empty() {
                let query = sqlx::query(TAKE_NEW)
                    .bind(component)
                    .bind(many(&look.wanted));
                let query = query.bind(millis(settings.ack_wait));
                query.execute(&mut *conn).await?;
                taken.extend(look.wanted.iter().map(|seq| (*seq, 1)));
            }
            let messages = load(conn, component, taken).await?;
            let next_look = if !messages.is_empty() {
                None
            } else if look.unfinished {
                Some(Duration::ZERO)
            } else {
                next_due(conn, component).await?
            };
            Ok((
                look.passed,
                Taken {
                    messages,
                    next_look,
                },
            ))
        });
        // CRASH WINDOW embedded-1: the messages are in flight, and nobody has them
        // yet. The next owner finds them due; within this process they come again
        // when their acknowledgement is overdue.
        let (passed, taken) = taken.await?;
        consumer.pass(passed);
        Ok(taken)
    }
}

async fn take_due(
    conn: &mut SqliteConnection,
    component: &str,
    settings: &Settings,
    max: usize,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let query = sqlx::query(TAKE_DUE)
        .bind(component)
        .bind(millis(settings.ack_wait));
    let rows = query
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await?;
    let due = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let mut due: Vec<(i64, i64)> = due.collect::<Result<_, sqlx::Error>>()?;
    due.sort_unstable();
    Ok(due)
}

/// How many more may be in flight.
async fn room(
    conn: &mut SqliteConnection,
    component: &str,
    settings: &Settings,
) -> Result<usize, sqlx::Error> {
    let row = sqlx::query(IN_FLIGHT)
        .bind(component)
        .fetch_one(conn)
        .await?;
    let in_flight = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
    Ok(settings.in_flight_max.saturating_sub(in_flight))
}

/// Looks at the names behind the cursor until `room` of them are wanted, and
/// moves the cursor.
async fn look(
    conn: &mut SqliteConnection,
    consumer: &Consumer,
    settings: &Settings,
    room: usize,
) -> Result<Look, sqlx::Error> {
    let component = consumer.component.as_str();
    // Fails when somebody has removed the consumer: it would deliver for ever.
    let cursor: i64 = sqlx::query(CURSOR)
        .bind(component)
        .fetch_one(&mut *conn)
        .await?
        .try_get(0)?;
    let begin = cursor.max(consumer.passed());
    let mut look = Look {
        wanted: Vec::new(),
        passed: begin,
        unfinished: false,
    };
    let mut looked_at = 0;
    while look.wanted.len() < room {
        let query = sqlx::query(NAMES).bind(look.passed).bind(NAMES_MAX);
        let rows = query.fetch_all(&mut *conn).await?;
        for row in &rows {
            look.passed = row.try_get(0)?;
            if wants(&settings.patterns, row.try_get(1)?) {
                look.wanted.push(look.passed);
            }
            if look.wanted.len() == room {
                break;
            }
        }
        let seen = i64::try_from(rows.len()).unwrap_or(NAMES_MAX);
        looked_at += seen;
        if seen < NAMES_MAX {
            break;
        }
        if looked_at >= NAMES_PER_LOOK_MAX {
            look.unfinished = true;
            break;
        }
    }
    if !look.wanted.is_empty() || look.passed - cursor >= UNTOLD_MAX {
        sqlx::query(MOVE_CURSOR)
            .bind(component)
            .bind(look.passed)
            .execute(conn)
            .await?;
    }
    Ok(look)
}

/// Only legal names are ever stored.
pub(super) fn wants(patterns: &[Pattern], name: &str) -> bool {
    let Ok(name) = EventName::parse(name) else {
        return false;
    };
    patterns.iter().any(|pattern| pattern.matches(&name))
}

async fn load(
    conn: &mut SqliteConnection,
    component: &str,
    taken: Vec<(i64, i64)>,
) -> Result<Vec<TakenMessage>, sqlx::Error> {
    let seqs: Vec<i64> = taken.iter().map(|(seq, _)| *seq).collect();
    let mut messages = Vec::with_capacity(taken.len());
    if seqs.is_empty() {
        return Ok(messages);
    }
    let rows = sqlx::query(LOAD).bind(many(&seqs)).fetch_all(&mut *conn);
    let mut gone: BTreeSet<i64> = seqs.iter().copied().collect();
    for row in rows.await? {
        let Some((seq, delivered)) = at(&taken, &row)? else {
            continue;
        };
        gone.remove(seq);
        let headers = serde_json::from_str(row.try_get("headers")?);
        messages.push(TakenMessage {
            seq: *seq,
            delivered: *delivered,
            event_name: row.try_get("event_name")?,
            headers: headers.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            body: row.try_get("body")?,
        });
    }
    for seq in gone {
        // Deleted by hand: there is nothing left to deliver.
        let query = sqlx::query(LOSE).bind(component).bind(seq);
        query.execute(&mut *conn).await?;
    }
    Ok(messages)
}

async fn next_due(
    conn: &mut SqliteConnection,
    component: &str,
) -> Result<Option<Duration>, sqlx::Error> {
    let row = sqlx::query(NEXT_DUE)
        .bind(component)
        .fetch_one(conn)
        .await?;
    let pause: Option<i64> = row.try_get(0)?;
    // At least one: the database's clock has no finer step.
    Ok(pause.map(|ms| Duration::from_millis(ms.max(1).cast_unsigned())))
}

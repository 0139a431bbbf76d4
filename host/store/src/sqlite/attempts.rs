//! The record of attempts on SQLite.

use std::collections::{BTreeSet, HashMap};

use qx_events::ports::Note;
use qx_events::{ComponentName, Known};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{at, many, now, now_ms};
use crate::attempts::{count, last_of_each, record, wait_ms};
use crate::settlement::Mark;

/// What is handled says so, whatever is left beside it. `CROSS JOIN` keeps it two
/// look-ups by key for each event.
const KNOWN: &str = concat!(
    "SELECT asked.key, true AS handled, 0, 0, 0, NULL
     FROM json_each(?2) AS asked CROSS JOIN qx_inbox AS mark
     ON mark.component = ?1 AND mark.event_id = asked.value
     UNION ALL
     SELECT asked.key, false, attempts, begun, dead, not_before - ",
    now_ms!(),
    " FROM json_each(?2) AS asked CROSS JOIN qx_attempts AS own
     ON own.component = ?1 AND own.event_id = asked.value"
);

const NOTE: &str = concat!(
    "INSERT INTO qx_attempts (component, event_id, attempts, begun, not_before)
     SELECT ?1, ?2, ?3, ?4, ",
    now_ms!(),
    " + ?5
     WHERE ?6 IS NULL OR EXISTS (SELECT 1 FROM qx_leases WHERE name = ?6 AND token = ?7)
     ON CONFLICT (component, event_id) DO UPDATE SET
        attempts = max(attempts, excluded.attempts), begun = excluded.begun,
        not_before = excluded.not_before, noted_at = ",
    now!()
);

const DEAD: &str = concat!(
    "INSERT INTO qx_attempts (component, event_id, attempts, dead) VALUES (?1, ?2, ?3, 1)
     ON CONFLICT (component, event_id) DO UPDATE SET
        attempts = excluded.attempts, begun = 0, not_before = NULL, dead = 1, noted_at = ",
    now!()
);

const FORGET: &str = "DELETE FROM qx_attempts WHERE component = ?1 AND event_id = ?2";

pub(super) async fn known(
    conn: &mut SqliteConnection,
    component: &ComponentName,
    events: &[Uuid],
) -> Result<HashMap<Uuid, Known>, sqlx::Error> {
    let mut known = HashMap::new();
    let query = sqlx::query(KNOWN).bind(component.as_str());
    let rows = query.bind(many(events)).fetch_all(conn).await?;
    for row in &rows {
        let Some(event) = at(events, row)? else {
            continue;
        };
        if row.try_get(1)? {
            known.insert(*event, Known::Handled);
            continue;
        }
        let record = record(
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(5)?,
            row.try_get(4)?,
        );
        known.entry(*event).or_insert(Known::Attempted(record));
    }
    Ok(known)
}

pub(super) async fn note(conn: &mut SqliteConnection, notes: &[Note]) -> Result<(), sqlx::Error> {
    for (mark, note) in last_of_each(notes) {
        let query = sqlx::query(NOTE)
            .bind(mark.component)
            .bind(mark.event_id.to_string())
            .bind(count(note.attempts))
            .bind(count(note.begun))
            .bind(wait_ms(note.wait))
            .bind(note.fence.as_ref().map(|fence| &*fence.name))
            .bind(note.fence.as_ref().map(|fence| fence.token));
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

/// From here on the event is dead for this component.
pub(super) async fn dead(
    conn: &mut SqliteConnection,
    component: &str,
    event_id: Uuid,
    attempts: i32,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(DEAD).bind(component).bind(event_id.to_string());
    query.bind(attempts).execute(conn).await?;
    Ok(())
}

pub(super) async fn forget(
    conn: &mut SqliteConnection,
    marks: &BTreeSet<Mark<'_>>,
) -> Result<(), sqlx::Error> {
    for mark in marks {
        let query = sqlx::query(FORGET).bind(mark.component);
        let query = query.bind(mark.event_id.to_string());
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

//! The record of attempts on PostgreSQL. Rows are locked in the order of
//! component and event, like the marks, and after them.

use std::collections::{BTreeSet, HashMap};

use qx_events::ports::Note;
use qx_events::{ComponentName, Known};
use sqlx::Row as _;
use uuid::Uuid;

use super::Session;
use crate::attempts::{columns, count, last_of_each, record, wait_ms};
use crate::settlement::Mark;

/// Two look-ups by primary key for each event. What is handled says so, whatever is
/// left beside it. No `event_id = ANY`: planned for a table that was still small, it
/// reads every mark of the component. `OFFSET 0` keeps it one look-up for each.
const KNOWN: &str = "
    SELECT a.event_id, false AS handled, a.attempts, a.begun, a.dead,
           ceil(extract(epoch FROM a.not_before - clock_timestamp()) * 1000)::bigint AS left_ms
    FROM unnest($2::uuid[]) AS t (event_id)
    CROSS JOIN LATERAL (
        SELECT event_id, attempts, begun, dead, not_before FROM qx_attempts
        WHERE component = $1 AND event_id = t.event_id OFFSET 0
    ) AS a
    UNION ALL
    SELECT i.event_id, true, 0, 0, false, NULL
    FROM unnest($2::uuid[]) AS t (event_id)
    CROSS JOIN LATERAL (
        SELECT event_id FROM qx_inbox WHERE component = $1 AND event_id = t.event_id OFFSET 0
    ) AS i";

const NOTE: &str = "
    INSERT INTO qx_attempts AS own (component, event_id, attempts, begun, not_before)
    SELECT component, event_id, attempts, begun,
           clock_timestamp() + wait_ms * interval '1 millisecond'
    FROM unnest($1::text[], $2::uuid[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::bigint[])
        AS t (component, event_id, attempts, begun, wait_ms, lease, token)
    WHERE lease IS NULL
       OR EXISTS (SELECT FROM qx_leases AS l WHERE l.name = t.lease AND l.token = t.token)
    ON CONFLICT (component, event_id) DO UPDATE SET
        attempts = greatest(own.attempts, excluded.attempts), begun = excluded.begun,
        not_before = excluded.not_before, noted_at = clock_timestamp()";

const DEAD: &str = "
    INSERT INTO qx_attempts (component, event_id, attempts, dead) VALUES ($1, $2, $3, true)
    ON CONFLICT (component, event_id) DO UPDATE SET
        attempts = excluded.attempts, begun = 0, not_before = NULL, dead = true,
        noted_at = clock_timestamp()";

/// By way of their places: one look-up for each, whatever the size of the table.
const FORGET: &str = "
    DELETE FROM qx_attempts WHERE ctid = ANY(ARRAY(
        SELECT a.place FROM unnest($1::text[], $2::uuid[]) AS t (component, event_id)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM qx_attempts
            WHERE component = t.component AND event_id = t.event_id OFFSET 0
        ) AS a))";

pub(super) async fn known(
    session: &mut Session<'_>,
    component: &ComponentName,
    events: &[Uuid],
) -> Result<HashMap<Uuid, Known>, sqlx::Error> {
    let query = session.sql(KNOWN).bind(component.as_str()).bind(events);
    let rows = query.fetch_all(session.conn()).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let event: Uuid = row.try_get(0)?;
        if row.try_get(1)? {
            known.insert(event, Known::Handled);
            continue;
        }
        let record = record(
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(5)?,
            row.try_get(4)?,
        );
        known.entry(event).or_insert(Known::Attempted(record));
    }
    Ok(known)
}

pub(super) async fn note(session: &mut Session<'_>, notes: &[Note]) -> Result<(), sqlx::Error> {
    let notes = last_of_each(notes);
    let (components, events) = columns(notes.keys());
    let attempts: Vec<i32> = notes.values().map(|note| count(note.attempts)).collect();
    let begun: Vec<i32> = notes.values().map(|note| count(note.begun)).collect();
    let waits: Vec<Option<i64>> = notes.values().map(|note| wait_ms(note.wait)).collect();
    let query = session.sql(NOTE).bind(&components).bind(&events);
    let query = query.bind(&attempts).bind(&begun).bind(&waits);
    let fences = || notes.values().map(|note| note.fence.as_ref());
    let leases: Vec<Option<&str>> = fences().map(|it| it.map(|it| &*it.name)).collect();
    let tokens: Vec<Option<i64>> = fences().map(|it| it.map(|it| it.token)).collect();
    let query = query.bind(&leases).bind(&tokens);
    query.execute(session.conn()).await?;
    Ok(())
}

/// From here on the event is dead for this component.
pub(super) async fn dead(
    session: &mut Session<'_>,
    component: &str,
    event_id: Uuid,
    attempts: i32,
) -> Result<(), sqlx::Error> {
    let query = session.sql(DEAD).bind(component).bind(event_id);
    query.bind(attempts).execute(session.conn()).await?;
    Ok(())
}

pub(super) async fn forget(
    session: &mut Session<'_>,
    marks: &BTreeSet<Mark<'_>>,
) -> Result<(), sqlx::Error> {
    if marks.is_empty() {
        return Ok(());
    }
    let (components, events) = columns(marks);
    let query = session.sql(FORGET).bind(&components).bind(&events);
    query.execute(session.conn()).await?;
    Ok(())
}

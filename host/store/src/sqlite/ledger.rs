//! The ledger on SQLite: a group of settlements in one transaction. The write
//! lock is taken first, so there is nobody to race with.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use qx_events::ports::{Ledger, Note, Settled, Settlement, StateAt, StateValue};
use qx_events::{ComponentName, Fault, Known, StateSize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Sqlite, attempts, leases, many, sizes};
use crate::attempts::handled;
use crate::inbox;
use crate::producer;
use crate::settlement::{Found, Held, Mark, Plan, Present, StateKey, needed, plan, touched};

const READ_STATE: &str =
    "SELECT value, version FROM qx_state WHERE component = ?1 AND tenant_id = ?2 AND key = ?3";

/// One look-up by key for each.
const READ_STATES: &str = "
    SELECT asked.key, state.value, state.version
    FROM json_each(?1) AS asked CROSS JOIN qx_state AS state
    ON state.component = asked.value ->> 0 AND state.tenant_id = asked.value ->> 1
       AND state.key = asked.value ->> 2";

const MARK: &str = "
    INSERT INTO qx_inbox (component, event_id, digest)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2) FROM json_each(?1) WHERE true
    ON CONFLICT DO NOTHING RETURNING component, event_id";

const UNMARK: &str = "DELETE FROM qx_inbox WHERE component = ?1 AND event_id = ?2";

const NEXT_VERSIONS: &str =
    "UPDATE qx_state_versions SET last = last + ?1 WHERE only_row = 1 RETURNING last - ?1";

const SET: &str = "
    INSERT INTO qx_state (component, tenant_id, key, value, version)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2 + 1 + key FROM json_each(?1) WHERE true
    ON CONFLICT (component, tenant_id, key)
    DO UPDATE SET value = excluded.value, version = excluded.version";

const DELETE: &str = "DELETE FROM qx_state WHERE component = ?1 AND tenant_id = ?2 AND key = ?3";

#[async_trait]
impl Ledger for Sqlite {
    async fn known(
        &self,
        component: &ComponentName,
        events: &[Uuid],
    ) -> Result<HashMap<Uuid, Known>, Fault> {
        let read = self.file.read("read inbox marks", async |conn| {
            let known = attempts::known(conn, component, events).await?;
            let mut old = Vec::new();
            for event in handled(&known) {
                let query = sqlx::query(inbox::OLD_SQLITE).bind(component.as_str());
                let query = query.bind(event.to_string());
                old.extend(query.fetch_optional(&mut *conn).await?.map(|_row| event));
            }
            Ok((known, old))
        });
        let (known, old) = read.await?;
        if !old.is_empty() {
            let renewed = self.file.write("renew inbox marks", async |conn| {
                for event in &old {
                    let query = sqlx::query(inbox::RENEW_SQLITE).bind(component.as_str());
                    query.bind(event.to_string()).execute(&mut *conn).await?;
                }
                Ok(())
            });
            renewed.await?;
        }
        Ok(known)
    }

    async fn note(&self, notes: &[Note]) -> Result<(), Fault> {
        if notes.is_empty() {
            return Ok(());
        }
        self.file
            .write("note attempts", async |conn| {
                attempts::note(conn, notes).await
            })
            .await
    }

    async fn read_state(
        &self,
        component: &ComponentName,
        tenant_id: Option<Uuid>,
        key: &str,
    ) -> Result<Option<StateValue>, Fault> {
        let tenant_id = tenant_id.unwrap_or(Uuid::nil());
        self.file
            .read("read state", async |conn| {
                let query = sqlx::query(READ_STATE).bind(component.as_str());
                let row = query
                    .bind(tenant_id.to_string())
                    .bind(key)
                    .fetch_optional(conn)
                    .await?;
                row.map(|row| {
                    Ok(StateValue {
                        value: row.try_get(0)?,
                        version: row.try_get(1)?,
                    })
                })
                .transpose()
            })
            .await
    }

    async fn read_states(&self, all: &[StateAt]) -> Result<Vec<Option<StateValue>>, Fault> {
        let keys: Vec<_> = all
            .iter()
            .map(|at| {
                let tenant_id = at.tenant_id.unwrap_or(Uuid::nil());
                (at.component.as_str(), tenant_id, at.key.as_str())
            })
            .collect();
        self.file
            .read("read state", async |conn| {
                let mut values = vec![None; keys.len()];
                for (place, value) in states(conn, &keys).await? {
                    if let Some(found) = values.get_mut(place) {
                        *found = Some(value);
                    }
                }
                Ok(values)
            })
            .await
    }

    async fn settle(&self, group: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        self.file
            .write("settle", async |conn| {
                let held = leases::look(conn, needed(group)).await?;
                let fresh = set_marks(conn, group, &held).await?;
                let keys: Vec<StateKey<'_>> = touched(group, &fresh).keys.into_iter().collect();
                let asked = keys
                    .iter()
                    .map(|key| (key.component, key.tenant_id, key.key));
                let asked: Vec<_> = asked.collect();
                let mut current = HashMap::with_capacity(keys.len());
                for (place, found) in states(conn, &asked).await? {
                    let present = Present {
                        version: found.version,
                        bytes: i64::try_from(found.value.len()).unwrap_or(i64::MAX),
                    };
                    current.extend(keys.get(place).map(|key| (*key, present)));
                }
                let found = Found {
                    current,
                    sizes: sizes::of(conn, group).await?,
                    held,
                };
                let plan = plan(group, fresh, &found);
                write(conn, &plan).await?;
                Ok(plan.answers)
            })
            .await
    }

    async fn state_sizes(&self) -> Result<Vec<(ComponentName, StateSize)>, Fault> {
        let read = async |conn: &mut SqliteConnection| sizes::all(conn).await;
        self.file.read("read the sizes of state", read).await
    }
}

/// Sets the marks, and returns those that were not there.
async fn set_marks<'g>(
    conn: &mut SqliteConnection,
    group: &'g [Settlement],
    held: &Held,
) -> Result<HashSet<Mark<'g>>, sqlx::Error> {
    let mut wanted = BTreeMap::new();
    for settlement in group.iter().filter(|one| held.covers(one)) {
        let digest = || settlement.digest.to_string();
        wanted.entry(Mark::of(settlement)).or_insert_with(digest);
    }
    let rows: Vec<_> = wanted
        .iter()
        .map(|(mark, digest)| (mark.component, mark.event_id, digest))
        .collect();
    let set = sqlx::query(MARK).bind(many(rows)).fetch_all(conn).await?;
    let mut fresh = HashSet::with_capacity(set.len());
    for row in &set {
        let (component, event_id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        fresh.insert((component, event_id));
    }
    let is_fresh = |mark: &Mark<'_>| {
        let event_id = mark.event_id.to_string();
        fresh.contains(&(mark.component, event_id.as_str()))
    };
    Ok(wanted.into_keys().filter(is_fresh).collect())
}

/// What is at these keys (component, tenant, key), each with the place of its key.
async fn states(
    conn: &mut SqliteConnection,
    keys: &[(&str, Uuid, &str)],
) -> Result<Vec<(usize, StateValue)>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(READ_STATES).bind(many(keys)).fetch_all(conn);
    let found = rows.await?.into_iter().map(|row| {
        let place: i64 = row.try_get(0)?;
        let value = StateValue {
            value: row.try_get(1)?,
            version: row.try_get(2)?,
        };
        Ok((usize::try_from(place).unwrap_or(usize::MAX), value))
    });
    found.collect()
}

async fn write(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    for mark in &plan.withdrawn {
        let query = sqlx::query(UNMARK)
            .bind(mark.component)
            .bind(mark.event_id.to_string());
        query.execute(&mut *conn).await?;
    }
    let (set, deleted) = plan.split_writes();
    if !set.is_empty() {
        let count = i64::try_from(set.len()).unwrap_or(i64::MAX);
        let next = sqlx::query(NEXT_VERSIONS).bind(count);
        let before: i64 = next.fetch_one(&mut *conn).await?.try_get(0)?;
        let rows: Vec<_> = set
            .iter()
            .map(|(key, value)| (key.component, key.tenant_id, key.key, value))
            .collect();
        let query = sqlx::query(SET).bind(many(rows)).bind(before);
        query.execute(&mut *conn).await?;
    }
    sizes::add(conn, plan).await?;
    for key in deleted {
        let query = sqlx::query(DELETE)
            .bind(key.component)
            .bind(key.tenant_id.to_string());
        query.bind(key.key).execute(&mut *conn).await?;
    }
    let emitted = producer::Recorded::all(plan.emitted.iter().copied());
    let emitted = emitted.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    producer::insert_sqlite(conn, emitted).await?;
    for id in &plan.replayed {
        let query = sqlx::query("DELETE FROM qx_dead_letters WHERE id = ?1");
        query.bind(id.to_string()).execute(&mut *conn).await?;
    }
    attempts::forget(conn, &plan.forgotten).await
}

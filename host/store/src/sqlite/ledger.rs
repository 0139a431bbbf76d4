//! The ledger on SQLite: a group of settlements in one transaction. The write
//! lock is taken first, so there is nobody to race with.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use qx_events::ports::{Ledger, Note, Settled, Settlement, StateValue};
use qx_events::{ComponentName, Fault, Known};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Sqlite, attempts, leases};
use crate::attempts::handled;
use crate::inbox;
use crate::producer;
use crate::settlement::{Held, Mark, Plan, StateKey, needed, plan, touched};

const READ_STATE: &str =
    "SELECT value, version FROM qx_state WHERE component = ?1 AND tenant_id = ?2 AND key = ?3";

const MARK: &str = "
    INSERT INTO qx_inbox (component, event_id, digest) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

const UNMARK: &str = "DELETE FROM qx_inbox WHERE component = ?1 AND event_id = ?2";

const NEXT_VERSION: &str =
    "UPDATE qx_state_versions SET last = last + 1 WHERE only_row = 1 RETURNING last";

const SET: &str = "
    INSERT INTO qx_state (component, tenant_id, key, value, version) VALUES (?1, ?2, ?3, ?4, ?5)
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

    async fn settle(&self, group: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        self.file
            .write("settle", async |conn| {
                let held = leases::look(conn, needed(group)).await?;
                let fresh = set_marks(conn, group, &held).await?;
                let mut current = HashMap::new();
                for key in touched(group, &fresh).keys {
                    if let Some(version) = version(conn, &key).await? {
                        current.insert(key, version);
                    }
                }
                let plan = plan(group, fresh, &current, &held);
                write(conn, &plan).await?;
                Ok(plan.answers)
            })
            .await
    }
}

/// Sets the marks, and returns those that were not there.
async fn set_marks<'g>(
    conn: &mut SqliteConnection,
    group: &'g [Settlement],
    held: &Held,
) -> Result<HashSet<Mark<'g>>, sqlx::Error> {
    let mut fresh = HashSet::new();
    for settlement in group.iter().filter(|one| held.covers(one)) {
        let mark = Mark::of(settlement);
        let query = sqlx::query(MARK)
            .bind(mark.component)
            .bind(mark.event_id.to_string());
        let query = query.bind(settlement.digest.bytes().as_slice());
        if query.execute(&mut *conn).await?.rows_affected() == 1 {
            fresh.insert(mark);
        }
    }
    Ok(fresh)
}

async fn version(
    conn: &mut SqliteConnection,
    key: &StateKey<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    let query = sqlx::query(READ_STATE).bind(key.component);
    let row = query
        .bind(key.tenant_id.to_string())
        .bind(key.key)
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.try_get(1)).transpose()
}

async fn write(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    for mark in &plan.withdrawn {
        let query = sqlx::query(UNMARK)
            .bind(mark.component)
            .bind(mark.event_id.to_string());
        query.execute(&mut *conn).await?;
    }
    let (set, deleted) = plan.split_writes();
    for (key, value) in set {
        let next: i64 = sqlx::query(NEXT_VERSION)
            .fetch_one(&mut *conn)
            .await?
            .try_get(0)?;
        let query = sqlx::query(SET)
            .bind(key.component)
            .bind(key.tenant_id.to_string());
        query
            .bind(key.key)
            .bind(value)
            .bind(next)
            .execute(&mut *conn)
            .await?;
    }
    for key in deleted {
        let query = sqlx::query(DELETE)
            .bind(key.component)
            .bind(key.tenant_id.to_string());
        query.bind(key.key).execute(&mut *conn).await?;
    }
    let emitted = producer::Columns::of(plan.emitted.iter().copied());
    emitted
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
        .insert_sqlite(conn)
        .await?;
    for id in &plan.replayed {
        let query = sqlx::query("DELETE FROM qx_dead_letters WHERE id = ?1");
        query.bind(id.to_string()).execute(&mut *conn).await?;
    }
    attempts::forget(conn, &plan.forgotten).await
}

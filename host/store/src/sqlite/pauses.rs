//! Pauses of operators on SQLite.

use async_trait::async_trait;
use qx_events::ports::{Pause, Pauses};
use qx_events::{ComponentName, Fault};
use sqlx::Row as _;

use super::Sqlite;
use crate::columns::{PAUSE_CHARS_MAX, fit, parse_time};

const PAUSED: &str = "SELECT component, paused_at, paused_by, reason FROM qx_pauses";

const PAUSE: &str = "
    INSERT INTO qx_pauses (component, paused_by, reason) VALUES (?1, ?2, ?3)
    ON CONFLICT (component) DO UPDATE SET
        paused_by = excluded.paused_by, reason = excluded.reason";

const RESUME: &str = "DELETE FROM qx_pauses WHERE component = ?1";

#[async_trait]
impl Pauses for Sqlite {
    async fn paused(&self) -> Result<Vec<Pause>, Fault> {
        self.file
            .read("read pauses", async |conn| {
                let rows = sqlx::query(PAUSED).fetch_all(conn).await?;
                let mut pauses = Vec::with_capacity(rows.len());
                for row in &rows {
                    // A name that is none belongs to no component.
                    let Ok(component) = ComponentName::parse(row.try_get(0)?) else {
                        continue;
                    };
                    pauses.push(Pause {
                        component,
                        since: parse_time("paused_at", row.try_get(1)?)?,
                        by: row.try_get(2)?,
                        reason: row.try_get(3)?,
                    });
                }
                Ok(pauses)
            })
            .await
    }

    async fn pause(&self, component: &ComponentName, by: &str, reason: &str) -> Result<(), Fault> {
        let (by, reason) = (fit(by, PAUSE_CHARS_MAX), fit(reason, PAUSE_CHARS_MAX));
        self.file
            .write("pause a component", async |conn| {
                let query = sqlx::query(PAUSE).bind(component.as_str());
                query.bind(&*by).bind(&*reason).execute(conn).await?;
                Ok(())
            })
            .await
    }

    async fn resume(&self, component: &ComponentName) -> Result<bool, Fault> {
        self.file
            .write("resume a component", async |conn| {
                let query = sqlx::query(RESUME).bind(component.as_str());
                Ok(query.execute(conn).await?.rows_affected() == 1)
            })
            .await
    }
}

//! Pauses of operators on PostgreSQL. Each call is one statement.

use async_trait::async_trait;
use qx_events::ports::{Pause, Pauses};
use qx_events::{ComponentName, Fault};
use sqlx::Row as _;

use super::Postgres;
use crate::columns::{PAUSE_CHARS_MAX, fit};

const PAUSED: &str = "SELECT component, paused_at, paused_by, reason FROM qx_pauses";

const PAUSE: &str = "
    INSERT INTO qx_pauses (component, paused_by, reason) VALUES ($1, $2, $3)
    ON CONFLICT (component) DO UPDATE SET
        paused_by = excluded.paused_by, reason = excluded.reason";

const RESUME: &str = "DELETE FROM qx_pauses WHERE component = $1";

#[async_trait]
impl Pauses for Postgres {
    async fn paused(&self) -> Result<Vec<Pause>, Fault> {
        self.statement("read pauses", async |session| {
            let rows = session.sql(PAUSED).fetch_all(session.conn()).await?;
            let mut pauses = Vec::with_capacity(rows.len());
            for row in &rows {
                // A name that is none belongs to no component.
                let Ok(component) = ComponentName::parse(row.try_get(0)?) else {
                    continue;
                };
                pauses.push(Pause {
                    component,
                    since: row.try_get(1)?,
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
        self.call("pause a component", async |session| {
            let query = session.sql(PAUSE).bind(component.as_str());
            let query = query.bind(&*by).bind(&*reason);
            query.execute(session.conn()).await?;
            Ok(())
        })
        .await
    }

    async fn resume(&self, component: &ComponentName) -> Result<bool, Fault> {
        self.call("resume a component", async |session| {
            let query = session.sql(RESUME).bind(component.as_str());
            Ok(query.execute(session.conn()).await?.rows_affected() == 1)
        })
        .await
    }
}

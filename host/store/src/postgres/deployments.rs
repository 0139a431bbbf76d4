//! The history of builds on PostgreSQL.

use async_trait::async_trait;
use qx_events::ports::{Action, Deployed, Deployment, Deployments, HISTORY_MAX, Refusal};
use qx_events::{ComponentName, Digest, Fault};
use sqlx::Row as _;

use super::Postgres;
use crate::columns::{DEPLOYMENT_CHARS_MAX, digest, fit};

const RECORD: &str = "
    INSERT INTO qx_deployments (component, digest, action, who, host, folder, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// What is older than the lines that are kept.
const FORGET: &str = "
    DELETE FROM qx_deployments WHERE component = $1 AND seq <= (
        SELECT seq FROM qx_deployments WHERE component = $1
        ORDER BY seq DESC OFFSET $2 LIMIT 1)";

const REFUSE: &str = "
    INSERT INTO qx_refusals (component, digest, host, reason) VALUES ($1, $2, $3, $4)
    ON CONFLICT (component, digest) DO UPDATE SET
        at = now(), host = excluded.host, reason = excluded.reason";

/// As many refusals are kept as lines.
const FORGET_REFUSALS: &str = "
    DELETE FROM qx_refusals WHERE component = $1 AND digest NOT IN (
        SELECT digest FROM qx_refusals WHERE component = $1 ORDER BY at DESC LIMIT $2)";

const HISTORY: &str = "
    SELECT at, digest, action, who, host, folder, reason FROM qx_deployments
    WHERE component = $1 ORDER BY seq DESC LIMIT $2";

const REFUSED: &str = "
    SELECT digest, at, host, reason FROM qx_refusals WHERE component = $1 ORDER BY at DESC";

const ALLOW: &str = "DELETE FROM qx_refusals WHERE component = $1 AND digest = $2";

#[async_trait]
impl Deployments for Postgres {
    async fn record(&self, deployment: &Deployment) -> Result<(), Fault> {
        let name = deployment.component.as_str();
        let own = deployment.digest.map(|digest| digest.bytes().to_vec());
        let (host, reason) = (
            fit(&deployment.host, DEPLOYMENT_CHARS_MAX),
            fit(&deployment.reason, DEPLOYMENT_CHARS_MAX),
        );
        self.call("record a deployment", async |session| {
            let by = fit(&deployment.by, DEPLOYMENT_CHARS_MAX);
            let folder = fit(&deployment.folder, DEPLOYMENT_CHARS_MAX);
            let query = session.sql(RECORD).bind(name).bind(&own);
            let query = query.bind(deployment.action.as_str()).bind(&*by);
            let query = query.bind(&*host).bind(&*folder).bind(&*reason);
            query.execute(session.conn()).await?;
            let query = session.sql(FORGET).bind(name);
            let query = query.bind(i64::from(HISTORY_MAX));
            query.execute(session.conn()).await?;
            if deployment.action == Action::CanaryRollback && own.is_some() {
                let query = session.sql(REFUSE).bind(name).bind(&own);
                let query = query.bind(&*host).bind(&*reason);
                query.execute(session.conn()).await?;
                let query = session.sql(FORGET_REFUSALS).bind(name);
                let query = query.bind(i64::from(HISTORY_MAX));
                query.execute(session.conn()).await?;
            }
            Ok(())
        })
        .await
    }

    async fn history(&self, component: &ComponentName) -> Result<Vec<Deployed>, Fault> {
        self.statement("read the history of a component", async |session| {
            let query = session.sql(HISTORY).bind(component.as_str());
            let query = query.bind(i64::from(HISTORY_MAX));
            let rows = query.fetch_all(session.conn()).await?;
            let mut history = Vec::with_capacity(rows.len());
            for row in &rows {
                // A word of a later version is no line of this one.
                let Some(action) = Action::parse(row.try_get(2)?) else {
                    continue;
                };
                history.push(Deployed {
                    at: row.try_get(0)?,
                    deployment: Deployment {
                        component: component.clone(),
                        digest: digest(row.try_get(1)?),
                        action,
                        by: row.try_get(3)?,
                        host: row.try_get(4)?,
                        folder: row.try_get(5)?,
                        reason: row.try_get(6)?,
                    },
                });
            }
            Ok(history)
        })
        .await
    }

    async fn refused(&self, component: &ComponentName) -> Result<Vec<Refusal>, Fault> {
        self.statement("read the refusals of a component", async |session| {
            let query = session.sql(REFUSED).bind(component.as_str());
            let rows = query.fetch_all(session.conn()).await?;
            let mut refused = Vec::with_capacity(rows.len());
            for row in &rows {
                let Some(digest) = digest(row.try_get(0)?) else {
                    continue; // None of ours.
                };
                refused.push(Refusal {
                    digest,
                    since: row.try_get(1)?,
                    host: row.try_get(2)?,
                    reason: row.try_get(3)?,
                });
            }
            Ok(refused)
        })
        .await
    }

    async fn allow(&self, component: &ComponentName, digest: Digest) -> Result<bool, Fault> {
        self.call("take a refusal back", async |session| {
            let query = session.sql(ALLOW).bind(component.as_str());
            let query = query.bind(digest.bytes().as_slice());
            Ok(query.execute(session.conn()).await?.rows_affected() == 1)
        })
        .await
    }
}

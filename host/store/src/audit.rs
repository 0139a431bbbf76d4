//! The accounts, for a person who wants to know whether everything is there:
//! every row, mark and dead letter, counted at one moment.
//!
//! Reads whole tables, so it takes seconds where there are millions of rows.
//! Never: on a path that an event takes.

use qx_events::Fault;
use sqlx::Row as _;

use crate::postgres::Patience;
use crate::store::Store;

const COMPONENTS: &str = "
    SELECT component, CAST(sum(handled) AS bigint) AS handled, CAST(sum(dead) AS bigint) AS dead
    FROM (
        SELECT component, count(*) AS handled, 0 AS dead FROM qx_inbox GROUP BY component
        UNION ALL
        SELECT coalesce(component, 'no-component'), 0, count(*) FROM qx_dead_letters GROUP BY component
    ) AS counts
    GROUP BY component ORDER BY component";

const EVENTS: &str = "
    SELECT event_name, event_version,
           count(*) FILTER (WHERE published_at IS NULL AND failed_at IS NULL) AS pending,
           count(*) FILTER (WHERE published_at IS NOT NULL) AS published,
           count(*) FILTER (WHERE published_at IS NULL AND failed_at IS NOT NULL) AS failed
    FROM qx_outbox_events GROUP BY event_name, event_version ORDER BY event_name, event_version";

/// The accounts at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// By component, in the order of their names.
    pub components: Vec<ComponentAudit>,
    /// By event name and version, in their order.
    pub events: Vec<EventAudit>,
}

/// What a component has done with its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentAudit {
    /// Its name.
    pub component: String,
    /// Inbox marks: events handled.
    pub handled: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Where the rows of an event are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAudit {
    /// Its name.
    pub event_name: String,
    /// Version of its payload's shape.
    pub event_version: i32,
    /// Rows that wait.
    pub pending: u64,
    /// Rows that were published and are still kept.
    pub published: u64,
    /// Rows that were set aside.
    pub failed: u64,
}

/// Reads rows of either database.
macro_rules! read {
    ($components:expr, $events:expr) => {{
        let mut audit = Audit::default();
        for row in $components {
            let count = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
            audit.components.push(ComponentAudit {
                component: row.try_get("component")?,
                handled: count("handled")?,
                dead: count("dead")?,
            });
        }
        for row in $events {
            let count = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
            audit.events.push(EventAudit {
                event_name: row.try_get("event_name")?,
                event_version: row.try_get("event_version")?,
                pending: count("pending")?,
                published: count("published")?,
                failed: count("failed")?,
            });
        }
        Ok(audit)
    }};
}

impl Store {
    /// Counts everything.
    pub async fn audit(&self) -> Result<Audit, Fault> {
        let doing = "audit the tables";
        match self {
            Self::Postgres(postgres) => {
                let audit = postgres.patient_call(Patience::Report, doing, async |session| {
                    let components = session.sql(COMPONENTS).fetch_all(session.conn()).await?;
                    let events = session.sql(EVENTS).fetch_all(session.conn()).await?;
                    read!(components, events)
                });
                audit.await
            }
            Self::Sqlite(sqlite) => {
                let audit = sqlite.file().report(doing, async |conn| {
                    let components = sqlx::query(COMPONENTS).fetch_all(&mut *conn).await?;
                    let events = sqlx::query(EVENTS).fetch_all(conn).await?;
                    read!(components, events)
                });
                audit.await
            }
        }
    }
}

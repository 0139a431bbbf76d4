//! SQL of components on PostgreSQL: a transaction for each call that asks for one, on a
//! connection of its own, in which the guest's statements run as the component's role
//! and the settlement is written as the host.
//!
//! One transaction, so that what a call reads back is what it wrote, and all of it is
//! committed with mark, state and events, or nothing. It does not take part in group
//! commit: while it is open it holds the locks that the guest took.
//!
//! The wall between the two is a function that belongs to the role (`sql/guest.sql`).
//! SET ROLE alone is none: whoever may set it may reset it. Before each statement, and
//! before the host writes, all settings are made anew: what a guest changed of the
//! session it changed for itself.

mod form;
mod roles;
mod transaction;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Sql, SqlBounds, SqlTransaction};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{Postgres, Statements};
use crate::fault::NoAnswer;
use form::Forms;
pub use form::refused_by_its_text;
pub use roles::{RoleFlaw, RoleReport};
use transaction::Transaction;
pub use transaction::sqlstate_is_the_hosts;

/// Longest that a call waits for one of its role's connections. Then it is the host
/// that cannot serve it, and no attempt is used up.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Longest for making a connection ready, and for clearing one that comes back.
const PREPARE_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection that nobody needed for so long is closed.
const IDLE_MAX: Duration = Duration::from_mins(2);
/// A connection is replaced after this time, as those of the host are.
const AGE_MAX: Duration = Duration::from_mins(30);
/// A connection that was idle for longer is tried before it is used.
const TRUSTED_IDLE_MAX: Duration = Duration::from_secs(2);

/// Makes the function that is the wall, see there.
const GUEST: &str = include_str!("sql/guest.sql");

/// Nothing of one call is left for the next: no transaction, setting, cursor or lock.
const CLEAR: &str = "ROLLBACK; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all()";

/// Roles of components in one database.
#[derive(Clone)]
pub(crate) struct PostgresSql {
    inner: Arc<Inner>,
}

struct Inner {
    options: Arc<PgConnectOptions>,
    connections_max: u32,
    /// A pool for each role, so that none waits for another's connections.
    pools: Mutex<HashMap<String, PgPool>>,
    forms: Mutex<Forms>,
}

impl Postgres {
    /// Where components run statements, with so many connections for each role. `None`:
    /// a pooler stands in between, and a call needs a connection that is its own.
    pub(crate) fn sql(&self, connections_max: u32) -> Option<PostgresSql> {
        match self.statements {
            Statements::Unnamed => None,
            Statements::Prepared => Some(PostgresSql {
                inner: Arc::new(Inner {
                    options: self.connections.pool().connect_options(),
                    connections_max,
                    pools: Mutex::default(),
                    forms: Mutex::default(),
                }),
            }),
        }
    }
}

impl Postgres {
    /// What speaks against a role.
    pub(crate) async fn role(&self, role: &str) -> Result<RoleReport, Fault> {
        self.call("look at a role", async |session| {
            roles::look(session.conn(), role).await
        })
        .await
    }
}

#[async_trait]
impl Sql for PostgresSql {
    async fn begin(&self, role: &str, bounds: SqlBounds) -> Result<Box<dyn SqlTransaction>, Fault> {
        let doing = || format!("begin a transaction as role {role}");
        let conn = match self.pool(role).acquire().await {
            Ok(conn) => conn,
            Err(error) => {
                let why = self.inner.why(role, error).await;
                return Err(Fault::transient(doing(), why));
            }
        };
        Ok(Box::new(Transaction::new(
            conn,
            bounds,
            Arc::clone(&self.inner),
        )))
    }
}

impl PostgresSql {
    fn pool(&self, role: &str) -> PgPool {
        let pools = self.inner.pools.lock();
        let mut pools = pools.unwrap_or_else(PoisonError::into_inner);
        let own = pools.get(role);
        own.cloned().unwrap_or_else(|| {
            let pool = self.inner.open(role);
            pools.insert(role.to_owned(), pool.clone());
            pool
        })
    }
}

impl Inner {
    /// Why there was no connection. A pool says only that it took too long.
    async fn why(&self, role: &str, error: sqlx::Error) -> Box<dyn Error + Send + Sync> {
        let look = in_time(async {
            let mut conn = PgConnection::connect_with(&self.options).await?;
            let report = roles::look(&mut conn, role).await?;
            let grave = report.flaws.iter().find(|flaw| flaw.is_grave());
            Ok(grave.map(|flaw| flaw.sentence(&report)))
        });
        match look.await {
            Ok(Some(sentence)) => sentence.into(),
            Ok(None) | Err(_) => error.into(),
        }
    }

    /// A pool that connects when somebody needs it.
    fn open(&self, role: &str) -> PgPool {
        let role: Arc<str> = role.into();
        PgPoolOptions::new()
            .max_connections(self.connections_max)
            .acquire_timeout(WAIT_MAX)
            .idle_timeout(IDLE_MAX)
            .max_lifetime(AGE_MAX)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let role = Arc::clone(&role);
                Box::pin(async move { in_time(admit(conn, &role)).await })
            })
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.idle_for < TRUSTED_IDLE_MAX {
                        return Ok(true);
                    }
                    Ok(in_time(conn.ping()).await.is_ok())
                })
            })
            .after_release(|conn, _| {
                Box::pin(async move {
                    let cleared = in_time(async { conn.execute(sqlx::raw_sql(CLEAR)).await });
                    Ok(cleared.await.is_ok())
                })
            })
            .connect_lazy_with(
                (*self.options)
                    .clone()
                    .application_name("qx-host sql")
                    // What a guest has the server say must not fill the host's log.
                    .options([("client_min_messages", "error")]),
            )
    }
}

/// Makes a new connection ready for a role, if the role is fit for it.
async fn admit(conn: &mut PgConnection, role: &str) -> Result<(), sqlx::Error> {
    let report = roles::look(conn, role).await?;
    if let Some(flaw) = report.flaws.iter().find(|flaw| flaw.is_grave()) {
        return Err(sqlx::Error::Configuration(flaw.sentence(&report).into()));
    }
    let role = roles::quoted(role);
    let make = format!("BEGIN; SET LOCAL ROLE {role}; {GUEST}; COMMIT");
    conn.execute(sqlx::raw_sql(AssertSqlSafe(make))).await?;
    Ok(())
}

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let elapsed = |_| sqlx::Error::Protocol(NoAnswer(PREPARE_TIME_MAX).to_string());
    tokio::time::timeout(PREPARE_TIME_MAX, work)
        .await
        .map_err(elapsed)?
}

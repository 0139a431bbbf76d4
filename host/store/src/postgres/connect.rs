//! Opening, migrating and checking a PostgreSQL database.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::AppliedMigration;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::connections::Connections;
use super::sizes::Tight;
use super::straight::Luck;
use super::{Postgres, SETTINGS, Statements};
use crate::error::StoreError;
use crate::fault::{NoAnswer, sqlstate};
use crate::migrate::{self, Schema};
use crate::store::StoreConfig;

/// Longest wait for a connection, new or from the pool. Longer, and a caller
/// had better hear that the database is not there.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is tried before it is used: servers
/// restart and firewalls forget.
pub(super) const TRUSTED_IDLE_MAX: Duration = Duration::from_secs(2);

/// A connection is replaced after this time, so that a server's memory for it
/// does not grow and a moved name is noticed.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(30);

/// Locks out a second migration. Waits at most this long for tables that others
/// use: waiting, it stands before every new producer.
const BEGIN_MIGRATION: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL enable_seqscan = on";

/// The number of the migrations' advisory lock: "qx" and a random rest.
const MIGRATION_LOCK: i64 = 0x7178_5bd1_90e3_44a7;

impl Postgres {
    /// Opens a pool, after one connection has shown that it is possible.
    pub(crate) async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&config.url)
            .map_err(|error| StoreError::Url(error.to_string()))?
            .application_name("qx-host")
            .extra_float_digits(None);
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let user = options.get_username().to_owned();
        let (options, statements) = if behind_pooler(&config.url) {
            (options.statement_cache_capacity(0), Statements::Unnamed)
        } else {
            (options, Statements::Prepared)
        };

        let first = tokio::time::timeout(CONNECT_TIME_MAX, options.connect()).await;
        match first {
            Ok(Ok(conn)) => drop(conn.close().await),
            Ok(Err(error)) => return Err(refused(&options, server, error)),
            Err(_elapsed) => {
                let source = Box::new(NoAnswer(CONNECT_TIME_MAX));
                return Err(StoreError::Unreachable { server, source });
            }
        }

        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(CONNECT_TIME_MAX)
            .max_lifetime(CONNECTION_AGE_MAX)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    if statements == Statements::Prepared {
                        conn.execute(SETTINGS).await?;
                    }
                    Ok(())
                })
            })
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.idle_for < TRUSTED_IDLE_MAX {
                        return Ok(true);
                    }
                    let pong = tokio::time::timeout(CONNECT_TIME_MAX, conn.ping()).await;
                    Ok(matches!(pong, Ok(Ok(()))))
                })
            })
            .connect_lazy_with(options);
        Ok(Self {
            connections: Connections::new(pool, config.connections_max),
            statements,
            server,
            user,
            tight: Tight::default(),
            luck: Luck::default(),
        })
    }

    /// Applies the migrations that are missing, in one transaction.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let doing = "migrate";
        let mut lent = self.connections.lend().await.map_err(database(doing))?;
        let begun = lent.connection().begin_with(BEGIN_MIGRATION).await;
        let mut tx = begun.map_err(database(doing))?;
        let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .persistent(false)
            .execute(&mut *tx)
            .await;
        locked.map_err(|error| self.not_migrated(error))?;
        self.forget_statements(&mut tx)
            .await
            .map_err(database(doing))?;
        match Schema::Postgres
            .apply(&mut *tx)
            .await
            .map_err(migrate::cause)
        {
            Ok(()) => {}
            Err(Ok(error)) => return Err(self.not_migrated(error)),
            Err(Err(error)) => return Err(error),
        }
        self.forget_statements(&mut tx)
            .await
            .map_err(database(doing))?;
        tx.commit().await.map_err(database(doing))
    }

    /// The migrator names its statements. Behind a pooler they would stay on a
    /// server connection that is somebody else's next.
    async fn forget_statements(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.statements == Statements::Unnamed {
            conn.execute("DEALLOCATE ALL").await?;
        }
        Ok(())
    }

    fn not_migrated(&self, error: sqlx::Error) -> StoreError {
        match sqlstate(&error).as_deref() {
            Some("42501") => StoreError::NoRight {
                user: self.user.clone(),
                source: error,
            },
            Some("55P03" | "40P01") => StoreError::Busy(error),
            Some(_) | None => database("migrate")(error),
        }
    }

    /// Whether the server answers and the tables are those of this version.
    pub async fn check(&self) -> Result<(), StoreError> {
        let applied = self.call("check the database", async |session| {
            let table = session
                .sql("SELECT to_regclass($1) IS NOT NULL")
                .bind(migrate::TABLE);
            if !table
                .fetch_one(session.conn())
                .await?
                .try_get::<bool, _>(0)?
            {
                return Ok(Vec::new());
            }
            let rows = session.sql("SELECT version, checksum FROM qx_migrations WHERE success");
            let rows = rows.fetch_all(session.conn()).await?;
            rows.iter()
                .map(|row| {
                    let checksum: Vec<u8> = row.try_get(1)?;
                    Ok(AppliedMigration {
                        version: row.try_get(0)?,
                        checksum: checksum.into(),
                    })
                })
                .collect()
        });
        let applied = applied.await.map_err(|source| StoreError::Unchecked {
            server: self.server.clone(),
            source,
        })?;
        Schema::Postgres.compare(&applied)
    }
}

/// The switch for a pooler in transaction mode: an option of the URL that sqlx
/// knows too, so that producers can use the same URL.
fn behind_pooler(url: &str) -> bool {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    options
        .split('&')
        .any(|option| option == "statement-cache-capacity=0")
}

fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

/// Why the first connection failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "sqlx::Error is non-exhaustive"
)]
fn refused(options: &PgConnectOptions, server: String, error: sqlx::Error) -> StoreError {
    let user = options.get_username().to_owned();
    match sqlstate(&error).as_deref() {
        Some("28P01" | "28000") => StoreError::Refused {
            server,
            user,
            source: error,
        },
        Some("3D000") => {
            let database = options.get_database().unwrap_or(&user).to_owned();
            StoreError::NoDatabase { server, database }
        }
        // 57P03: it is starting up, or shutting down.
        Some("57P03") => StoreError::Unreachable {
            server,
            source: Box::new(error),
        },
        Some(_) => database("connect")(error),
        None => match error {
            sqlx::Error::Io(source) => StoreError::Unreachable {
                server,
                source: Box::new(source),
            },
            other => database("connect")(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_is_announced_in_the_url() {
        assert!(behind_pooler(
            "postgres://h/d?sslmode=disable&statement-cache-capacity=0"
        ));
        assert!(!behind_pooler("postgres://h/d?statement-cache-capacity=07"));
        assert!(!behind_pooler("postgres://h/d"));
    }
}

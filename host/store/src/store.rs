//! One database, of either kind, chosen by the URL's scheme.

use std::sync::Arc;

use qx_events::Fault;
use qx_events::ports::{DeadLetters, Deployments, Leases, Ledger, Outbox, Pauses, Sql};
use qx_events::shard::{Shard, Split};

use crate::error::StoreError;
use crate::postgres::{Part, Postgres, RoleReport};
use crate::settlement::Recount;
use crate::sqlite::Sqlite;

/// Connections to PostgreSQL, unless set: the relay, the group commit and the
/// readers of state each need a few, and a server has a hundred for everybody.
const CONNECTIONS_DEFAULT: u32 = 16;

/// Whether a SQLite file that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// Make it: for `migrate` and `dev`.
    Create,
    /// Refuse: it is probably the path that is wrong.
    Refuse,
}

/// Which database, and how.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://…` or `sqlite://…`. With `?statement-cache-capacity=0` a pooler
    /// in transaction mode, such as `PgBouncer`, may stand in between.
    pub url: String,
    /// Most connections to PostgreSQL.
    pub connections_max: u32,
    /// For SQLite.
    pub if_missing: IfMissing,
}

impl StoreConfig {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        let connections_max = CONNECTIONS_DEFAULT;
        Self {
            url: url.into(),
            connections_max,
            if_missing: IfMissing::Refuse,
        }
    }

    /// The same, but a SQLite file that is not there is made.
    #[must_use]
    pub fn create(mut self) -> Self {
        self.if_missing = IfMissing::Create;
        self
    }
}

impl std::fmt::Debug for StoreConfig {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig")
            .field("connections_max", &self.connections_max)
            .field("if_missing", &self.if_missing)
            .finish_non_exhaustive()
    }
}

/// Outbox, ledger and dead letters in one database.
#[derive(Debug, Clone)]
pub enum Store {
    /// On a server, shared by many hosts.
    Postgres(Postgres),
    /// In a file of this machine.
    Sqlite(Sqlite),
}

impl Store {
    /// Connects, and verifies that the database can be used. Looks at no table.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        match config.url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {
                Ok(Self::Postgres(Postgres::connect(config).await?))
            }
            Some(("sqlite", _)) => Ok(Self::Sqlite(Sqlite::connect(config).await?)),
            Some((scheme, _)) if scheme.len() <= 16 => {
                Err(StoreError::Url(format!("scheme `{scheme}` is not known")))
            }
            Some(_) | None => Err(StoreError::Url("it has no scheme".to_owned())),
        }
    }

    /// Applies the migrations that are missing: all of them, or none. Several
    /// processes may do so at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(postgres) => postgres.migrate().await,
            Self::Sqlite(sqlite) => sqlite.migrate().await,
        }
    }

    /// Whether the database answers and has the tables of this version.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(postgres) => postgres.check().await,
            Self::Sqlite(sqlite) => sqlite.check().await,
        }
    }

    /// The outbox.
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        match self {
            Self::Postgres(postgres) => Arc::new(Part::new(postgres.clone(), Shard::default())),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// A part of it, for a relay of its own. A file has no parts: it has one writer.
    pub fn outbox_of(&self, shard: Shard) -> Arc<dyn Outbox> {
        match self {
            Self::Postgres(postgres) => Arc::new(Part::new(postgres.clone(), shard)),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// Into which parts the outbox is split.
    pub async fn split(&self) -> Result<Split, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.split().await,
            Self::Sqlite(_) => Ok(Split::Whole),
        }
    }

    /// Splits it so, unless it is. Refused while any relay works, or anybody consumes
    /// in order: what they have in hand belongs to the parts as they are.
    pub async fn set_split(&self, split: Split) -> Result<(), StoreError> {
        match (self, split) {
            (Self::Postgres(postgres), _) => postgres.set_split(split).await,
            (Self::Sqlite(_), Split::Whole) => Ok(()),
            (Self::Sqlite(_), Split::By(_, _)) => Err(StoreError::OneWriter),
        }
    }

    /// Counts the state of every component anew, by the names of the components: after
    /// hosts of an older version, or a person, have changed it beside the count. Commits
    /// wait meanwhile.
    pub async fn count_state(&self) -> Result<Vec<Recount>, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.count_state().await,
            Self::Sqlite(sqlite) => sqlite.count_state().await,
        }
    }

    /// The ledger.
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Self::Postgres(postgres) => Arc::new(postgres.clone()),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// Where components run SQL, with so many connections for each role; or why they
    /// cannot here.
    pub fn sql(&self, connections_max: u32) -> Result<Arc<dyn Sql>, &'static str> {
        match self {
            Self::Postgres(postgres) => match postgres.sql(connections_max) {
                Some(sql) => Ok(Arc::new(sql)),
                None => Err(
                    "needs connections of its own to PostgreSQL, without a pooler in between (statement-cache-capacity=0)",
                ),
            },
            Self::Sqlite(_) => {
                Err("needs PostgreSQL, where each component has a role; set database.url")
            }
        }
    }

    /// What speaks against a role that a component is to run SQL as. `None` where none
    /// can.
    pub async fn role(&self, role: &str) -> Option<Result<RoleReport, Fault>> {
        match self {
            Self::Postgres(postgres) => Some(postgres.role(role).await),
            Self::Sqlite(_) => None,
        }
    }

    /// What operators have paused.
    pub fn pauses(&self) -> Arc<dyn Pauses> {
        match self {
            Self::Postgres(postgres) => Arc::new(postgres.clone()),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// The history of builds.
    pub fn deployments(&self) -> Arc<dyn Deployments> {
        match self {
            Self::Postgres(postgres) => Arc::new(postgres.clone()),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// The leases.
    pub fn leases(&self) -> Arc<dyn Leases> {
        match self {
            Self::Postgres(postgres) => Arc::new(postgres.clone()),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        match self {
            Self::Postgres(postgres) => Arc::new(postgres.clone()),
            Self::Sqlite(sqlite) => Arc::new(sqlite.clone()),
        }
    }

    /// Closes the connections; calls that run are finished first.
    pub async fn close(&self) {
        match self {
            Self::Postgres(postgres) => postgres.close().await,
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

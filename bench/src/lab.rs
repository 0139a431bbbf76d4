//! The servers of one run of the bench, the project's own private ones, set to
//! keep what they are given: PostgreSQL syncs its disk, NATS as it does by default
//! or on every write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use qx_broker::testing::{Nats, Setup};
use qx_store::testing::Postgres;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::cpu;
use crate::peers::Installed;

/// Longest wait for anything: a bench that hangs says so.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// What PostgreSQL is told for the bench. The private server of the tests does
/// not wait for the disk; this one does. Commit times are kept for the latency.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync = on",
    "full_page_writes = on",
    "shared_buffers = '256MB'",
    "max_wal_size = '4GB'",
    "track_commit_timestamp = on",
    "checkpoint_timeout = '30min'",
];

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Size {
    /// Whether it works at all.
    Smoke,
    /// A few seconds each.
    Quick,
    /// What the report is made of.
    Full,
}

impl Size {
    /// Runs of each figure.
    pub(crate) const fn runs(self) -> usize {
        match self {
            Self::Smoke => 1,
            Self::Quick | Self::Full => 3,
        }
    }

    /// Events of one run, where a full run has so many.
    pub(crate) fn of(self, full: u64) -> u64 {
        match self {
            Self::Smoke => (full / 500).clamp(20, 100),
            Self::Quick => (full / 4).max(100),
            Self::Full => full,
        }
    }
}

/// Where everything of a run is.
pub(crate) struct Lab {
    pub(crate) host: PathBuf,
    components: PathBuf,
    pub(crate) peers: Installed,
    pub(crate) size: Size,
    pub(crate) runs: usize,
    servers: OnceCell<Servers>,
    synced: OnceCell<Broker>,
}

/// PostgreSQL and NATS.
pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    pub(crate) postgres_pid: u32,
    pub(crate) broker: Broker,
}

/// A nats-server.
pub(crate) struct Broker {
    pub(crate) nats: Nats,
    pub(crate) pid: u32,
    /// Where it stores, when not in its own folder: gone when it is.
    own_store: Option<TempDir>,
}

impl Lab {
    /// Looks whether everything is there; starts nothing.
    pub(crate) fn open(
        host: &Path,
        components: &Path,
        peers: Installed,
        size: Size,
        runs: usize,
    ) -> anyhow::Result<Self> {
        let host = host.canonicalize();
        let host = host.context("find the host: cargo build --release -p qx-host")?;
        ensure!(runs > 0, "at least one run is needed");
        Ok(Self {
            host,
            components: components.canonicalize().context("find the components")?,
            peers,
            size,
            runs,
            servers: OnceCell::new(),
            synced: OnceCell::new(),
        })
    }

    /// A component of the bench.
    pub(crate) fn component(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.components.join(format!("{name}.wasm"));
        std::fs::read(&path)
            .with_context(|| format!("read {}: make bench builds it", path.display()))
    }

    /// Runs of a figure that takes long: in a coarse run one.
    pub(crate) fn runs_of_long(&self) -> usize {
        match self.size {
            Size::Smoke | Size::Quick => 1,
            Size::Full => self.runs,
        }
    }

    /// The servers, started once.
    pub(crate) async fn servers(&self) -> anyhow::Result<&Servers> {
        self.servers
            .get_or_try_init(|| async {
                let postgres = tokio::task::spawn_blocking(Postgres::start).await??;
                let postgres = durable(postgres).await?;
                let port = format!("-p {}", postgres.port());
                let postgres_pid = cpu::find(&["postgres", &port]).context("find PostgreSQL")?;
                Ok(Servers {
                    postgres,
                    postgres_pid,
                    broker: broker(Setup::default()).await?,
                })
            })
            .await
    }

    /// A broker that syncs its disk on every write.
    pub(crate) async fn synced_broker(&self) -> anyhow::Result<&Broker> {
        self.synced
            .get_or_try_init(|| async {
                let mut setup = Setup {
                    jetstream: false,
                    ..Setup::default()
                };
                let store = tempfile::Builder::new().prefix("qx-synced-").tempdir()?;
                setup.extra = format!(
                    "jetstream {{ store_dir: \"{}\", sync_interval: always }}",
                    store.path().display()
                );
                let mut broker = broker(setup).await?;
                broker.own_store = Some(store);
                Ok(broker)
            })
            .await
    }
}

async fn broker(setup: Setup) -> anyhow::Result<Broker> {
    let nats = Nats::start_with(setup).await?;
    let folder = nats.store().with_file_name("nats.conf");
    let pid = cpu::find(&[&folder.display().to_string()]).context("find nats-server")?;
    Ok(Broker {
        nats,
        pid,
        own_store: None,
    })
}

/// Makes the server wait for its disk, and starts it again with that.
async fn durable(postgres: Postgres) -> anyhow::Result<Postgres> {
    use sqlx::Connection as _;
    let mut conn = sqlx::PgConnection::connect(&postgres.url("postgres")).await?;
    for setting in POSTGRES_SETTINGS {
        let sql = sqlx::AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"));
        sqlx::raw_sql(sql).execute(&mut conn).await?;
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await?;
    conn.close().await?;
    let restart = move || postgres.restart().map(|()| postgres);
    Ok(tokio::task::spawn_blocking(restart).await??)
}

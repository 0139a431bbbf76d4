//! Opening, migrating and checking a SQLite file.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::migrate::{AppliedMigration, Migrate};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use super::{File, Sqlite, begin};
use crate::error::StoreError;
use crate::fault::primary_code;
use crate::migrate::{self, Schema};
use crate::store::{IfMissing, StoreConfig};

/// Longest wait for another process's transaction.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause before a file is opened again that another process is just making.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Longest wait for a connection of the pool: the writer's whole queue.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(15);

/// Connections that read. WAL lets them run beside the writer; more than a few
/// only compete for the disk.
const READERS_MAX: u32 = 4;

impl Sqlite {
    /// Opens the file of a `sqlite://` URL.
    pub(crate) async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(&config.url)
            .map_err(|error| StoreError::Url(error.to_string()))?;
        let path = options.get_filename().to_path_buf();
        if path.as_os_str().is_empty() || config.url.contains(":memory:") {
            let why = "a database in memory is gone with its connection".to_owned();
            return Err(StoreError::Url(why));
        }
        Ok(Self {
            file: open(&path, config.if_missing).await?,
        })
    }

    /// Applies the migrations that are missing, in one transaction.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.file.migrate(Schema::Sqlite).await
    }

    /// Whether the file can be used and the tables are those of this version.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut conn = self
            .file
            .readers
            .acquire()
            .await
            .map_err(database("check"))?;
        let applied = applied(&mut conn).await.map_err(database("check"))?;
        Schema::Sqlite.compare(&applied)
    }
}

/// Opens a file, and finds out why it cannot be.
pub(crate) async fn open(path: &Path, if_missing: IfMissing) -> Result<File, StoreError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(StoreError::NoFolder(folder.to_path_buf()));
    }
    let create = match if_missing {
        IfMissing::Create => true,
        IfMissing::Refuse if path.exists() => false,
        IfMissing::Refuse => return Err(StoreError::NoFile(path.to_path_buf())),
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIME_MAX)
        .foreign_keys(true);
    let pool = |connections_max| {
        SqlitePoolOptions::new()
            .max_connections(connections_max)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_TIME_MAX)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    let writer = open_when_free(|| pool(1).connect_with(options.clone()))
        .await
        .map_err(|error| unusable(path.to_path_buf(), error))?;
    let readers = pool(READERS_MAX).connect_lazy_with(options.pragma("query_only", "on"));
    Ok(File { writer, readers })
}

/// Opens the writer, and waits while another process makes the file. SQLite does
/// that waiting by itself for every lock but the one that a change of the journal
/// mode takes: two that open a new file at once would see one of them refused.
async fn open_when_free<F>(open: impl Fn() -> F) -> Result<SqlitePool, sqlx::Error>
where
    F: Future<Output = Result<SqlitePool, sqlx::Error>>,
{
    let began = Instant::now();
    loop {
        let opened = match open().await {
            Ok(writer) => try_writing(&writer).await.map(|()| writer),
            Err(error) => Err(error),
        };
        match opened {
            Err(error) if is_busy(&error) && began.elapsed() < BUSY_TIME_MAX => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED
    matches!(primary_code(error), Some(5 | 6))
}

/// Takes the write lock and lets go: a file without the right to write opens
/// like any other.
async fn try_writing(writer: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut conn = writer.acquire().await?;
    begin(&mut conn).await?.rollback().await
}

impl File {
    /// Applies what is missing. Another process that does the same waits.
    pub(crate) async fn migrate(&self, schema: Schema) -> Result<(), StoreError> {
        let doing = "migrate";
        let mut conn = self.writer.acquire().await.map_err(database(doing))?;
        let mut tx = begin(&mut conn).await.map_err(|error| {
            if is_busy(&error) {
                StoreError::Busy(error)
            } else {
                database(doing)(error)
            }
        })?;
        match schema.apply(&mut *tx).await.map_err(migrate::cause) {
            Ok(()) => tx.commit().await.map_err(database(doing)),
            Err(Ok(error)) => Err(database(doing)(error)),
            Err(Err(error)) => Err(error),
        }
    }
}

async fn applied(conn: &mut SqliteConnection) -> Result<Vec<AppliedMigration>, sqlx::Error> {
    let table =
        sqlx::query("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1");
    let table = table.bind(migrate::TABLE).fetch_one(&mut *conn).await?;
    if table.try_get::<i64, _>(0)? == 0 {
        return Ok(Vec::new());
    }
    let applied = conn.list_applied_migrations(migrate::TABLE).await;
    applied.map_err(|error| sqlx::Error::Migrate(Box::new(error)))
}

fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

/// Why the file could not be opened.
fn unusable(path: PathBuf, source: sqlx::Error) -> StoreError {
    if is_busy(&source) {
        return StoreError::Busy(source);
    }
    match primary_code(&source) {
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_AUTH
        Some(3 | 8 | 14 | 23) => StoreError::NotWritable { path, source },
        // SQLITE_NOTADB
        Some(26) => StoreError::NotADatabase(path),
        Some(_) | None => database("open the file")(source),
    }
}

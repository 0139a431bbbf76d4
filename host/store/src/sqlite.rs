//! SQLite: one connection that writes, a few that read, and the one way in which
//! a call reaches them.
//!
//! A commit is on the disk when it returns (WAL, synchronous = FULL). Other
//! processes may use the same file: they wait for each other's transactions.

mod attempts;
mod connect;
mod dead_letters;
mod deployments;
mod leases;
mod ledger;
mod outbox;
mod pauses;
mod sizes;

use std::time::Duration;

use qx_events::Fault;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Connection, Row as _, Sqlite as Driver, Transaction};

use crate::fault::{self, NoAnswer};

pub(crate) use connect::open;

/// Longest that a call may take. A healthy one takes milliseconds; the rest is
/// for a disk that is busy and for another process that holds the file.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// The same for reports that read whole tables.
const REPORT_TIME_MAX: Duration = Duration::from_secs(150);

/// The times of a statement: text that sorts as time does.
macro_rules! now {
    () => {
        "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    };
}
/// Milliseconds since 1970.
macro_rules! now_ms {
    () => {
        "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)"
    };
}
pub(crate) use {now, now_ms};

/// Many values as one, for `json_each`. Each statement goes to a thread of its own and
/// back, which costs more than most of them do there.
pub(crate) fn many(values: impl serde::Serialize) -> String {
    // Texts, numbers and arrays of them: there is nothing that can fail.
    serde_json::to_string(&values).unwrap_or_default()
}

/// Of so many rows, how many go into one statement that names each of their values. Few
/// sizes, so that the statements are prepared once and kept.
pub(crate) const fn together(rows: usize) -> usize {
    match rows {
        64.. => 64,
        8.. => 8,
        _ => 1,
    }
}

/// The one of these whose place is the first column of the row.
pub(crate) fn at<'a, T>(values: &'a [T], row: &SqliteRow) -> Result<Option<&'a T>, sqlx::Error> {
    let place: i64 = row.try_get(0)?;
    Ok(usize::try_from(place)
        .ok()
        .and_then(|place| values.get(place)))
}

/// Outbox, ledger and dead letters on SQLite.
#[derive(Debug, Clone)]
pub struct Sqlite {
    file: File,
}

/// A database file: the writer and the readers.
#[derive(Debug, Clone)]
pub(crate) struct File {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl File {
    /// Runs `work` in a write transaction and commits it.
    pub(crate) async fn write<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let whole = async {
            let mut conn = self.writer.acquire().await?;
            let mut tx = begin(&mut conn).await?;
            let answer = work(&mut tx).await?;
            tx.commit().await?;
            Ok(answer)
        };
        within(CALL_TIME_MAX, doing, whole).await
    }

    /// Runs `work` on a connection that only reads. Each of its statements sees
    /// what is committed when it begins.
    pub(crate) async fn read<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let whole = async { work(&mut *self.readers.acquire().await?).await };
        within(CALL_TIME_MAX, doing, whole).await
    }

    /// Runs `work` in a transaction that sees one moment of all tables.
    pub(crate) async fn report<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let whole = async {
            let mut conn = self.readers.acquire().await?;
            let mut tx = conn.begin().await?;
            let answer = work(&mut tx).await?;
            tx.commit().await?;
            Ok(answer)
        };
        within(REPORT_TIME_MAX, doing, whole).await
    }

    /// The connection that writes, to one caller at a time.
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Begins with the write lock: a transaction that took it later could find that
/// what it has read is old, and would have to begin again.
pub(crate) async fn begin(
    conn: &mut SqliteConnection,
) -> Result<Transaction<'_, Driver>, sqlx::Error> {
    conn.begin_with("BEGIN IMMEDIATE").await
}

async fn within<T>(
    time_max: Duration,
    doing: &'static str,
    whole: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(time_max, whole).await {
        Ok(answer) => answer.map_err(|error| fault::sqlite(doing, error)),
        Err(_elapsed) => Err(Fault::transient(doing, NoAnswer(time_max))),
    }
}

impl Sqlite {
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Closes the file; calls that run are finished first.
    pub async fn close(&self) {
        self.file.close().await;
    }
}

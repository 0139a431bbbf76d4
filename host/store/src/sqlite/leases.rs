//! Leases on SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use qx_events::Fault;
use qx_events::ports::{Fence, HeldLease, Leases};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{Sqlite, now_ms};
use crate::settlement::Held;

const TAKE: &str = concat!(
    "INSERT INTO qx_leases AS own (name, holder, token, expires_at)
     VALUES (?1, ?2, 1, ",
    now_ms!(),
    " + ?3)
     ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder, token = own.token + 1, expires_at = excluded.expires_at
     WHERE own.holder = excluded.holder OR own.expires_at <= ",
    now_ms!(),
    "
     RETURNING token"
);

const RENEW: &str = concat!(
    "UPDATE qx_leases SET expires_at = ",
    now_ms!(),
    " + ?3 WHERE name = ?1 AND token = ?2"
);

/// The token goes on at once: what the former holder still writes is refused.
const RELEASE: &str = "
    UPDATE qx_leases SET holder = '', token = token + 1, expires_at = 0
    WHERE name = ?1 AND token = ?2";

const HELD: &str = concat!(
    "SELECT name, holder, expires_at FROM qx_leases WHERE expires_at > ",
    now_ms!(),
    " ORDER BY name"
);

const TOKEN: &str = "SELECT token FROM qx_leases WHERE name = ?1";

#[async_trait]
impl Leases for Sqlite {
    async fn take(&self, name: &str, holder: &str, term: Duration) -> Result<Option<Fence>, Fault> {
        self.file
            .write("take a lease", async |conn| {
                let query = sqlx::query(TAKE).bind(name).bind(holder);
                let row = query.bind(millis(term)).fetch_optional(conn).await?;
                let fence = |row: sqlx::sqlite::SqliteRow| {
                    Ok(Fence {
                        name: Arc::from(name),
                        token: row.try_get(0)?,
                    })
                };
                row.map(fence).transpose()
            })
            .await
    }

    async fn renew(&self, fence: &Fence, term: Duration) -> Result<bool, Fault> {
        self.file
            .write("renew a lease", async |conn| {
                let query = sqlx::query(RENEW).bind(&*fence.name).bind(fence.token);
                let done = query.bind(millis(term)).execute(conn).await?;
                Ok(done.rows_affected() == 1)
            })
            .await
    }

    async fn release(&self, fence: &Fence) -> Result<(), Fault> {
        self.file
            .write("give a lease back", async |conn| {
                let query = sqlx::query(RELEASE).bind(&*fence.name).bind(fence.token);
                query.execute(conn).await?;
                Ok(())
            })
            .await
    }

    async fn held(&self) -> Result<Vec<HeldLease>, Fault> {
        self.file
            .read("list leases", async |conn| {
                let rows = sqlx::query(HELD).fetch_all(conn).await?;
                let held = rows.iter().map(|row| {
                    Ok(HeldLease {
                        name: row.try_get(0)?,
                        holder: row.try_get(1)?,
                        expires_at: DateTime::from_timestamp_millis(row.try_get(2)?)
                            .unwrap_or(DateTime::UNIX_EPOCH),
                    })
                });
                held.collect()
            })
            .await
    }
}

/// Half of the range is for ever: adding the time of day does not overflow.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).map_or(i64::MAX / 2, |ms| ms.min(i64::MAX / 2))
}

/// Who has these leases: nobody can take one while the transaction lasts, which
/// has the write lock.
pub(super) async fn look<'n>(
    conn: &mut SqliteConnection,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Held, sqlx::Error> {
    let mut held = Held::default();
    for name in names {
        let row = sqlx::query(TOKEN)
            .bind(name)
            .fetch_optional(&mut *conn)
            .await?;
        if let Some(row) = row {
            held.insert(name.to_owned(), row.try_get(0)?);
        }
    }
    Ok(held)
}

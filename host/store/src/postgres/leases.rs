//! Leases on PostgreSQL. Each call is one statement.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{Fence, HeldLease, Leases};
use sqlx::Row as _;

use super::outbox::millis;
use super::{Postgres, Session};
use crate::settlement::Held;

/// By the clock at the moment of the write, not of its transaction: it may have
/// waited for the other holder's.
const TAKE: &str = "
    INSERT INTO qx_leases AS own (name, holder, token, expires_at)
    VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond')
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        token = own.token + 1,
        expires_at = clock_timestamp() + $3 * interval '1 millisecond'
    WHERE own.holder = excluded.holder OR own.expires_at <= clock_timestamp()
    RETURNING token";

const RENEW: &str = "
    UPDATE qx_leases SET expires_at = clock_timestamp() + $3 * interval '1 millisecond'
    WHERE name = $1 AND token = $2";

/// The token goes on at once: what the former holder still writes is refused.
const RELEASE: &str = "
    UPDATE qx_leases SET holder = '', token = token + 1, expires_at = '-infinity'
    WHERE name = $1 AND token = $2";

const HELD: &str = "
    SELECT name, holder, expires_at FROM qx_leases
    WHERE expires_at > clock_timestamp() ORDER BY name";

/// Locked to the end of the transaction: whoever takes the lease waits for it, and
/// sees what it wrote. Renewals wait too, which are rare.
const LOCK: &str = "SELECT name, token FROM qx_leases WHERE name = ANY($1) ORDER BY name FOR SHARE";

#[async_trait]
impl Leases for Postgres {
    async fn take(&self, name: &str, holder: &str, term: Duration) -> Result<Option<Fence>, Fault> {
        self.statement("take a lease", async |session| {
            let query = session.sql(TAKE).bind(name).bind(holder);
            let row = query.bind(millis(term)).fetch_optional(session.conn());
            let fence = |row: sqlx::postgres::PgRow| {
                Ok(Fence {
                    name: Arc::from(name),
                    token: row.try_get(0)?,
                })
            };
            row.await?.map(fence).transpose()
        })
        .await
    }

    async fn renew(&self, fence: &Fence, term: Duration) -> Result<bool, Fault> {
        self.statement("renew a lease", async |session| {
            let query = session.sql(RENEW).bind(&*fence.name).bind(fence.token);
            let done = query.bind(millis(term)).execute(session.conn()).await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }

    async fn release(&self, fence: &Fence) -> Result<(), Fault> {
        self.statement("give a lease back", async |session| {
            let query = session.sql(RELEASE).bind(&*fence.name).bind(fence.token);
            query.execute(session.conn()).await?;
            Ok(())
        })
        .await
    }

    async fn held(&self) -> Result<Vec<HeldLease>, Fault> {
        self.statement("list leases", async |session| {
            let rows = session.sql(HELD).fetch_all(session.conn()).await?;
            let held = rows.iter().map(|row| {
                Ok(HeldLease {
                    name: row.try_get(0)?,
                    holder: row.try_get(1)?,
                    expires_at: row.try_get(2)?,
                })
            });
            held.collect()
        })
        .await
    }
}

/// Keeps these leases with their holders to the end of the transaction.
pub(super) async fn lock<'n>(
    session: &mut Session<'_>,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Held, sqlx::Error> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut held = Held::default();
    if names.is_empty() {
        return Ok(held);
    }
    let query = session.sql(LOCK).bind(&names);
    for row in &query.fetch_all(session.conn()).await? {
        held.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(held)
}

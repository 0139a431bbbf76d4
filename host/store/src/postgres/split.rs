//! Into how many parts the outbox is split: kept in the database, so that no two hosts
//! have it differently, and changed only while nobody works on any part.

use qx_events::shard::{RELAY_LEASE, Split};
use qx_events::{Fault, KeyField};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Postgres, Session};
use crate::error::StoreError;

const READ: &str = "SELECT shards, split_by FROM qx_outbox_split";

/// Held to the end of the transaction: who asks for a relay's lease waits, and then
/// sees the new split.
const LOCK: &str = "SELECT shards, split_by FROM qx_outbox_split FOR UPDATE";

/// Relays, and who consumes in order: that order is the split's.
const AT_WORK: &str = "
    SELECT name, holder FROM qx_leases
    WHERE expires_at > clock_timestamp() AND (starts_with(name, $1) OR starts_with(name, 'order:'))
    ORDER BY name LIMIT 1";

/// What a relay of the old parts still writes is refused.
const FENCE_OFF: &str = "
    UPDATE qx_leases SET holder = '', token = token + 1, expires_at = '-infinity'
    WHERE starts_with(name, $1)";

const WRITE: &str = "UPDATE qx_outbox_split SET shards = $1, split_by = $2";

/// What a part is chosen by. As a lane takes its key: from the envelope, else from the
/// column. In lower case where it is an id, which has more than one spelling.
fn key_sql(by: KeyField) -> &'static str {
    match by {
        KeyField::Tenant => "lower(coalesce(payload ->> 'tenant_id', tenant_id::text))",
        KeyField::Correlation => {
            "lower(coalesce(payload ->> 'correlation_id', correlation_id::text))"
        }
        KeyField::OrderingKey => "coalesce(payload ->> 'ordering_key', ordering_key)",
    }
}

/// The function and the index of a split. A part is read by this index alone, in the
/// order of `seq`, however many rows wait in the others.
fn made_for(split: Split) -> String {
    let before = "DROP INDEX IF EXISTS qx_outbox_sharded;
        DROP FUNCTION IF EXISTS qx_outbox_shard(bigint, jsonb, uuid, uuid, text);";
    let Split::By(by, shards) = split else {
        return before.to_owned();
    };
    let key = key_sql(by);
    format!(
        "{before}
        CREATE FUNCTION qx_outbox_shard(
            seq bigint, payload jsonb, tenant_id uuid, correlation_id uuid, ordering_key text
        ) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT abs(coalesce(hashtextextended({key}, 0), seq) % {shards})::integer
        $$;
        CREATE INDEX qx_outbox_sharded ON qx_outbox_events
            (qx_outbox_shard(seq, payload, tenant_id, correlation_id, ordering_key), seq)
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL"
    )
}

impl Postgres {
    pub(crate) async fn split(&self) -> Result<Split, Fault> {
        self.statement("read how the outbox is split", async |session| {
            read(session, READ).await
        })
        .await
    }

    /// Splits it so. `Err` names somebody who is at work.
    pub(crate) async fn set_split(&self, wanted: Split) -> Result<(), StoreError> {
        let changed = self.patient_call(
            super::Patience::Change,
            "split the outbox",
            async |session| {
                let now = read(session, LOCK).await?;
                if now == wanted {
                    return Ok(None);
                }
                let at_work = session.sql(AT_WORK).bind(RELAY_LEASE);
                if let Some(row) = at_work.fetch_optional(session.conn()).await? {
                    let (lease, holder) = (row.try_get(0)?, row.try_get(1)?);
                    return Ok(Some((now, lease, holder)));
                }
                let fence_off = session.sql(FENCE_OFF).bind(RELAY_LEASE);
                fence_off.execute(session.conn()).await?;
                let made = AssertSqlSafe(made_for(wanted));
                sqlx::raw_sql(made).execute(session.conn()).await?;
                let (shards, by) = columns(wanted);
                let write = session.sql(WRITE).bind(shards).bind(by);
                write.execute(session.conn()).await?;
                Ok(None)
            },
        );
        match changed.await {
            Ok(None) => Ok(()),
            Ok(Some((now, lease, holder))) => Err(StoreError::AtWork {
                now,
                wanted,
                lease,
                holder,
            }),
            Err(source) => Err(StoreError::NotSplit { wanted, source }),
        }
    }
}

/// A split as its columns hold it.
pub(super) fn columns(split: Split) -> (i32, &'static str) {
    match split {
        Split::Whole => (1, ""),
        Split::By(by, shards) => (shards.into(), by.as_str()),
    }
}

async fn read(session: &mut Session<'_>, sql: &'static str) -> Result<Split, sqlx::Error> {
    let row = session.sql(sql).fetch_one(session.conn()).await?;
    let (shards, by): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let shards = u16::try_from(shards).unwrap_or_default();
    let by = KeyField::parse(&by);
    Ok(by.map_or(Split::Whole, |by| Split::new(shards, by)))
}

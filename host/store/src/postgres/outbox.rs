//! The outbox on PostgreSQL. Each call is one statement, but for a hint to the planner,
//! and for marks of several streams.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{
    Due, Lease, OpenWriter, Outbox, OutboxStatus, PublishedRow, StreamState, Writers,
};
use qx_events::shard::{Shard, Split};
use qx_events::{Fault, Row};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::split::columns;
use crate::columns::{LAST_ERROR_CHARS_MAX, fit};

/// By the clock at the moment of the write, not of its transaction: it may have
/// waited for the other holder's. Nobody gets it who has the outbox in other parts than
/// it is in; who changes that waits until this is written.
const LEASE: &str = "
    WITH split AS MATERIALIZED (
        SELECT 1 FROM qx_outbox_split WHERE shards = $4 AND split_by = $5 FOR SHARE
    )
    INSERT INTO qx_leases AS own (name, holder, token, expires_at)
    SELECT $3, $1, 1, clock_timestamp() + $2 * interval '1 millisecond' FROM split
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        token = own.token + (own.holder <> excluded.holder)::int,
        expires_at = clock_timestamp() + $2 * interval '1 millisecond'
    WHERE own.holder = excluded.holder OR own.expires_at <= clock_timestamp()
    RETURNING token";

/// The token goes on at once: what the former holder still writes is refused.
const RELEASE: &str = "
    UPDATE qx_leases SET holder = '', token = token + 1, expires_at = '-infinity'
    WHERE name = $2 AND token = $1";

/// Served by the index `qx_outbox_pending` alone: no sort.
pub(super) const PENDING: &str = "
    SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
           traceparent, tracestate,
           coalesce(body, payload::text) AS body
    FROM qx_outbox_events
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= $2
    ORDER BY seq LIMIT $1";

/// The same, without those of an array, which is sorted: `width_bucket` finds the
/// place in it where a row would be.
const PENDING_BESIDE: &str = "
    SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
           traceparent, tracestate,
           coalesce(body, payload::text) AS body
    FROM qx_outbox_events
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
      AND ($2::bigint[])[width_bucket(seq, $2::bigint[])] IS DISTINCT FROM seq
    ORDER BY seq LIMIT $1";

/// From the end of the primary order, as far as the limit: rows with a larger body are
/// left out of those, not looked for further down.
const NEWEST: &str = "
    SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
           traceparent, tracestate, text AS body
    FROM (SELECT *, coalesce(body, payload::text) AS text
          FROM qx_outbox_events ORDER BY seq DESC LIMIT $1) AS newest
    WHERE octet_length(text) <= $2
    ORDER BY seq DESC";

/// The same of one part, served by the index `qx_outbox_sharded` alone.
pub(super) const PENDING_OF: &str = "
    SELECT seq, id, event_name, event_version, correlation_id, tenant_id, ordering_key,
           traceparent, tracestate,
           coalesce(body, payload::text) AS body
    FROM qx_outbox_events
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL AND seq <= $2
      AND qx_outbox_shard(seq, payload, tenant_id, correlation_id, ordering_key) = $3
    ORDER BY seq LIMIT $1";

/// One look at the index `qx_outbox_due`, as a rule, and one at `qx_outbox_pending`. Not
/// by `clock_timestamp()`, which no index serves. The next due time is as it was before,
/// and so is whether a row waits.
const COME_DUE: &str = "
    WITH lease AS MATERIALIZED (
        SELECT 1 FROM qx_leases WHERE name = $3 AND token = $1
    ), first AS MATERIALIZED (
        SELECT due_at FROM qx_outbox_events
        WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL
        ORDER BY due_at, seq LIMIT 1
    )
    SELECT EXISTS (SELECT FROM lease) AS held,
           CASE WHEN EXISTS (SELECT FROM lease)
                 AND EXISTS (SELECT FROM first WHERE due_at <= statement_timestamp())
                THEN qx_outbox_come_due($2) ELSE 0 END AS came,
           (SELECT (extract(epoch FROM due_at - statement_timestamp()) * 1000)::bigint
            FROM first) AS next_ms,
           (SELECT seq FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
            ORDER BY seq LIMIT 1) IS NOT NULL AS waits";

/// Rows of one stream: of an array of texts PostgreSQL reads all that are before the one
/// that is asked for. No join: without statistics the planner takes the rows that wait
/// for few, and compares each of them with each of the array. `width_bucket` finds the
/// place of a row in the array, which is sorted.
const MARK_PUBLISHED: &str = "
    WITH lease AS MATERIALIZED (
        SELECT 1 FROM qx_leases WHERE name = $6 AND token = $1
    ), marked AS (
        UPDATE qx_outbox_events
        SET published_at = clock_timestamp(), last_error = NULL,
            stream_name = $3, stream_created = $5,
            stream_seq = ($4::bigint[])[width_bucket(seq, $2::bigint[])]
        WHERE seq = ANY($2) AND published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
          AND EXISTS (SELECT FROM lease)
    )
    SELECT EXISTS (SELECT FROM lease)";

/// Three looks at the index `qx_outbox_stored`, which find nothing as a rule: made
/// earlier, made later, and behind the end. The order is for the planner, who would
/// else take another index. The rule is `StreamState::lost`.
const FORGET_LOST: &str = "
    WITH lease AS MATERIALIZED (
        SELECT 1 FROM qx_leases WHERE name = $5 AND token = $1
    ), forgotten AS (
        UPDATE qx_outbox_events
        SET published_at = NULL, stream_name = NULL, stream_seq = NULL, stream_created = NULL
        WHERE id = ANY(ARRAY(
            (SELECT id FROM qx_outbox_events
             WHERE published_at IS NOT NULL AND stream_created IS NOT NULL
               AND stream_created < $2 ORDER BY stream_created, stream_seq LIMIT $4)
            UNION ALL
            (SELECT id FROM qx_outbox_events
             WHERE published_at IS NOT NULL AND stream_created IS NOT NULL
               AND stream_created > $2 ORDER BY stream_created, stream_seq LIMIT $4)
            UNION ALL
            (SELECT id FROM qx_outbox_events
             WHERE published_at IS NOT NULL AND stream_created IS NOT NULL
               AND stream_created = $2 AND stream_seq > $3 ORDER BY stream_seq LIMIT $4)
            LIMIT $4))
          AND published_at IS NOT NULL AND EXISTS (SELECT FROM lease)
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM lease) AS held, (SELECT count(*) FROM forgotten) AS rows";

/// Without statistics the planner may take any index that holds the published
/// rows, and sort them all; the index on the position needs no sort.
const BY_POSITION: &str = "SET LOCAL enable_sort = off";

const SET_ASIDE: &str = "
    WITH lease AS MATERIALIZED (
        SELECT 1 FROM qx_leases WHERE name = $4 AND token = $1
    ), parked AS (
        UPDATE qx_outbox_events SET failed_at = clock_timestamp(), last_error = $3
        WHERE seq = $2 AND published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
          AND EXISTS (SELECT FROM lease)
    )
    SELECT EXISTS (SELECT FROM lease)";

/// Skips what another host's cleaner has in hand. Not by `clock_timestamp()`, which no
/// index serves: every row that is kept would be read, each time.
const CLEAN_UP: &str = "
    DELETE FROM qx_outbox_events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM qx_outbox_events
        WHERE published_at < statement_timestamp() - $1 * interval '1 millisecond'
        ORDER BY published_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ))";

/// Cheap with millions of published rows: what waits and what failed is counted
/// in small partial indexes, and the published rows are not counted at all, see
/// `qx_outbox_tally` in the migrations.
const STATUS: &str = "
    SELECT (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL) AS waiting,
           (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL) AS delayed,
           (SELECT count(*) FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NOT NULL) AS failed,
           (SELECT published FROM qx_outbox_tally) AS published,
           (SELECT (extract(epoch FROM clock_timestamp() - coalesce(recorded_at, occurred_at)) * 1000)::bigint
            FROM qx_outbox_events
            WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
            ORDER BY seq LIMIT 1) AS oldest_ms";

/// A part of the outbox, or all of it. What comes due, what the stream has lost and what
/// is cleaned up is every part's: whoever sees it first does it for all.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    postgres: Postgres,
    shard: Shard,
    lease: String,
}

impl Part {
    pub(crate) fn new(postgres: Postgres, shard: Shard) -> Self {
        Self {
            postgres,
            shard,
            lease: shard.lease(),
        }
    }
}

/// A stream's name, and when it was made.
type Place<'a> = (&'a str, Option<i64>);

impl Part {
    /// Marks rows of one stream: by `seq`, the position of each.
    async fn mark_of(
        &self,
        lease: Lease,
        (stream, created): Place<'_>,
        rows: BTreeMap<i64, i64>,
    ) -> Result<bool, Fault> {
        let (seqs, positions): (Vec<i64>, Vec<i64>) = rows.into_iter().unzip();
        self.postgres
            .statement("mark rows published", async |session| {
                let query = session.sql(MARK_PUBLISHED).bind(lease.token);
                let query = query.bind(&seqs).bind(stream).bind(&positions);
                let query = query.bind(created).bind(&self.lease);
                query.fetch_one(session.conn()).await?.try_get(0)
            })
            .await
    }
}

#[async_trait]
impl Outbox for Part {
    async fn lease(&self, holder: &str, term: Duration) -> Result<Option<Lease>, Fault> {
        self.postgres
            .statement("take the relay's lease", async |session| {
                let (shards, by) = columns(self.shard.of);
                let query = session.sql(LEASE).bind(holder).bind(millis(term));
                let query = query.bind(&self.lease).bind(shards).bind(by);
                let row = query.fetch_optional(session.conn()).await?;
                row.map(|row| {
                    Ok(Lease {
                        token: row.try_get(0)?,
                    })
                })
                .transpose()
            })
            .await
    }

    async fn release(&self, lease: Lease) -> Result<(), Fault> {
        self.postgres
            .statement("give the relay's lease back", async |session| {
                session
                    .sql(RELEASE)
                    .bind(lease.token)
                    .bind(&self.lease)
                    .execute(session.conn())
                    .await?;
                Ok(())
            })
            .await
    }

    async fn pending_to(&self, last: i64, limit: u32) -> Result<Vec<Row>, Fault> {
        self.postgres
            .statement("read rows that wait", async |session| {
                let (sql, number) = match self.shard.of {
                    Split::Whole => (PENDING, None),
                    Split::By(_, _) => (PENDING_OF, Some(i32::from(self.shard.number))),
                };
                let query = session.sql(sql).bind(i64::from(limit)).bind(last);
                let query = match number {
                    Some(number) => query.bind(number),
                    None => query,
                };
                let rows = query.fetch_all(session.conn()).await?;
                rows.iter().map(row).collect()
            })
            .await
    }

    async fn writers(&self) -> Result<Writers, Fault> {
        self.postgres.open_writers().await
    }

    async fn oldest_writer(&self) -> Result<Option<OpenWriter>, Fault> {
        self.postgres.open_for_longest().await
    }

    async fn newest(&self, limit: u32, body_bytes_max: u32) -> Result<Vec<Row>, Fault> {
        self.postgres
            .statement("read the newest rows", async |session| {
                let query = session.sql(NEWEST).bind(i64::from(limit));
                let query = query.bind(i64::from(body_bytes_max));
                let rows = query.fetch_all(session.conn()).await?;
                rows.iter().map(row).collect()
            })
            .await
    }

    async fn pending_beside(&self, in_hand: &[i64], limit: u32) -> Result<Vec<Row>, Fault> {
        if self.shard.of != Split::Whole {
            let beside = u32::try_from(in_hand.len()).unwrap_or(u32::MAX);
            let mut rows = self.pending(limit.saturating_add(beside)).await?;
            rows.retain(|row| in_hand.binary_search(&row.seq).is_err());
            rows.truncate(limit as usize);
            return Ok(rows);
        }
        self.postgres
            .statement("read rows that wait", async |session| {
                let query = session.sql(PENDING_BESIDE).bind(i64::from(limit));
                let rows = query.bind(in_hand).fetch_all(session.conn()).await?;
                rows.iter().map(row).collect()
            })
            .await
    }

    async fn mark_published(&self, lease: Lease, rows: &[PublishedRow]) -> Result<bool, Fault> {
        // One stream, as a rule. A crash between two: the rows of the second go out again,
        // under the same message ids, as all that is published and not marked.
        let mut streams: BTreeMap<Place<'_>, BTreeMap<i64, i64>> = BTreeMap::new();
        for row in rows {
            let place = (row.stored.stream.as_str(), row.stream_created_ns);
            let position = row.stored.sequence.cast_signed();
            streams.entry(place).or_default().insert(row.seq, position);
        }
        for (place, rows) in streams {
            if !self.mark_of(lease, place, rows).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn come_due(&self, lease: Lease, limit: u32) -> Result<Option<Due>, Fault> {
        self.postgres
            .statement("look for rows that are due", async |session| {
                let query = session.sql(COME_DUE).bind(lease.token);
                let row = query
                    .bind(i64::from(limit))
                    .bind(&self.lease)
                    .fetch_one(session.conn())
                    .await?;
                let (held, came): (bool, i64) = (row.try_get("held")?, row.try_get("came")?);
                let next: Option<i64> = row.try_get("next_ms")?;
                let waited: bool = row.try_get("waits")?;
                Ok(held.then(|| Due {
                    came: came.max(0).cast_unsigned(),
                    waits: waited || came > 0,
                    next: next.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())),
                }))
            })
            .await
    }

    async fn forget_lost(
        &self,
        lease: Lease,
        stream: &StreamState,
        limit: u32,
    ) -> Result<Option<u64>, Fault> {
        let end = i64::try_from(stream.last_seq).unwrap_or(i64::MAX);
        self.postgres
            .call("look for rows that the stream has lost", async |session| {
                session.sql(BY_POSITION).execute(session.conn()).await?;
                let query = session.sql(FORGET_LOST).bind(lease.token);
                let query = query.bind(stream.created_ns).bind(end);
                let query = query.bind(i64::from(limit)).bind(&self.lease);
                let row = query.fetch_one(session.conn()).await?;
                let rows: i64 = row.try_get("rows")?;
                let held: bool = row.try_get("held")?;
                Ok(held.then(|| rows.max(0).cast_unsigned()))
            })
            .await
    }

    async fn set_aside(&self, lease: Lease, seq: i64, reason: &str) -> Result<bool, Fault> {
        let reason = fit(reason, LAST_ERROR_CHARS_MAX);
        self.postgres
            .statement("set a row aside", async |session| {
                let query = session
                    .sql(SET_ASIDE)
                    .bind(lease.token)
                    .bind(seq)
                    .bind(&reason)
                    .bind(&self.lease);
                query.fetch_one(session.conn()).await?.try_get(0)
            })
            .await
    }

    async fn clean_up(&self, retention: Duration, limit: u32) -> Result<u64, Fault> {
        self.postgres
            .statement("delete old published rows", async |session| {
                let query = session
                    .sql(CLEAN_UP)
                    .bind(millis(retention))
                    .bind(i64::from(limit));
                Ok(query.execute(session.conn()).await?.rows_affected())
            })
            .await
    }

    async fn status(&self) -> Result<OutboxStatus, Fault> {
        self.postgres
            .statement("count rows", async |session| {
                let row = session.sql(STATUS).fetch_one(session.conn()).await?;
                let count = |column: &str| {
                    Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.max(0).cast_unsigned())
                };
                Ok(OutboxStatus {
                    pending: count("waiting")? + count("delayed")?,
                    delayed: count("delayed")?,
                    oldest_pending_ms: row
                        .try_get::<Option<i64>, _>("oldest_ms")?
                        .map_or(0, |age| age.max(0).cast_unsigned()),
                    published: count("published")?,
                    failed: count("failed")?,
                })
            })
            .await
    }
}

/// A span for the database: what does not fit in 64 bits is for ever.
pub(super) fn millis(span: Duration) -> i64 {
    // 1,000 years: a timestamp minus this is still one.
    const FOREVER_MS: i64 = 31_556_952_000_000;
    i64::try_from(span.as_millis()).map_or(FOREVER_MS, |ms| ms.min(FOREVER_MS))
}

fn row(row: &PgRow) -> Result<Row, sqlx::Error> {
    let body: String = row.try_get("body")?;
    Ok(Row {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        event_name: row.try_get("event_name")?,
        event_version: row.try_get("event_version")?,
        correlation_id: row.try_get("correlation_id")?,
        tenant_id: row.try_get("tenant_id")?,
        ordering_key: row.try_get("ordering_key")?,
        traceparent: row.try_get("traceparent")?,
        tracestate: row.try_get("tracestate")?,
        body: body.into(),
    })
}

//! Transactions that have written to the outbox and are not over. Their rows cannot be
//! seen, and have a `seq` already.
//!
//! An INSERT locks the table for its kind before it takes a `seq`, and keeps the lock
//! until its rows can be seen: who has no lock has no row to come. So a transaction
//! that writes elsewhere only, however long it is, is not found here; one that updates
//! or deletes rows of the outbox is. Asks for no right and takes no lock.

use qx_events::Fault;
use qx_events::ports::{OpenWriter, Writer, Writers};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;

/// One line for each such transaction. Read while the statement runs, whatever the
/// moment of which it sees the rows.
macro_rules! open {
    () => {
        "locks AS MATERIALIZED (
        SELECT locktype, virtualtransaction, pid, transactionid
        FROM pg_locks
        WHERE granted
          AND ((locktype = 'relation' AND mode = 'RowExclusiveLock'
                AND relation = 'qx_outbox_events'::regclass
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
               OR (locktype = 'transactionid' AND mode = 'ExclusiveLock'))
    ), open AS (
        SELECT virtualtransaction AS name, max(pid) AS pid,
               min(transactionid::text::bigint) AS number
        FROM locks GROUP BY virtualtransaction HAVING bool_or(locktype = 'relation')
    )"
    };
}

/// `newest` is from before the locks: that is what `Writers` asks for.
const WRITERS: &str = concat!(
    "WITH ",
    open!(),
    "
    SELECT newest, name, pid, number
    FROM (SELECT (SELECT seq FROM qx_outbox_events
                  WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL
                  ORDER BY seq DESC LIMIT 1) AS newest) AS waits
    LEFT JOIN open ON true"
);

/// Age and state are shown to members of `pg_read_all_stats`, and of one's own
/// sessions.
const OLDEST_WRITER: &str = concat!(
    "WITH ",
    open!(),
    "
    SELECT open.pid,
           (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint
               AS open_ms,
           coalesce('prepared transaction ' || p.gid,
                    concat_ws(', ', 'user ' || a.usename, nullif(a.application_name, ''), a.state),
                    '') AS who
    FROM open
    LEFT JOIN pg_stat_activity AS a ON a.pid = open.pid
    LEFT JOIN pg_prepared_xacts AS p
           ON open.pid IS NULL AND p.transaction::text::bigint = open.number
    ORDER BY coalesce(a.xact_start, p.prepared) ASC NULLS LAST, age(a.backend_xid) DESC NULLS LAST
    LIMIT 1"
);

impl Postgres {
    pub(super) async fn open_writers(&self) -> Result<Writers, Fault> {
        self.statement("look for transactions that write rows", async |session| {
            let query = session.sql(WRITERS);
            let rows = query.fetch_all(session.conn()).await?;
            let newest = rows.first().map(|row| row.try_get("newest")).transpose()?;
            let open = rows.iter().filter_map(|row| writer(row).transpose());
            Ok(Writers {
                newest: newest.flatten(),
                open: open.collect::<Result<_, _>>()?,
            })
        })
        .await
    }

    pub(super) async fn open_for_longest(&self) -> Result<Option<OpenWriter>, Fault> {
        self.statement("look for the oldest writing transaction", async |session| {
            let query = session.sql(OLDEST_WRITER);
            let row = query.fetch_optional(session.conn()).await?;
            row.as_ref().map(open_writer).transpose()
        })
        .await
    }
}

/// `None`: the line that there is when nobody writes.
fn writer(row: &PgRow) -> Result<Option<Writer>, sqlx::Error> {
    let Some(name) = row.try_get("name")? else {
        return Ok(None);
    };
    Ok(Some(Writer {
        name,
        number: row.try_get("number")?,
        pid: row.try_get("pid")?,
    }))
}

fn open_writer(row: &PgRow) -> Result<OpenWriter, sqlx::Error> {
    let open_ms: Option<i64> = row.try_get("open_ms")?;
    Ok(OpenWriter {
        pid: row.try_get("pid")?,
        open_ms: open_ms.map(|ms| ms.max(0).cast_unsigned()),
        who: row.try_get("who")?,
    })
}

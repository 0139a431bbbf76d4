//! A group that is settled straight away: one statement, one way to the server and back,
//! without a look at what is there. The server finds out whether everything is as the
//! calls saw it, and writes nothing if it is not (`qx_settle` in the migrations).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qx_events::StateSeen;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use super::ledger::{columns, marks};
use super::{Session, locks};
use crate::presumed::{Odds, Presumed};
use crate::producer;
use crate::settlement::StateKey;

const SETTLE: &str = "
    SELECT qx_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
        $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35,
        $36, $37, $38, $39, $40)";

type Statement<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// Whether it is worth a try.
#[derive(Debug, Clone, Default)]
pub(super) struct Luck(Arc<Mutex<Odds>>);

impl Luck {
    fn odds(&self) -> MutexGuard<'_, Odds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tries(&self) -> bool {
        self.odds().tries()
    }

    pub(super) fn learn(&self, was_right: bool) {
        self.odds().learn(was_right);
    }
}

/// Commits what was planned. `false`: something is not as it was read, and nothing is
/// written.
pub(super) async fn settle(
    session: &mut Session<'_>,
    presumed: &Presumed<'_>,
) -> Result<bool, sqlx::Error> {
    let plan = &presumed.plan;
    let recorded = producer::Recorded::all(plan.emitted.iter().copied());
    let recorded = recorded.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let query = session.sql(SETTLE);
    let names: Vec<&str> = presumed.leases.keys().copied().collect();
    let tokens: Vec<i64> = presumed.leases.values().copied().collect();
    let query = query.bind(names).bind(tokens);
    let query = bind_marks(query, presumed);
    let query = bind_keys(query, presumed);
    let query = producer::Columns::of(recorded).bind(query);
    let (components, events) = marks(&plan.forgotten);
    let query = query.bind(&*plan.replayed).bind(components).bind(events);
    let settled = bind_sizes(query, presumed)
        .fetch_one(session.conn())
        .await?;
    sqlx::Row::try_get(&settled, 0)
}

fn bind_marks<'q>(query: Statement<'q>, presumed: &Presumed<'q>) -> Statement<'q> {
    let components: Vec<&str> = presumed.marks.keys().map(|mark| mark.component).collect();
    let events: Vec<Uuid> = presumed.marks.keys().map(|mark| mark.event_id).collect();
    let digests: Vec<&[u8]> = presumed.marks.values().copied().collect();
    query.bind(components).bind(events).bind(digests)
}

fn bind_keys<'q>(query: Statement<'q>, presumed: &Presumed<'q>) -> Statement<'q> {
    let writes = &presumed.plan.writes;
    let written = |key: &StateKey<'q>| writes.get(key).copied();
    let absent = |(key, seen): (&StateKey<'q>, &Option<StateSeen>)| seen.is_none().then_some(*key);
    let absent: Vec<StateKey<'q>> = presumed.keys.iter().filter_map(absent).collect();
    let query = query.bind(locks::CLASS).bind(locks::buckets(&absent));

    let there = |(key, seen): (&StateKey<'q>, &Option<StateSeen>)| Some((*key, (*seen)?.version));
    let (there, versions): (Vec<StateKey<'q>>, Vec<i64>) =
        presumed.keys.iter().filter_map(there).unzip();
    let (components, tenants, names) = columns(&there);
    let query = query.bind(components).bind(tenants).bind(names);
    let is_written: Vec<bool> = there.iter().map(|key| written(key).is_some()).collect();
    let values: Vec<Option<&str>> = there.iter().map(|key| written(key).flatten()).collect();
    let keys_first = values.iter().any(Option::is_none);
    let query = query.bind(versions).bind(is_written).bind(values);
    let query = query.bind(keys_first);

    let (components, tenants, names) = columns(&absent);
    let values: Vec<Option<&str>> = absent.iter().map(|key| written(key).flatten()).collect();
    let query = query.bind(components).bind(tenants).bind(names);
    query.bind(values)
}

fn bind_sizes<'q>(query: Statement<'q>, presumed: &Presumed<'q>) -> Statement<'q> {
    let (mut names, mut keys, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut keys_most, mut bytes_most) = (Vec::new(), Vec::new());
    for (name, growth) in presumed.plan.counts() {
        let most = presumed.plan.most(name);
        names.push(name);
        keys.push(growth.keys);
        bytes.push(growth.bytes);
        keys_most.push(number(most.keys));
        bytes_most.push(number(most.bytes));
    }
    let query = query.bind(names).bind(keys).bind(bytes);
    query.bind(keys_most).bind(bytes_most)
}

/// As the database counts.
fn number(bound: u64) -> i64 {
    i64::try_from(bound).unwrap_or(i64::MAX)
}

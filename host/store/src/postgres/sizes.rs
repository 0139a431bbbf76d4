//! How much state each component has, on PostgreSQL: one row, changed by every commit
//! that makes it more or less, and by none that does not.
//!
//! The row is changed at the end of a transaction, so that another group of the same
//! component waits for its commit only, and not for its work. A group that turns out to
//! be too much is rolled back and made again with the size known from the start; so are,
//! from the start, the groups of a component that was found full.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qx_events::ports::{Settled, Settlement};
use qx_events::{ComponentName, Fault, StateGrowth, StateSize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Patience, Postgres, Session};
use crate::settlement::{Plan, Recount};

/// One row after the other, in the order of the array, which is sorted. With nothing to
/// add it locks the row, which then is there.
const ADD: &str = "
    INSERT INTO qx_state_sizes AS own (component, keys, bytes)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
    ON CONFLICT (component)
    DO UPDATE SET keys = own.keys + excluded.keys, bytes = own.bytes + excluded.bytes
    RETURNING component, keys, bytes";

/// Everybody who writes state waits, and is waited for.
const STILL: &str = "LOCK TABLE qx_state IN SHARE ROW EXCLUSIVE MODE";

const COUNT: &str = "
    SELECT coalesce(s.component, c.component), coalesce(s.keys, 0), coalesce(s.bytes, 0),
           coalesce(c.keys, 0), coalesce(c.bytes, 0)
    FROM (SELECT component, count(*) AS keys,
                 sum(octet_length(key)::bigint + octet_length(value))::bigint AS bytes
          FROM qx_state GROUP BY component) AS s
    FULL JOIN qx_state_sizes AS c ON c.component = s.component
    ORDER BY 1";

/// Components that were found to have all that they may have. A hint: without it a group
/// is made twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Tight(Arc<Mutex<BTreeSet<String>>>);

impl Tight {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of a group.
    pub(super) fn of<'g>(&self, group: &'g [Settlement]) -> BTreeSet<&'g str> {
        let names = self.names();
        if names.is_empty() {
            return BTreeSet::new();
        }
        let all = group.iter().map(|one| one.component.as_str());
        all.filter(|name| names.contains(*name)).collect()
    }

    /// Whoever was refused is full; whoever was not, and was in the group, is no longer.
    pub(super) fn learn(&self, group: &[Settlement], answers: &[Settled]) {
        let is_full = |answer: &Settled| matches!(answer, Settled::Overfull(_));
        let mut names = self.names();
        if names.is_empty() && !answers.iter().any(is_full) {
            return;
        }
        let each = || group.iter().zip(answers);
        for (one, _) in each() {
            names.remove(one.component.as_str());
        }
        for (one, _) in each().filter(|(_, answer)| is_full(answer)) {
            names.insert(one.component.to_string());
        }
    }
}

/// Ends a transaction without a commit.
pub(super) fn overfull() -> sqlx::Error {
    sqlx::Error::Protocol("a component would have more state than it may".to_owned())
}

/// Locks the sizes of these components to the end of the transaction.
pub(super) async fn lock(
    session: &mut Session<'_>,
    components: &BTreeSet<&str>,
) -> Result<HashMap<String, StateSize>, sqlx::Error> {
    let nothing = StateGrowth::default();
    let rows = change(session, components.iter().map(|name| (*name, nothing)));
    let sizes = rows.await?.into_iter();
    Ok(sizes.collect())
}

/// Adds what a group changes. Returns the components that have too much by that, of
/// those whose size was not known when the group was planned.
pub(super) async fn add<'g>(
    session: &mut Session<'_>,
    plan: &Plan<'g>,
    counted: &BTreeSet<&str>,
) -> Result<BTreeSet<&'g str>, sqlx::Error> {
    let sizes = change(session, plan.counts()).await?;
    let over = |(name, size): (String, StateSize)| {
        let too_much = !counted.contains(name.as_str()) && plan.is_over(&name, size);
        let own = plan.grown.get_key_value(name.as_str());
        own.filter(|_| too_much).map(|(name, _)| *name)
    };
    Ok(sizes.into_iter().filter_map(over).collect())
}

/// All of them.
pub(super) async fn all(
    session: &mut Session<'_>,
) -> Result<Vec<(ComponentName, StateSize)>, sqlx::Error> {
    let query = session.sql("SELECT component, keys, bytes FROM qx_state_sizes");
    let rows = query.fetch_all(session.conn()).await?;
    let mut sizes = Vec::with_capacity(rows.len());
    for row in &rows {
        let (name, size) = read(row)?;
        sizes.extend(ComponentName::parse(&name).ok().map(|name| (name, size)));
    }
    Ok(sizes)
}

impl Postgres {
    pub(crate) async fn count_state(&self) -> Result<Vec<Recount>, Fault> {
        let doing = "count the state";
        let count = self.patient_call(Patience::Change, doing, async |session| {
            session.sql(STILL).execute(session.conn()).await?;
            let rows = session.sql(COUNT).fetch_all(session.conn()).await?;
            let mut counted = Vec::with_capacity(rows.len());
            let mut missing = Vec::new();
            for row in &rows {
                let component: String = row.try_get(0)?;
                let number = |column| row.try_get::<i64, _>(column);
                let (keys, bytes) = (number(1)?, number(2)?);
                let before = (number(3)?, number(4)?);
                missing.push((component.clone(), keys - before.0, bytes - before.1));
                counted.push(Recount {
                    component,
                    before: size(before.0, before.1),
                    now: size(keys, bytes),
                });
            }
            let missing = missing.iter().map(|(name, keys, bytes)| {
                let (keys, bytes) = (*keys, *bytes);
                (name.as_str(), StateGrowth { keys, bytes })
            });
            change(session, missing.filter(|(_, lacks)| !lacks.is_none())).await?;
            Ok(counted)
        });
        count.await
    }
}

async fn change(
    session: &mut Session<'_>,
    changes: impl Iterator<Item = (&str, StateGrowth)>,
) -> Result<Vec<(String, StateSize)>, sqlx::Error> {
    let (mut names, mut keys, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for (name, growth) in changes {
        names.push(name);
        keys.push(growth.keys);
        bytes.push(growth.bytes);
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let query = session.sql(ADD).bind(&names).bind(&keys).bind(&bytes);
    let rows = query.fetch_all(session.conn()).await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<(String, StateSize), sqlx::Error> {
    Ok((row.try_get(0)?, size(row.try_get(1)?, row.try_get(2)?)))
}

/// Below nothing only when somebody else has changed the state, or the count.
fn size(keys: i64, bytes: i64) -> StateSize {
    StateSize {
        keys: keys.max(0).unsigned_abs(),
        bytes: bytes.max(0).unsigned_abs(),
    }
}

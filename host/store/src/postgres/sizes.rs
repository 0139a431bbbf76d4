//! How much state each component has, on PostgreSQL: one row, changed by every commit
//! that makes it more or less, and by none that does not.
//!
//! The row is changed at the end of a transaction, so that another group of the same
//! component waits for its commit only, and not for its work. A group that turns out to
//! be too much is rolled back and made again with a look at the sizes first; the groups of
//! a component that was found full begin with it. Rows are locked in the order of their
//! components, all that a group needs at one place of it: two groups do not deadlock.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qx_events::ports::{Settled, Settlement};
use qx_events::{ComponentName, Fault, StateGrowth, StateSize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Patience, Postgres, Session};
use crate::settlement::{Plan, Recount, size};

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

/// When a group looks at the sizes of its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At the end, when it adds to them: nobody is too much, most likely.
    Last,
    /// Before it is planned, so that who is too much is left out. No other group of these
    /// components is written meanwhile.
    First,
}

/// Components that were found to have all that they may have. A hint: without it a group
/// is made twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Tight(Arc<Mutex<BTreeSet<String>>>);

impl Tight {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How to begin with a group.
    pub(super) fn look(&self, group: &[Settlement]) -> Look {
        let names = self.names();
        let is_full = |one: &Settlement| names.contains(one.component.as_str());
        if names.is_empty() || !group.iter().any(is_full) {
            Look::Last
        } else {
            Look::First
        }
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

/// Adds what a group changes; returns what there is by that.
pub(super) async fn add(
    session: &mut Session<'_>,
    plan: &Plan<'_>,
) -> Result<Vec<(String, StateSize)>, sqlx::Error> {
    change(session, plan.counts()).await
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
                let (now, before) = ((number(1)?, number(2)?), (number(3)?, number(4)?));
                let (recount, lacks) = Recount::of(component, now, before);
                missing.push(lacks);
                counted.push(recount);
            }
            let names = counted.iter().map(|recount| recount.component.as_str());
            let missing = names.zip(missing).filter(|(_, lacks)| !lacks.is_none());
            change(session, missing).await?;
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
    Ok((row.try_get(0)?, size((row.try_get(1)?, row.try_get(2)?))))
}

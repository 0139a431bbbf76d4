//! The ledger on PostgreSQL: a group of settlements in one transaction. As long as what
//! the calls saw is still so that is one statement (see `straight.rs`). Else it is a look
//! at what is there, and then a statement for each kind of change and not for each
//! settlement.
//!
//! Locks are taken in one order by everybody (leases, marks, buckets of absent keys,
//! rows of present keys, sizes, each of them sorted), so two groups do not deadlock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use qx_events::ports::{Ledger, Note, Settled, Settlement, StateAt, StateValue};
use qx_events::{ComponentName, Fault, Known, StateSize};
use sqlx::Row as _;
use uuid::Uuid;

use super::sizes::{self, Look};
use super::{Postgres, Session, attempts, leases, locks, straight};
use crate::attempts::handled;
use crate::inbox;
use crate::presumed::presume;
use crate::producer;
use crate::settlement::{Found, Held, Mark, Plan, Present, StateKey, Touched};
use crate::settlement::{needed, plan, touched, writers};

const READ_STATE: &str =
    "SELECT value, version FROM qx_state WHERE component = $1 AND tenant_id = $2 AND key = $3";

/// One look-up for each, by the primary key.
const READ_STATES: &str = "
    SELECT t.position, s.value, s.version
    FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS t (component, tenant_id, key, position)
    CROSS JOIN LATERAL (
        SELECT value, version FROM qx_state
        WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key OFFSET 0
    ) AS s";

/// Waits for another transaction that sets the same mark, and then finds it.
const MARK: &str = "
    INSERT INTO qx_inbox (component, event_id, digest)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::bytea[])
    ON CONFLICT DO NOTHING
    RETURNING component, event_id";

/// By way of their places, like [`DELETE`]: a join could be planned for a table
/// that was still small. `OFFSET 0` keeps it one look-up for each.
const UNMARK: &str = "
    DELETE FROM qx_inbox WHERE ctid = ANY(ARRAY(
        SELECT i.place FROM unnest($1::text[], $2::uuid[]) AS t (component, event_id)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM qx_inbox
            WHERE component = t.component AND event_id = t.event_id OFFSET 0
        ) AS i))";

const LOCK_ABSENT: &str =
    "SELECT count(pg_advisory_xact_lock($1, bucket)) FROM unnest($2::int[]) AS t (bucket)";

/// One look-up for each key, in the order of the array, which is sorted.
const LOCK_PRESENT: &str = "
    SELECT t.position, s.version, octet_length(s.value)
    FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS t (component, tenant_id, key, position)
    CROSS JOIN LATERAL (
        SELECT version, value FROM qx_state
        WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key
        FOR UPDATE
    ) AS s";

const SET: &str = "
    INSERT INTO qx_state (component, tenant_id, key, value, version)
    SELECT component, tenant_id, key, value, nextval('qx_state_versions')
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) AS t (component, tenant_id, key, value)
    ON CONFLICT (component, tenant_id, key)
    DO UPDATE SET value = excluded.value, version = excluded.version";

const DELETE: &str = "
    DELETE FROM qx_state WHERE ctid = ANY(ARRAY(
        SELECT s.place FROM unnest($1::text[], $2::uuid[], $3::text[]) AS t (component, tenant_id, key)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM qx_state
            WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key OFFSET 0
        ) AS s))";

#[async_trait]
impl Ledger for Postgres {
    async fn known(
        &self,
        component: &ComponentName,
        events: &[Uuid],
    ) -> Result<HashMap<Uuid, Known>, Fault> {
        let known = self.statement("read inbox marks", async |session| {
            attempts::known(session, component, events).await
        });
        let known = known.await?;
        let handled: Vec<Uuid> = handled(&known).collect();
        if !handled.is_empty() {
            self.statement("renew inbox marks", async |session| {
                let renew = session.sql(inbox::RENEW_POSTGRES);
                let renew = renew.bind(component.as_str()).bind(handled);
                renew.execute(session.conn()).await
            })
            .await?;
        }
        Ok(known)
    }

    async fn note(&self, notes: &[Note]) -> Result<(), Fault> {
        if notes.is_empty() {
            return Ok(());
        }
        self.statement("note attempts", async |session| {
            attempts::note(session, notes).await
        })
        .await
    }

    async fn read_state(
        &self,
        component: &ComponentName,
        tenant_id: Option<Uuid>,
        key: &str,
    ) -> Result<Option<StateValue>, Fault> {
        self.statement("read state", async |session| {
            let query = session.sql(READ_STATE).bind(component.as_str());
            let query = query.bind(tenant_id.unwrap_or(Uuid::nil())).bind(key);
            let row = query.fetch_optional(session.conn()).await?;
            row.map(|row| {
                Ok(StateValue {
                    value: row.try_get(0)?,
                    version: row.try_get(1)?,
                })
            })
            .transpose()
        })
        .await
    }

    async fn read_states(&self, all: &[StateAt]) -> Result<Vec<Option<StateValue>>, Fault> {
        let components: Vec<&str> = all.iter().map(|at| at.component.as_str()).collect();
        let tenant = |at: &StateAt| at.tenant_id.unwrap_or(Uuid::nil());
        let tenants: Vec<Uuid> = all.iter().map(tenant).collect();
        let keys: Vec<&str> = all.iter().map(|at| at.key.as_str()).collect();
        self.statement("read state", async |session| {
            let query = session.sql(READ_STATES).bind(&components);
            let query = query.bind(&tenants).bind(&keys);
            let rows = query.fetch_all(session.conn()).await?;
            let mut values = vec![None; all.len()];
            for row in &rows {
                let position: i64 = row.try_get(0)?;
                let index = usize::try_from(position - 1).unwrap_or(usize::MAX);
                if let Some(value) = values.get_mut(index) {
                    *value = Some(StateValue {
                        value: row.try_get(1)?,
                        version: row.try_get(2)?,
                    });
                }
            }
            Ok(values)
        })
        .await
    }

    async fn settle(&self, group: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let mut look = self.tight.look(group);
        if look == Look::Last
            && let Some(presumed) = self.luck.tries().then(|| presume(group)).flatten()
        {
            let settled = self.statement("settle", async |session| {
                straight::settle(session, &presumed).await
            });
            let was_right = settled.await?;
            self.luck.learn(was_right);
            if was_right {
                return Ok(presumed.plan.answers);
            }
        }
        loop {
            let mut overfull = false;
            let settled = self.call("settle", async |session| {
                match settle_within(session, group, look).await? {
                    Grouped::Settled(answers) => Ok(answers),
                    Grouped::Overfull => {
                        overfull = true;
                        Err(sizes::overfull())
                    }
                }
            });
            let settled = settled.await;
            if !overfull {
                self.tight
                    .learn(group, settled.as_deref().unwrap_or_default());
                return settled;
            }
            // With the sizes known from the start it is known who is too much.
            look = Look::First;
        }
    }

    async fn state_sizes(&self) -> Result<Vec<(ComponentName, StateSize)>, Fault> {
        self.statement("read the sizes of state", async |session| {
            sizes::all(session).await
        })
        .await
    }

    /// While one waits for the disk the next is written. Who touches the same keys, or
    /// sets the same mark, waits for the other.
    fn commits_at_once(&self) -> usize {
        2
    }
}

/// What a transaction came to, before its commit.
pub(super) enum Grouped {
    /// To be committed.
    Settled(Vec<Settled>),
    /// To be rolled back, and made again with a look at the sizes first.
    Overfull,
}

/// Settles a group within a transaction that is open, and commits nothing yet.
pub(super) async fn settle_within(
    session: &mut Session<'_>,
    group: &[Settlement],
    look: Look,
) -> Result<Grouped, sqlx::Error> {
    let held = leases::lock(session, needed(group)).await?;
    let fresh = set_marks(session, group, &held).await?;
    let found = Found {
        current: lock(session, &touched(group, &fresh)).await?,
        sizes: match look {
            Look::First => sizes::lock(session, &writers(group)).await?,
            Look::Last => HashMap::new(),
        },
        held,
    };
    let plan = plan(group, fresh, &found);
    write(session, &plan).await?;
    let sizes = sizes::add(session, &plan).await?;
    let over = |(name, size): &(String, _)| plan.is_over(name, *size);
    if look == Look::Last && sizes.iter().any(over) {
        return Ok(Grouped::Overfull);
    }
    Ok(Grouped::Settled(plan.answers))
}

/// Sets the marks, and returns those that were not there.
async fn set_marks<'g>(
    session: &mut Session<'_>,
    group: &'g [Settlement],
    held: &Held,
) -> Result<HashSet<Mark<'g>>, sqlx::Error> {
    let mut wanted = BTreeMap::new();
    for settlement in group.iter().filter(|one| held.covers(one)) {
        wanted
            .entry(Mark::of(settlement))
            .or_insert(settlement.digest.bytes().as_slice());
    }
    let components: Vec<&str> = wanted.keys().map(|mark| mark.component).collect();
    let events: Vec<Uuid> = wanted.keys().map(|mark| mark.event_id).collect();
    let digests: Vec<&[u8]> = wanted.values().copied().collect();
    let query = session
        .sql(MARK)
        .bind(&components)
        .bind(&events)
        .bind(&digests);
    let rows = query.fetch_all(session.conn()).await?;
    let mut set = HashSet::with_capacity(rows.len());
    for row in &rows {
        set.insert(Mark {
            component: row.try_get(0)?,
            event_id: row.try_get(1)?,
        });
    }
    // Those of the group: the rows do not live as long.
    Ok(wanted
        .into_keys()
        .filter(|mark| set.contains(mark))
        .collect())
}

/// Locks the keys to the end of the transaction; returns what they have.
async fn lock<'g>(
    session: &mut Session<'_>,
    touched: &Touched<'g>,
) -> Result<HashMap<StateKey<'g>, Present>, sqlx::Error> {
    let buckets = locks::buckets(&touched.perhaps_absent);
    if !buckets.is_empty() {
        let query = session.sql(LOCK_ABSENT).bind(locks::CLASS).bind(&buckets);
        query.execute(session.conn()).await?;
    }
    if touched.keys.is_empty() {
        return Ok(HashMap::new());
    }
    // A statement of its own, after the buckets: it sees what was committed
    // while this one waited for them.
    let keys: Vec<StateKey<'g>> = touched.keys.iter().copied().collect();
    let (components, tenants, names) = columns(&keys);
    let query = session
        .sql(LOCK_PRESENT)
        .bind(&components)
        .bind(&tenants)
        .bind(&names);
    let rows = query.fetch_all(session.conn()).await?;
    let mut current = HashMap::with_capacity(rows.len());
    for row in &rows {
        let position: i64 = row.try_get(0)?;
        let index = usize::try_from(position - 1).unwrap_or(usize::MAX);
        if let Some(key) = keys.get(index) {
            let present = Present {
                version: row.try_get(1)?,
                bytes: row.try_get::<i32, _>(2)?.into(),
            };
            current.insert(*key, present);
        }
    }
    Ok(current)
}

async fn write(session: &mut Session<'_>, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    if !plan.withdrawn.is_empty() {
        let (components, events) = marks(&plan.withdrawn);
        let query = session.sql(UNMARK).bind(&components).bind(&events);
        query.execute(session.conn()).await?;
    }
    let (set, deleted) = plan.split_writes();
    if !set.is_empty() {
        let (keys, values): (Vec<StateKey<'_>>, Vec<&str>) = set.into_iter().unzip();
        let (components, tenants, names) = columns(&keys);
        let query = session
            .sql(SET)
            .bind(&components)
            .bind(&tenants)
            .bind(&names);
        query.bind(&values).execute(session.conn()).await?;
    }
    if !deleted.is_empty() {
        let (components, tenants, names) = columns(&deleted);
        let query = session
            .sql(DELETE)
            .bind(&components)
            .bind(&tenants)
            .bind(&names);
        query.execute(session.conn()).await?;
    }
    if !plan.emitted.is_empty() {
        let rows = producer::Recorded::all(plan.emitted.iter().copied());
        let rows = rows.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let query = producer::Columns::of(rows).bind(session.sql(producer::INSERT_POSTGRES));
        query.execute(session.conn()).await?;
    }
    if !plan.replayed.is_empty() {
        let query = session.sql("DELETE FROM qx_dead_letters WHERE id = ANY($1)");
        query.bind(&plan.replayed).execute(session.conn()).await?;
    }
    attempts::forget(session, &plan.forgotten).await?;
    Ok(())
}

pub(super) fn marks<'a>(marks: &BTreeSet<Mark<'a>>) -> (Vec<&'a str>, Vec<Uuid>) {
    marks
        .iter()
        .map(|mark| (mark.component, mark.event_id))
        .unzip()
}

pub(super) fn columns<'a>(keys: &[StateKey<'a>]) -> (Vec<&'a str>, Vec<Uuid>, Vec<&'a str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        columns.0.push(key.component);
        columns.1.push(key.tenant_id);
        columns.2.push(key.key);
    }
    columns
}

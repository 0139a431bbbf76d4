//! Which settlements of a group go through, and what they change together: plain
//! functions of values, the same for both databases.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use qx_events::NewEvent;
use qx_events::ports::{Fence, Settled, Settlement};
use uuid::Uuid;

/// One component has handled one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark<'a> {
    pub(crate) component: &'a str,
    pub(crate) event_id: Uuid,
}

impl<'a> Mark<'a> {
    pub(crate) fn of(settlement: &'a Settlement) -> Self {
        Self {
            component: settlement.component.as_str(),
            event_id: settlement.event_id,
        }
    }
}

/// A key of a component's state, for one tenant. Events without a tenant share
/// the nil UUID's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StateKey<'a> {
    pub(crate) component: &'a str,
    pub(crate) tenant_id: Uuid,
    pub(crate) key: &'a str,
}

impl<'a> StateKey<'a> {
    fn of(settlement: &'a Settlement, key: &'a str) -> Self {
        let tenant_id = settlement.tenant_id.unwrap_or(Uuid::nil());
        Self {
            component: settlement.component.as_str(),
            tenant_id,
            key,
        }
    }
}

/// The leases that somebody has, of those that were asked for, with their tokens.
#[derive(Debug, Default)]
pub(crate) struct Held(HashMap<String, i64>);

impl Held {
    pub(crate) fn insert(&mut self, name: String, token: i64) {
        self.0.insert(name, token);
    }

    /// Whether this token is the newest.
    pub(crate) fn has(&self, fence: &Fence) -> bool {
        self.0.get(&*fence.name) == Some(&fence.token)
    }

    /// Whether the settlement may be written.
    pub(crate) fn covers(&self, settlement: &Settlement) -> bool {
        settlement
            .fence
            .as_ref()
            .is_none_or(|fence| self.has(fence))
    }
}

/// The leases that a group needs, in the order in which they are locked.
pub(crate) fn needed(group: &[Settlement]) -> BTreeSet<&str> {
    let fences = group.iter().filter_map(|one| one.fence.as_ref());
    fences.map(|fence| &*fence.name).collect()
}

/// The keys that a group reads or writes, in the order in which they are locked.
#[derive(Debug, Default)]
pub(crate) struct Touched<'a> {
    /// All of them.
    pub(crate) keys: BTreeSet<StateKey<'a>>,
    /// Those that may have no row which could be locked.
    pub(crate) perhaps_absent: BTreeSet<StateKey<'a>>,
}

/// Collects what has to be locked and compared.
pub(crate) fn touched<'a>(group: &'a [Settlement], fresh: &HashSet<Mark<'a>>) -> Touched<'a> {
    let mut touched = Touched::default();
    for settlement in group.iter().filter(|one| fresh.contains(&Mark::of(one))) {
        let mut present = HashSet::new();
        for read in &settlement.effects.reads {
            let key = StateKey::of(settlement, &read.key);
            touched.keys.insert(key);
            if read.version.is_some() {
                present.insert(key);
            } else {
                touched.perhaps_absent.insert(key);
            }
        }
        for write in &settlement.effects.writes {
            let key = StateKey::of(settlement, &write.key);
            touched.keys.insert(key);
            if !present.contains(&key) {
                touched.perhaps_absent.insert(key);
            }
        }
    }
    touched
}

/// What is to be done for a group, once its keys are locked.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    /// One for each settlement.
    pub(crate) answers: Vec<Settled>,
    /// Marks that were set and must not stay.
    pub(crate) withdrawn: BTreeSet<Mark<'a>>,
    /// Last value of each key; `None` deletes.
    pub(crate) writes: BTreeMap<StateKey<'a>, Option<&'a str>>,
    /// In the order in which they leave.
    pub(crate) emitted: Vec<&'a NewEvent>,
    /// Dead letters that were handled at last.
    pub(crate) replayed: Vec<Uuid>,
    /// Events whose attempts need not be remembered any more.
    pub(crate) forgotten: BTreeSet<Mark<'a>>,
}

/// Goes through the group in order. `fresh`: the marks that were not there
/// before; `current`: the versions of the touched keys that exist; `held`: the leases.
pub(crate) fn plan<'a>(
    group: &'a [Settlement],
    mut fresh: HashSet<Mark<'a>>,
    current: &HashMap<StateKey<'a>, i64>,
    held: &Held,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for settlement in group {
        let mark = Mark::of(settlement);
        // Taken out: the same event a second time in this group is no longer
        // fresh, and shares the fate of the first.
        let answer = if !held.covers(settlement) {
            Settled::Fenced
        } else if !fresh.remove(&mark) {
            if plan.withdrawn.contains(&mark) {
                Settled::Conflict
            } else {
                Settled::Duplicate
            }
        } else if is_current(settlement, current, &plan.writes) {
            plan.accept(settlement);
            Settled::Committed
        } else {
            plan.withdrawn.insert(mark);
            Settled::Conflict
        };
        plan.answers.push(answer);
    }
    plan
}

/// Whether everything the call read is still so, within this group too.
fn is_current<'a>(
    settlement: &'a Settlement,
    current: &HashMap<StateKey<'a>, i64>,
    written: &BTreeMap<StateKey<'a>, Option<&'a str>>,
) -> bool {
    settlement.effects.reads.iter().all(|read| {
        let key = StateKey::of(settlement, &read.key);
        !written.contains_key(&key) && current.get(&key).copied() == read.version
    })
}

impl<'a> Plan<'a> {
    fn accept(&mut self, settlement: &'a Settlement) {
        for write in &settlement.effects.writes {
            let key = StateKey::of(settlement, &write.key);
            self.writes.insert(key, write.value.as_deref());
        }
        self.emitted.extend(&settlement.effects.emitted);
        self.replayed.extend(settlement.replayed);
        if settlement.recorded {
            self.forgotten.insert(Mark::of(settlement));
        }
    }

    /// Keys with their new values, and keys that go.
    pub(crate) fn split_writes(&self) -> (Vec<(StateKey<'a>, &'a str)>, Vec<StateKey<'a>>) {
        let (mut set, mut deleted) = (Vec::new(), Vec::new());
        for (key, value) in &self.writes {
            match value {
                Some(value) => set.push((*key, *value)),
                None => deleted.push(*key),
            }
        }
        (set, deleted)
    }
}

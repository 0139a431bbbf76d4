//! Which settlements of a group go through, and what they change together: plain
//! functions of values, the same for both databases.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use qx_events::ports::{Fence, Settled, Settlement};
use qx_events::{NewEvent, Overfull, StateBounds, StateGrowth, StateSize};
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
    pub(crate) fn of(settlement: &'a Settlement, key: &'a str) -> Self {
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

/// The components that write something in a group, in the order in which their sizes
/// are locked.
pub(crate) fn writers(group: &[Settlement]) -> BTreeSet<&str> {
    let writing = group.iter().filter(|one| !one.effects.writes.is_empty());
    writing.map(|one| one.component.as_str()).collect()
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
            if read.seen.is_some() {
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

/// A key that has a value, as it was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) version: i64,
    /// Of its value.
    pub(crate) bytes: i64,
}

/// What the database has, for a group.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    /// Of the touched keys, those that have a value.
    pub(crate) current: HashMap<StateKey<'a>, Present>,
    /// The leases.
    pub(crate) held: Held,
    /// How much state a component has, where that is known and cannot change meanwhile.
    /// Of any other it shows when the group is written.
    pub(crate) sizes: HashMap<String, StateSize>,
}

/// The state of a component, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recount {
    /// Whose.
    pub component: String,
    /// What the commits had counted.
    pub before: StateSize,
    /// What there is.
    pub now: StateSize,
}

impl Recount {
    /// From the numbers of a row: what there is and what was counted, keys and bytes. With
    /// it what the count lacks.
    pub(crate) fn of(
        component: String,
        now: (i64, i64),
        before: (i64, i64),
    ) -> (Self, StateGrowth) {
        let lacks = StateGrowth {
            keys: now.0 - before.0,
            bytes: now.1 - before.1,
        };
        let recount = Self {
            component,
            before: size(before),
            now: size(now),
        };
        (recount, lacks)
    }
}

/// Keys and bytes of a row. Below nothing only when somebody else has changed the state,
/// or the count.
pub(crate) fn size((keys, bytes): (i64, i64)) -> StateSize {
    StateSize {
        keys: keys.max(0).unsigned_abs(),
        bytes: bytes.max(0).unsigned_abs(),
    }
}

/// By how much the state of a component grows with a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grown {
    pub(crate) growth: StateGrowth,
    /// The smallest bounds of those who took part.
    bounds: StateBounds,
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
    /// How the sizes of the components' states change.
    pub(crate) grown: BTreeMap<&'a str, Grown>,
}

/// Goes through the group in order. `fresh`: the marks that were not there
/// before.
pub(crate) fn plan<'a>(
    group: &'a [Settlement],
    mut fresh: HashSet<Mark<'a>>,
    found: &Found<'a>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for settlement in group {
        let mark = Mark::of(settlement);
        // Taken out: the same event a second time in this group is no longer
        // fresh, and shares the fate of the first.
        let answer = if !found.held.covers(settlement) {
            Settled::Fenced
        } else if !fresh.remove(&mark) {
            if plan.withdrawn.contains(&mark) {
                Settled::Conflict
            } else {
                Settled::Duplicate
            }
        } else if !is_current(settlement, &found.current, &plan.writes) {
            plan.withdrawn.insert(mark);
            Settled::Conflict
        } else if let Err(over) = plan.grow(settlement, found) {
            plan.withdrawn.insert(mark);
            Settled::Overfull(over)
        } else {
            plan.accept(settlement);
            Settled::Committed
        };
        plan.answers.push(answer);
    }
    plan
}

/// Whether everything the call read is still so, within this group too.
fn is_current<'a>(
    settlement: &'a Settlement,
    current: &HashMap<StateKey<'a>, Present>,
    written: &BTreeMap<StateKey<'a>, Option<&'a str>>,
) -> bool {
    settlement.effects.reads.iter().all(|read| {
        let key = StateKey::of(settlement, &read.key);
        !written.contains_key(&key)
            && current.get(&key).map(|present| present.version) == read.version()
    })
}

impl<'a> Plan<'a> {
    /// Counts what the settlement would add, unless that is more than there may be.
    fn grow(&mut self, settlement: &'a Settlement, found: &Found<'a>) -> Result<(), Overfull> {
        if settlement.effects.writes.is_empty() {
            return Ok(());
        }
        let own = self.growth(settlement, &found.current);
        let component = settlement.component.as_str();
        let so_far = self.grown.get(component).copied().unwrap_or(Grown {
            growth: StateGrowth::default(),
            bounds: settlement.bounds,
        });
        let growth = so_far.growth.and(own);
        if let Some(size) = found.sizes.get(component) {
            settlement.bounds.check(size.after(growth), own)?;
        }
        let bounds = so_far.bounds.least(settlement.bounds);
        self.grown.insert(component, Grown { growth, bounds });
        Ok(())
    }

    /// By how much the state grows with this settlement, after those before it.
    fn growth(
        &self,
        settlement: &'a Settlement,
        current: &HashMap<StateKey<'a>, Present>,
    ) -> StateGrowth {
        let mut growth = StateGrowth::default();
        for write in &settlement.effects.writes {
            let key = StateKey::of(settlement, &write.key);
            let before = match self.writes.get(&key) {
                Some(written) => written.map(bytes),
                None => current.get(&key).map(|present| present.bytes),
            };
            let after = write.value.as_deref().map(bytes);
            let whole = |value: Option<i64>| value.map_or(0, |value| value + bytes(key.key));
            growth = growth.and(StateGrowth {
                keys: i64::from(after.is_some()) - i64::from(before.is_some()),
                bytes: whole(after) - whole(before),
            });
        }
        growth
    }

    /// How the counts change: those that do.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'a str, StateGrowth)> {
        let all = self.grown.iter().map(|(name, grown)| (*name, grown.growth));
        all.filter(|(_, growth)| !growth.is_none())
    }

    /// How much state a component may have after this.
    pub(crate) fn most(&self, component: &str) -> StateBounds {
        let grown = self.grown.get(component);
        grown.map_or(StateBounds::NONE, |it| it.bounds.binding(it.growth))
    }

    /// Whether a component that has so much by now has grown past its bounds.
    pub(crate) fn is_over(&self, component: &str, size: StateSize) -> bool {
        let grown = self.grown.get(component);
        grown.is_some_and(|grown| grown.bounds.check(size, grown.growth).is_err())
    }

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

fn bytes(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

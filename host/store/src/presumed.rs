//! What a group of settlements comes to if everything is still as its calls saw it: the
//! usual case, and known without asking the database. A plain function of the group; the
//! database says afterwards whether it was so.
//!
//! What it calls a conflict within the group may be a duplicate besides: it is called again,
//! and the ledger says so then.

use std::collections::{BTreeMap, HashMap, HashSet};

use qx_events::StateSeen;
use qx_events::ports::{Settled, Settlement};

use crate::settlement::{Found, Held, Mark, Plan, Present, StateKey, plan};

/// A plan, and what it rests on.
#[derive(Debug)]
pub(crate) struct Presumed<'a> {
    pub(crate) plan: Plan<'a>,
    /// Marks that must not be there, with the digests that are set.
    pub(crate) marks: BTreeMap<Mark<'a>, &'a [u8]>,
    /// Leases that must be held, with their tokens.
    pub(crate) leases: BTreeMap<&'a str, i64>,
    /// Keys that must be as they were read.
    pub(crate) keys: BTreeMap<StateKey<'a>, Option<StateSeen>>,
}

/// Plans a group on what its calls read. `None` where that does not tell enough: a key is
/// written that nobody read, or a lease is named with two tokens.
pub(crate) fn presume(group: &[Settlement]) -> Option<Presumed<'_>> {
    let leases = leases(group)?;
    let seen = newest(group);
    let fresh: HashSet<Mark<'_>> = group.iter().map(Mark::of).collect();
    let is_read = |one: &Settlement| {
        let mut writes = one.effects.writes.iter();
        writes.all(|write| seen.contains_key(&StateKey::of(one, &write.key)))
    };
    if !group.iter().all(is_read) {
        return None;
    }
    let mut held = Held::default();
    for (name, token) in &leases {
        held.insert((*name).to_owned(), *token);
    }
    let found = Found {
        current: present(&seen),
        held,
        sizes: HashMap::new(),
    };
    let plan = plan(group, fresh, &found);
    let goes_through = |(_, answer): &(&Settlement, &Settled)| **answer == Settled::Committed;
    let mut marks = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (settlement, _) in group.iter().zip(&plan.answers).filter(goes_through) {
        marks.insert(Mark::of(settlement), settlement.digest.bytes().as_slice());
        let read = settlement.effects.reads.iter().map(|read| &read.key);
        let written = settlement.effects.writes.iter().map(|write| &write.key);
        for key in read.chain(written) {
            let key = StateKey::of(settlement, key);
            keys.insert(key, seen.get(&key).copied().flatten());
        }
    }
    // If nothing goes through there is nothing that the database could confirm.
    (!marks.is_empty()).then_some(Presumed {
        plan,
        marks,
        leases,
        keys,
    })
}

/// The leases that a group needs, if it is of one mind about their tokens.
fn leases(group: &[Settlement]) -> Option<BTreeMap<&str, i64>> {
    let mut leases = BTreeMap::new();
    for fence in group.iter().filter_map(|one| one.fence.as_ref()) {
        if *leases.entry(&*fence.name).or_insert(fence.token) != fence.token {
            return None;
        }
    }
    Some(leases)
}

/// What was read of each key; of several readings the one of the highest version, which
/// is the last. A value is taken to be newer than none.
fn newest(group: &[Settlement]) -> HashMap<StateKey<'_>, Option<StateSeen>> {
    let version = |seen: &Option<StateSeen>| seen.map(|seen| seen.version);
    let mut newest = HashMap::new();
    for settlement in group {
        for read in &settlement.effects.reads {
            let best = newest
                .entry(StateKey::of(settlement, &read.key))
                .or_insert(read.seen);
            if version(&read.seen) > version(best) {
                *best = read.seen;
            }
        }
    }
    newest
}

fn present<'a>(seen: &HashMap<StateKey<'a>, Option<StateSeen>>) -> HashMap<StateKey<'a>, Present> {
    let there = |(key, seen): (&StateKey<'a>, &Option<StateSeen>)| {
        let StateSeen { version, bytes } = (*seen)?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Some((*key, Present { version, bytes }))
    };
    seen.iter().filter_map(there).collect()
}

/// Whether the next group is tried on what was read. Where calls overtake each other it is
/// in vain again and again, and costs more than to look first.
#[derive(Debug, Default)]
pub(crate) struct Odds {
    /// Groups that look first.
    wait: u32,
    /// After the next failure so many.
    next: u32,
}

/// Most groups that look first before one is tried.
const WAIT_MAX: u32 = 32;

impl Odds {
    /// Whether to try this group.
    pub(crate) fn tries(&mut self) -> bool {
        let waits = self.wait > 0;
        self.wait = self.wait.saturating_sub(1);
        !waits
    }

    /// How a try ended.
    pub(crate) fn learn(&mut self, was_right: bool) {
        if was_right {
            *self = Self::default();
        } else {
            self.wait = self.next;
            self.next = self.next.saturating_mul(2).clamp(1, WAIT_MAX);
        }
    }
}

#[cfg(test)]
mod tests;

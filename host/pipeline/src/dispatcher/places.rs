//! Who may begin a call: the places of the process, and how components share them.
//!
//! Half of the places are lent to whoever asks; the other half is kept, in equal
//! parts, for each component in service. So a component always finds its own part,
//! however long the calls of others last: lent places can never use up what is kept.
//! What is lent goes to the component that has least.
//!
//! Plain values. Never: waits, wakes anybody, or looks at a clock.

use std::collections::{BTreeSet, HashMap, VecDeque};

use qx_events::ComponentName;

/// A call that wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Beside others. Takes so many places: more than one where its component may use
    /// more memory than belongs to a place.
    Beside(u32),
    /// With no other.
    Alone,
}

/// Which call, in the order in which they asked.
pub(super) type Ticket = u64;

/// What one component has and wants.
#[derive(Debug, Default)]
struct Share {
    has: u32,
    waiting: VecDeque<(Ticket, Want)>,
}

/// The places, who has them, and who waits.
#[derive(Debug)]
pub(super) struct Places {
    all: u32,
    lent_max: u32,
    /// Components that places are kept for.
    sharers: u32,
    shares: HashMap<ComponentName, Share>,
    taken: u32,
    /// A call runs that is to run alone.
    alone: bool,
    /// Calls that wait to run alone: what came after the first of them waits too.
    wants_alone: BTreeSet<Ticket>,
    next: Ticket,
}

impl Places {
    pub(super) fn new(all: u32) -> Self {
        Self {
            all: all.max(1),
            lent_max: all / 2,
            sharers: 1,
            shares: HashMap::new(),
            taken: 0,
            alone: false,
            wants_alone: BTreeSet::new(),
            next: 0,
        }
    }

    /// So many components are in service. It may be more than have places kept: see
    /// [`Places::own`].
    pub(super) const fn share_among(&mut self, sharers: u32) {
        self.sharers = sharers;
    }

    /// Places that every component finds for itself: its part of what is kept, and at
    /// least one. With more components in service than places are kept, this holds for
    /// as many of them as there are places kept.
    fn own(&self) -> u32 {
        let kept = self.all - self.lent_max;
        (kept / self.sharers.max(1)).max(1)
    }

    /// A call asks for its turn.
    pub(super) fn ask(&mut self, component: &ComponentName, want: Want) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let want = match want {
            // More than all that is lent it could never have.
            Want::Beside(places) => Want::Beside(places.clamp(1, self.lent_max.max(1))),
            Want::Alone => {
                self.wants_alone.insert(ticket);
                Want::Alone
            }
        };
        let share = self.shares.entry(component.clone()).or_default();
        share.waiting.push_back((ticket, want));
        ticket
    }

    /// A call that waits does so no longer; `false`: it has begun.
    pub(super) fn withdraw(&mut self, component: &ComponentName, ticket: Ticket) -> bool {
        let Some(share) = self.shares.get_mut(component) else {
            return false;
        };
        let before = share.waiting.len();
        share.waiting.retain(|(waiting, _)| *waiting != ticket);
        let was_waiting = share.waiting.len() < before;
        self.wants_alone.remove(&ticket);
        self.tidy(component);
        was_waiting
    }

    /// A call has ended that had begun.
    pub(super) fn leave(&mut self, component: &ComponentName, begun: &Begun) {
        let Some(share) = self.shares.get_mut(component) else {
            return;
        };
        share.has = share.has.saturating_sub(begun.places);
        self.taken = self.taken.saturating_sub(begun.places);
        self.alone &= !begun.is_alone;
        self.tidy(component);
    }

    fn tidy(&mut self, component: &ComponentName) {
        let is_over = |share: &Share| share.has == 0 && share.waiting.is_empty();
        if self.shares.get(component).is_some_and(is_over) {
            self.shares.remove(component);
        }
    }

    /// The next call that may begin now, begun; to be asked until there is none.
    pub(super) fn next(&mut self) -> Option<(Ticket, Begun)> {
        if self.alone {
            return None;
        }
        let (component, ticket, begun) = self.choose()?;
        let share = self.shares.get_mut(&component)?;
        share.waiting.pop_front();
        share.has += begun.places;
        self.taken += begun.places;
        self.alone = begun.is_alone;
        self.wants_alone.remove(&ticket);
        Some((ticket, begun))
    }

    /// The component that has least comes first, then who asked first.
    fn choose(&self) -> Option<(ComponentName, Ticket, Begun)> {
        let last = self.wants_alone.first().copied().unwrap_or(Ticket::MAX);
        let mut waiting: Vec<(u32, Ticket, Want, &ComponentName)> = self
            .shares
            .iter()
            .filter_map(|(name, share)| {
                let (ticket, want) = share.waiting.front()?;
                (*ticket <= last).then_some((share.has, *ticket, *want, name))
            })
            .collect();
        waiting.sort_unstable_by_key(|(has, ticket, ..)| (*has, *ticket));
        let begin = |component: &ComponentName, ticket, places, is_alone| {
            Some((component.clone(), ticket, Begun { places, is_alone }))
        };
        let (mut lends, mut alone) = (true, None);
        for (has, ticket, want, component) in waiting {
            let Want::Beside(places) = want else {
                alone = Some((component, ticket));
                continue;
            };
            let is_own = has + places <= self.own();
            let lent = || self.lent_with(component, has + places);
            lends &= is_own || lent() <= self.lent_max;
            if !is_own && !lends {
                continue; // It is the next to be lent to: nobody overtakes it there.
            }
            // Only where more components are at work than places are kept.
            if self.taken + places > self.all {
                return None;
            }
            return begin(component, ticket, places, false);
        }
        let (component, ticket) = alone.filter(|_| self.taken == 0)?;
        begin(component, ticket, self.all, true)
    }

    /// What would be lent if this component had so much.
    fn lent_with(&self, component: &ComponentName, has: u32) -> u32 {
        let own = self.own();
        let lent = |(name, share): (&ComponentName, &Share)| {
            let has = if name == component { has } else { share.has };
            has.saturating_sub(own)
        };
        self.shares.iter().map(lent).sum()
    }
}

/// What a call holds that has begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun {
    places: u32,
    is_alone: bool,
}

#[cfg(test)]
mod tests;

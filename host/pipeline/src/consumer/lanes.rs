//! Lanes: which of the messages in hand may run now. Messages of one key run one
//! after the other, in the order of their positions on the stream; those of
//! different keys, and those without a key, side by side.
//!
//! Plain values; the time is a parameter. What a lane knows to be outstanding stays
//! in it until it is finished, also while it waits for its next attempt or was
//! handed back to the stream for a while: only the lowest of them may run. Never
//! here: a message's content, a clock, or anything that is sent to anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qx_events::LaneKey;
use tokio::time::Instant;

/// Followers of a lane that stands still, which stay in hand when there is no more
/// room: what runs next when it goes on. The others come again in time.
const FOLLOWERS_KEPT: usize = 8;

/// A lane whose head has been at it for so long stands still: its followers may make
/// room for others. Longer than nearly every call takes.
const STILL_AFTER: Duration = Duration::from_secs(1);

/// Shortest pause of what is handed back: less would only be traffic.
const BACK_MIN: Duration = Duration::from_secs(2);
/// Longest: its lane may go on earlier than it was thought.
const BACK_MAX: Duration = Duration::from_secs(15);

/// Which lane a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Lane {
    Of(LaneKey),
    /// A lane of its own: it has no key.
    Own(u64),
}

/// Where an outstanding message is.
#[derive(Debug)]
enum Place<T> {
    /// In hand, waiting for its turn.
    Waiting(T),
    /// Being worked on, since then.
    Running(T, Instant),
    /// In hand; its next attempt is due then.
    Paused(T, Instant),
    /// Handed back to the stream, to come again then.
    Away(Instant),
}

/// What is known of a position that arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'l, T> {
    /// Nothing: nothing so high was ever taken.
    New,
    /// It is in hand: this is a copy of it.
    InHand(&'l T),
    /// It was handed back, and is here again.
    Away,
    /// It is finished, or was never here.
    Passed,
}

/// Something to be handed back to the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Back<T> {
    pub(super) item: T,
    pub(super) pause: Duration,
}

/// The messages in hand. `T` stands for a message, and is cheap to clone.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    by_lane: BTreeMap<Lane, BTreeMap<u64, Place<T>>>,
    lane_of: BTreeMap<u64, Lane>,
    /// Positions that may run now: the lowest of their lanes, and waiting.
    ready: BTreeSet<u64>,
    /// When heads that are paused are due.
    due: BTreeSet<(Instant, u64)>,
    /// The highest position that was ever taken or passed.
    highest: u64,
    /// Messages that are here, and not away.
    in_hand: usize,
}

impl<T: Clone> Lanes<T> {
    pub(super) fn new() -> Self {
        Self {
            by_lane: BTreeMap::new(),
            lane_of: BTreeMap::new(),
            ready: BTreeSet::new(),
            due: BTreeSet::new(),
            highest: 0,
            in_hand: 0,
        }
    }

    /// Messages that are here.
    pub(super) const fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// What is known of a position.
    pub(super) fn knows(&self, position: u64) -> Known<'_, T> {
        match self.place(position) {
            Some(Place::Waiting(item) | Place::Running(item, _) | Place::Paused(item, _)) => {
                Known::InHand(item)
            }
            Some(Place::Away(_)) => Known::Away,
            None if position > self.highest => Known::New,
            None => Known::Passed,
        }
    }

    /// Takes a message: a new one, or one that was handed back.
    pub(super) fn take(&mut self, position: u64, key: Option<LaneKey>, item: T) {
        self.highest = self.highest.max(position);
        // What was away keeps its lane: the message is the same.
        let lane = self.lane_of.entry(position).or_insert_with(|| match key {
            Some(key) => Lane::Of(key),
            None => Lane::Own(position),
        });
        let lane = lane.clone();
        let places = self.by_lane.entry(lane.clone()).or_default();
        let before = places.insert(position, Place::Waiting(item));
        if !matches!(
            before,
            Some(Place::Waiting(_) | Place::Running(..) | Place::Paused(..))
        ) {
            self.in_hand += 1;
        }
        self.settle(&lane);
    }

    /// This position needs no work, and is behind us.
    pub(super) fn pass(&mut self, position: u64) {
        self.highest = self.highest.max(position);
        self.finish(position);
    }

    /// The next message that may run, which is then running.
    pub(super) fn start(&mut self, now: Instant) -> Option<(u64, T)> {
        let position = self.ready.pop_first()?;
        let place = self.place_mut(position)?;
        let (Place::Waiting(item) | Place::Paused(item, _) | Place::Running(item, _)) = place
        else {
            return None;
        };
        let item = item.clone();
        *place = Place::Running(item.clone(), now);
        Some((position, item))
    }

    /// It has come to its end: the next of its lane may run.
    pub(super) fn finish(&mut self, position: u64) {
        let Some(lane) = self.lane_of.remove(&position) else {
            return;
        };
        self.ready.remove(&position);
        if let Some(places) = self.by_lane.get_mut(&lane) {
            match places.remove(&position) {
                Some(Place::Paused(_, until)) => {
                    self.due.remove(&(until, position));
                    self.in_hand -= 1;
                }
                Some(Place::Waiting(_) | Place::Running(..)) => self.in_hand -= 1,
                Some(Place::Away(_)) | None => {}
            }
            if places.is_empty() {
                self.by_lane.remove(&lane);
            }
        }
        self.settle(&lane);
    }

    /// Its next attempt is due then; its followers stay behind it.
    pub(super) fn pause(&mut self, position: u64, until: Instant) {
        let Some(place) = self.place_mut(position) else {
            return;
        };
        if let Place::Running(item, _) = place {
            *place = Place::Paused(item.clone(), until);
            self.due.insert((until, position));
        }
    }

    /// Lets those run whose pause is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((until, position)) = self.due.first().copied() {
            if until > now {
                return;
            }
            self.due.remove(&(until, position));
            let Some(lane) = self.lane_of.get(&position).cloned() else {
                continue;
            };
            if let Some(place) = self.place_mut(position)
                && let Place::Paused(item, _) = place
            {
                *place = Place::Waiting(item.clone());
            }
            self.settle(&lane);
        }
    }

    /// When the next pause is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Whether something that was handed back should have come again by then.
    pub(super) fn is_missing(&self, then: Instant) -> bool {
        let places = self.by_lane.values().flat_map(BTreeMap::values);
        places
            .into_iter()
            .any(|place| matches!(place, Place::Away(due) if *due < then))
    }

    /// Everything that is here: it is kept ours.
    pub(super) fn items(&self) -> impl Iterator<Item = &T> {
        let places = self.by_lane.values().flat_map(BTreeMap::values);
        places.filter_map(|place| match place {
            Place::Waiting(item) | Place::Running(item, _) | Place::Paused(item, _) => Some(item),
            Place::Away(_) => None,
        })
    }

    /// Makes room: hands the followers back of lanes that stand still, but for the
    /// first few. Their positions stay known, so nothing overtakes them.
    pub(super) fn relieve(&mut self, now: Instant) -> Vec<Back<T>> {
        let mut backs = Vec::new();
        for places in self.by_lane.values_mut() {
            let Some(pause) = places.values().next().and_then(|head| stands(head, now)) else {
                continue;
            };
            let followers = places.values_mut().skip(1);
            let waiting = followers.filter(|place| matches!(place, Place::Waiting(_)));
            for place in waiting.skip(FOLLOWERS_KEPT) {
                if let Place::Waiting(item) = place {
                    let item = item.clone();
                    *place = Place::Away(now + pause);
                    backs.push(Back { item, pause });
                }
            }
        }
        self.in_hand -= backs.len();
        backs
    }

    /// Sets right what of a lane may run: its lowest, if it waits.
    fn settle(&mut self, lane: &Lane) {
        let Some(places) = self.by_lane.get(lane) else {
            return;
        };
        let mut places = places.iter();
        if let Some((position, Place::Waiting(_))) = places.next() {
            self.ready.insert(*position);
        }
        // Something lower came back: it goes first.
        if let Some((position, _)) = places.next() {
            self.ready.remove(position);
        }
    }

    fn place(&self, position: u64) -> Option<&Place<T>> {
        self.by_lane
            .get(self.lane_of.get(&position)?)?
            .get(&position)
    }

    fn place_mut(&mut self, position: u64) -> Option<&mut Place<T>> {
        let lane = self.lane_of.get(&position)?;
        self.by_lane.get_mut(lane)?.get_mut(&position)
    }
}

/// For how long the followers of this head have no turn; `None`: it moves.
fn stands<T>(head: &Place<T>, now: Instant) -> Option<Duration> {
    let left = match head {
        Place::Waiting(_) => return None,
        Place::Running(_, since) if now.saturating_duration_since(*since) < STILL_AFTER => {
            return None;
        }
        Place::Running(..) => Duration::ZERO,
        Place::Paused(_, until) | Place::Away(until) => until.saturating_duration_since(now),
    };
    Some(left.clamp(BACK_MIN, BACK_MAX))
}

#[cfg(test)]
mod tests;

//! A history, sorted by what one asks of it.

use std::collections::{BTreeMap, BTreeSet};

use qx_events::{EventName, Pattern};
use uuid::Uuid;

use super::Seen;
use crate::history::{Entry, Outcome, Quantity, RowState};

/// What a producer asked for.
pub(super) struct Produced<'a> {
    pub(super) event: Uuid,
    pub(super) name: &'a str,
    pub(super) key: &'a str,
    pub(super) n: u64,
    pub(super) outcome: Outcome,
}

/// A row.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) state: RowState,
    pub(super) cause: Option<Uuid>,
}

/// An effect that counts.
pub(super) struct Counted {
    pub(super) event: Uuid,
    pub(super) n: u64,
    pub(super) nth: u64,
    pub(super) after: Option<u64>,
}

/// What a component takes.
#[derive(Default)]
pub(super) struct Taker {
    patterns: Vec<Pattern>,
    pub(super) ordered: bool,
    pub(super) counts: bool,
}

/// A number that was shown.
pub(super) struct Shown<'a> {
    pub(super) by: &'a str,
    pub(super) what: &'a Quantity,
    pub(super) value: u64,
}

/// A component's key.
pub(super) type Lane<'a> = (&'a str, &'a str);

/// Everything, by what it belongs to.
#[derive(Default)]
pub(super) struct Index<'a> {
    pub(super) produced: Vec<Produced<'a>>,
    pub(super) rows: BTreeMap<Uuid, Vec<Row<'a>>>,
    pub(super) takers: BTreeMap<&'a str, Taker>,
    handled: BTreeMap<(&'a str, Uuid), usize>,
    dead: BTreeMap<(&'a str, Uuid), usize>,
    dead_unread: usize,
    pub(super) counted: BTreeMap<Lane<'a>, Vec<Counted>>,
    pub(super) held: BTreeMap<Lane<'a>, u64>,
    pub(super) shown: Vec<Shown<'a>>,
    followed: BTreeSet<&'a str>,
    by_producers: BTreeSet<Uuid>,
    causes: BTreeSet<Uuid>,
    places: BTreeMap<Uuid, usize>,
}

impl<'a> Index<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        let mut index = Self::default();
        for entry in entries {
            index.add(entry);
        }
        index.causes = index.handled.keys().map(|(_, event)| *event).collect();
        index
    }

    /// What was asked for, and what is shown.
    fn add(&mut self, entry: &'a Entry) {
        match entry {
            Entry::Takes {
                component,
                pattern,
                ordered,
                counts,
            } => {
                let taker = self.takers.entry(component).or_default();
                let pattern = Pattern::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
                taker.patterns.push(pattern);
                taker.ordered |= ordered;
                taker.counts |= counts;
            }
            &Entry::Produced {
                event,
                ref name,
                ref key,
                n,
                outcome,
            } => {
                self.followed.insert(name);
                self.by_producers.insert(event);
                self.produced.push(Produced {
                    event,
                    name,
                    key,
                    n,
                    outcome,
                });
            }
            Entry::Shown { by, what, value } => {
                let value = *value;
                self.shown.push(Shown { by, what, value });
            }
            Entry::Row { .. }
            | Entry::Handled { .. }
            | Entry::Counted { .. }
            | Entry::Held { .. }
            | Entry::Dead { .. } => self.add_end(entry),
            Entry::Note { text: _ } => {}
        }
    }

    /// What came of it.
    fn add_end(&mut self, entry: &'a Entry) {
        match entry {
            &Entry::Row {
                event,
                ref name,
                state,
                cause,
            } => {
                let place = self.places.len();
                self.places.entry(event).or_insert(place);
                let row = Row { name, state, cause };
                self.rows.entry(event).or_default().push(row);
            }
            Entry::Handled { component, event } => {
                *self.handled.entry((component, *event)).or_default() += 1;
            }
            Entry::Dead { component, event } => match event {
                Some(event) => *self.dead.entry((component, *event)).or_default() += 1,
                None => self.dead_unread += 1,
            },
            &Entry::Counted {
                ref component,
                event,
                ref key,
                n,
                nth,
                after,
            } => {
                let counted = Counted {
                    event,
                    n,
                    nth,
                    after,
                };
                let lane = self.counted.entry((component, key)).or_default();
                lane.push(counted);
            }
            Entry::Held {
                component,
                key,
                nth,
            } => {
                self.held.insert((component, key), *nth);
            }
            Entry::Takes { .. }
            | Entry::Produced { .. }
            | Entry::Shown { .. }
            | Entry::Note { .. } => {}
        }
    }

    /// Whether an event stands before another in the outbox: rows come in its order. One
    /// without a row stands nowhere.
    pub(super) fn stands_before(&self, event: Uuid, other: Uuid) -> bool {
        match (self.places.get(&event), self.places.get(&other)) {
            (Some(event), Some(other)) => event < other,
            (None, _) | (_, None) => true,
        }
    }

    /// Components that take an event.
    pub(super) fn takers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = EventName::parse(name).ok();
        let takes = move |taker: &Taker| {
            let fits = |pattern: &Pattern| name.as_ref().is_some_and(|name| pattern.matches(name));
            taker.patterns.iter().any(fits)
        };
        let own = self.takers.iter().filter(move |(_, taker)| takes(taker));
        let own: Vec<&'a str> = own.map(|(component, _)| *component).collect();
        own.into_iter()
    }

    /// Whether the history says what a component takes.
    pub(super) fn is_known(&self, component: &str) -> bool {
        self.takers.contains_key(component)
    }

    /// Whether the producers of an event wrote down all that they did.
    pub(super) fn is_followed(&self, name: &str) -> bool {
        self.followed.contains(name)
    }

    /// Whether a producer recorded it, or tried.
    pub(super) fn is_produced(&self, event: Uuid) -> bool {
        self.by_producers.contains(&event)
    }

    /// Whether any component has handled it.
    pub(super) fn handled_by_any(&self, event: Uuid) -> bool {
        self.causes.contains(&event)
    }

    /// Inbox marks and dead letters of one event.
    pub(super) fn ends_of(&self, component: &'a str, event: Uuid) -> (usize, usize) {
        let of = |map: &BTreeMap<(&'a str, Uuid), usize>| {
            map.get(&(component, event)).copied().unwrap_or_default()
        };
        (of(&self.handled), of(&self.dead))
    }

    /// Every component and event that came to an end together.
    pub(super) fn ended(&self) -> impl Iterator<Item = (&'a str, Uuid)> {
        self.handled.keys().chain(self.dead.keys()).copied()
    }

    /// Inbox marks of a component.
    pub(super) fn marks_of(&self, component: &str) -> usize {
        let own = self.handled.iter().filter(|((of, _), _)| *of == component);
        own.map(|(_, times)| times).sum()
    }

    /// Dead letters.
    pub(super) fn letters(&self) -> usize {
        self.dead.values().sum::<usize>() + self.dead_unread
    }

    /// Rows in a state.
    pub(super) fn rows_in(&self, state: RowState) -> usize {
        let rows = self.rows.values().flatten();
        rows.filter(|row| row.state == state).count()
    }

    /// How much there is.
    pub(super) fn seen(&self) -> Seen {
        let with = |outcome| {
            let own = self.produced.iter().filter(|own| own.outcome == outcome);
            own.count()
        };
        Seen {
            committed: with(Outcome::Ok),
            failed: with(Outcome::Failed),
            unknown: with(Outcome::Unknown),
            rows: self.rows.values().map(Vec::len).sum(),
            handled: self.handled.values().sum(),
            counted: self.counted.values().map(Vec::len).sum(),
            dead: self.letters(),
            shown: self.shown.len(),
        }
    }
}

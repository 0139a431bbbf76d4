//! Effects that carry numbers, and the numbers that the host shows.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::index::{Counted, Index, Lane};
use super::{Judgement, Kind};
use crate::history::Quantity;

/// What components that count have told, against their inbox and their state.
pub(super) fn effects(index: &Index<'_>, judgement: &mut Judgement) {
    let mut told: BTreeMap<(&str, Uuid), usize> = BTreeMap::new();
    for ((component, key), all) in &index.counted {
        for counted in all {
            *told.entry((component, counted.event)).or_default() += 1;
        }
        sequence(index, (component, key), all, judgement);
    }
    for ((component, event), times) in &told {
        if *times > 1 {
            let text = format!("{component} has told {times} times of {event}");
            judgement.found(Kind::Repeated, text);
        }
        if index.ends_of(component, *event).0 == 0 {
            let text = format!("{component} has told of {event}, which it has not handled");
            judgement.found(Kind::Phantom, text);
        }
    }
    for (component, event) in index.ended() {
        let counts = index.takers.get(component).is_some_and(|own| own.counts);
        let handled = index.ends_of(component, event).0 > 0;
        if counts && handled && !told.contains_key(&(component, event)) {
            let text = format!("{component} has handled {event} and told nothing of it");
            judgement.found(Kind::Lost, text);
        }
    }
    for (lane, nth) in &index.held {
        let told = index.counted.get(lane).map_or(0, Vec::len);
        if usize::try_from(*nth) != Ok(told) {
            let kind = if usize::try_from(*nth).is_ok_and(|held| held < told) {
                Kind::Lost
            } else {
                Kind::Repeated
            };
            let (component, key) = lane;
            let text =
                format!("{component} holds a count of {nth} for {key} and told {told} times");
            judgement.found(kind, text);
        }
    }
}

/// The effects of one key: 1, 2, 3 …, each after the one before, and in the order of the
/// outbox where that is promised.
fn sequence(index: &Index<'_>, lane: Lane<'_>, all: &[Counted], judgement: &mut Judgement) {
    let (component, key) = lane;
    let ordered = index.takers.get(component).is_some_and(|own| own.ordered);
    let mut all: Vec<&Counted> = all.iter().collect();
    all.sort_by_key(|counted| (counted.nth, counted.n));
    let mut before: Option<&Counted> = None;
    for counted in all {
        let found = counted.nth;
        let wanted = before.map_or(0, |before| before.nth) + 1;
        if found < wanted {
            let text = format!("{component} has counted {key} to {found} twice");
            judgement.found(Kind::Repeated, text);
        } else if found > wanted {
            let text =
                format!("{component}: no effect is number {wanted} of {key}, one is {found}");
            judgement.found(Kind::Lost, text);
        } else if counted.after != before.map(|before| before.n) {
            let text = format!(
                "{component}: number {found} of {key} came after {:?}, and was counted after {:?}",
                before.map(|before| before.n),
                counted.after
            );
            judgement.found(Kind::Repeated, text);
        }
        let is_after = |before: &&Counted| !index.stands_before(before.event, counted.event);
        if let Some(before) = before.filter(|before| ordered && is_after(before)) {
            let text = format!("{component}: {} after {} of {key}", counted.n, before.n);
            judgement.found(Kind::OutOfOrder, text);
        }
        before = Some(counted);
    }
}

/// The numbers that were shown, against the tables.
pub(super) fn numbers(index: &Index<'_>, judgement: &mut Judgement) {
    for shown in &index.shown {
        let (what, is) = match shown.what {
            Quantity::Rows(state) => (format!("{state:?} rows"), index.rows_in(*state)),
            Quantity::Letters => ("dead letters".to_owned(), index.letters()),
            Quantity::Lag(component) => (format!("lag of {component}"), 0),
            Quantity::InFlight(component) => (format!("in flight to {component}"), 0),
            Quantity::Done(component) => {
                (format!("done by {component}"), index.marks_of(component))
            }
        };
        if usize::try_from(shown.value) != Ok(is) {
            let text = format!("{} shows {} {what}; there are {is}", shown.by, shown.value);
            judgement.found(Kind::Disagreement, text);
        }
    }
}

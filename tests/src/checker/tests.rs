//! A history in which everything is right, and one change each that makes it wrong.

use uuid::Uuid;

use super::Kind::{Lost, OutOfOrder, Phantom, Repeated, Stuck};
use super::{Kind, judge};
use crate::history::RowState::{Pending, Published, SetAside};
use crate::history::{Entry, Outcome, Quantity, RowState, parse};

const NAME: &str = "tally.marked";
const TOLD: &str = "tally.counted";

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn produced(n: u64, outcome: Outcome) -> Entry {
    Entry::Produced {
        event: id(n.into()),
        name: NAME.to_owned(),
        key: "k".to_owned(),
        n,
        outcome,
    }
}

fn row(event: u128, state: RowState) -> Entry {
    Entry::Row {
        event: id(event),
        name: NAME.to_owned(),
        state,
        cause: None,
    }
}

fn told(event: u128, cause: u128) -> Entry {
    let (name, state) = (TOLD.to_owned(), Published);
    Entry::Row {
        event: id(event),
        name,
        state,
        cause: Some(id(cause)),
    }
}

fn handled(event: u128) -> Entry {
    Entry::Handled {
        component: "tally".to_owned(),
        event: id(event),
    }
}

fn dead(event: u128) -> Entry {
    Entry::Dead {
        component: "tally".to_owned(),
        event: Some(id(event)),
    }
}

fn counted(n: u64, nth: u64, after: Option<u64>) -> Entry {
    Entry::Counted {
        component: "tally".to_owned(),
        event: id(n.into()),
        key: "k".to_owned(),
        n,
        nth,
        after,
    }
}

fn held(nth: u64) -> Entry {
    Entry::Held {
        component: "tally".to_owned(),
        key: "k".to_owned(),
        nth,
    }
}

fn shown(what: Quantity, value: u64) -> Entry {
    Entry::Shown {
        by: "somebody".to_owned(),
        what,
        value,
    }
}

fn takes(ordered: bool) -> Entry {
    Entry::Takes {
        component: "tally".to_owned(),
        pattern: "tally.marked".to_owned(),
        ordered,
        counts: true,
    }
}

/// 1 and 2 were counted, 3 is dead, 4 was rolled back, 5 is unknown and not there,
/// 6 is unknown and there.
fn good() -> Vec<Entry> {
    vec![
        takes(true),
        produced(1, Outcome::Ok),
        produced(2, Outcome::Ok),
        produced(3, Outcome::Ok),
        produced(4, Outcome::Failed),
        produced(5, Outcome::Unknown),
        produced(6, Outcome::Unknown),
        row(1, Published),
        row(2, Published),
        row(3, Published),
        row(6, Published),
        told(101, 1),
        told(102, 2),
        told(106, 6),
        handled(1),
        handled(2),
        handled(6),
        dead(3),
        counted(1, 1, None),
        counted(2, 2, Some(1)),
        counted(6, 3, Some(2)),
        held(3),
        shown(Quantity::Rows(Published), 7),
        shown(Quantity::Rows(Pending), 0),
        shown(Quantity::Rows(SetAside), 0),
        shown(Quantity::Letters, 1),
        shown(Quantity::Lag("tally".to_owned()), 0),
        shown(Quantity::InFlight("tally".to_owned()), 0),
        shown(Quantity::Done("tally".to_owned()), 3),
    ]
}

/// What is found when one entry is taken out and others are put in.
fn found(without: Option<&Entry>, with: &[Entry]) -> Vec<Kind> {
    let mut history = good();
    if let Some(without) = without {
        let at = history.iter().position(|entry| entry == without);
        history.remove(at.expect("it is in the good history"));
    }
    history.extend_from_slice(with);
    let mut kinds: Vec<Kind> = judge(&history)
        .findings
        .iter()
        .map(|one| one.kind)
        .collect();
    kinds.dedup();
    kinds
}

#[test]
fn a_history_in_which_everything_is_right_has_no_finding() {
    let judgement = judge(&good());
    assert!(judgement.is_good(), "{judgement}");
    let seen = judgement.seen;
    assert_eq!((seen.committed, seen.failed, seen.unknown), (3, 1, 2));
    assert_eq!(
        (seen.rows, seen.handled, seen.counted, seen.dead),
        (7, 3, 3, 1)
    );
    assert!(judge(&[]).is_good());
}

/// What is done to the good history: its name, what is taken out, what is put in;
/// and what is found.
type Case<'a> = (&'a str, Option<Entry>, &'a [Entry], &'a [Kind]);

fn all_found(cases: &[Case<'_>]) {
    for (what, without, with, kinds) in cases {
        assert_eq!(found(without.as_ref(), with), *kinds, "{what}");
    }
}

#[test]
fn rows_that_are_gone_invented_repeated_or_left_lying_are_found() {
    let disagreement = Kind::Disagreement;
    all_found(&[
        (
            "a committed row is gone",
            Some(row(3, Published)),
            &[],
            &[Lost, Phantom, disagreement],
        ),
        (
            "a rolled back row is there",
            None,
            &[row(4, Published), handled(4)],
            &[Lost, Phantom, disagreement],
        ),
        (
            "a row that nobody recorded",
            None,
            &[row(9, Published), dead(9)],
            &[Phantom, disagreement],
        ),
        (
            "twice",
            None,
            &[row(1, Published)],
            &[Repeated, disagreement],
        ),
        (
            "a row that waits",
            Some(row(3, Published)),
            &[row(3, Pending)],
            &[Stuck, disagreement],
        ),
        (
            "emitted by nothing that was handled",
            None,
            &[told(109, 5)],
            &[Phantom, disagreement],
        ),
    ]);
}

#[test]
fn events_without_an_end_with_two_ends_or_of_nobody_are_found() {
    let disagreement = Kind::Disagreement;
    all_found(&[
        ("no end", Some(dead(3)), &[], &[Lost, disagreement]),
        (
            "handled and dead",
            None,
            &[dead(1)],
            &[Repeated, disagreement],
        ),
        (
            "handled, and no row",
            None,
            &[handled(77)],
            &[Lost, Phantom, disagreement],
        ),
        (
            "dead, and no row",
            None,
            &[dead(77)],
            &[Phantom, disagreement],
        ),
        (
            "handled, not its event",
            None,
            &[handled(101)],
            &[Lost, Phantom, disagreement],
        ),
    ]);
}

#[test]
fn effects_that_are_missing_repeated_or_made_on_old_state_are_found() {
    let third = || Some(counted(6, 3, Some(2)));
    all_found(&[
        ("an effect is missing", third(), &[], &[Lost, Repeated]),
        (
            "an effect twice",
            None,
            &[counted(6, 4, Some(6))],
            &[Lost, Repeated, OutOfOrder],
        ),
        (
            "an effect without a mark",
            Some(handled(6)),
            &[],
            &[Lost, Phantom, Kind::Disagreement],
        ),
        (
            "a count lost by the state",
            Some(held(3)),
            &[held(2)],
            &[Lost],
        ),
        (
            "one too many in the state",
            Some(held(3)),
            &[held(4)],
            &[Repeated],
        ),
        (
            "the same count twice",
            third(),
            &[counted(6, 2, Some(1))],
            &[Repeated],
        ),
        (
            "a gap in the counts",
            third(),
            &[counted(6, 5, Some(2))],
            &[Lost],
        ),
        (
            "on an old value",
            third(),
            &[counted(6, 3, Some(1))],
            &[Repeated],
        ),
    ]);
}

#[test]
fn numbers_that_do_not_agree_with_the_tables_are_found() {
    let tally = || "tally".to_owned();
    for (what, value) in [
        (Quantity::Rows(Pending), 2),
        (Quantity::Rows(Published), 6),
        (Quantity::Rows(SetAside), 1),
        (Quantity::Letters, 0),
        (Quantity::Lag(tally()), 1),
        (Quantity::InFlight(tally()), 1),
        (Quantity::Done(tally()), 4),
    ] {
        let said = format!("{what:?}");
        let kinds = found(None, &[shown(what, value)]);
        assert_eq!(kinds, [Kind::Disagreement], "{said}");
    }
}

#[test]
fn order_is_judged_where_it_is_promised_and_nowhere_else() {
    for (ordered, kinds) in [(true, &[OutOfOrder][..]), (false, &[])] {
        let mut history = good();
        history.retain(|entry| !matches!(entry, Entry::Takes { .. } | Entry::Counted { .. }));
        history.push(takes(ordered));
        history.extend([
            counted(2, 1, None),
            counted(1, 2, Some(2)),
            counted(6, 3, Some(1)),
        ]);
        let found: Vec<Kind> = judge(&history)
            .findings
            .iter()
            .map(|one| one.kind)
            .collect();
        assert_eq!(found, kinds);
    }
}

#[test]
fn a_saved_history_is_judged_as_the_one_it_was() {
    let mut text = String::new();
    for entry in good() {
        text += &serde_json::to_string(&entry).unwrap();
        text += "\n\n";
    }
    assert_eq!(parse(&text).unwrap(), good());
    let error = parse("{\"op\":\"note\",\"text\":\"a\"}\n{\"op\":\"nothing\"}").unwrap_err();
    assert!(error.starts_with("line 2: "), "{error}");
}

//! A history in which everything is right, and one change each that makes it wrong.

use uuid::Uuid;

use super::{Kind, judge};
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
    let (name, state) = (TOLD.to_owned(), RowState::Published);
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
    use RowState::{Pending, Published, SetAside};
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

#[test]
fn each_way_to_be_wrong_is_found_and_called_by_its_name() {
    use Kind::{Disagreement, Lost, OutOfOrder, Phantom, Repeated, Stuck};
    use RowState::{Pending, Published};
    let cases: &[(&str, Option<Entry>, &[Entry], &[Kind])] = &[
        (
            "a committed row is gone",
            Some(row(3, Published)),
            &[],
            &[Lost, Phantom, Disagreement],
        ),
        (
            "a rolled back row is there",
            None,
            &[row(4, Published), handled(4)],
            &[Lost, Phantom, Disagreement],
        ),
        (
            "a row that nobody recorded",
            None,
            &[row(9, Published), dead(9)],
            &[Phantom, Disagreement],
        ),
        (
            "a row twice",
            None,
            &[row(1, Published)],
            &[Repeated, Disagreement],
        ),
        (
            "a row that waits",
            Some(row(3, Published)),
            &[row(3, Pending)],
            &[Stuck, Disagreement],
        ),
        (
            "neither handled nor dead",
            Some(dead(3)),
            &[],
            &[Lost, Disagreement],
        ),
        (
            "handled and dead",
            None,
            &[dead(1)],
            &[Repeated, Disagreement],
        ),
        (
            "handled, and no row",
            None,
            &[handled(77)],
            &[Lost, Phantom, Disagreement],
        ),
        (
            "dead, and no row",
            None,
            &[dead(77)],
            &[Phantom, Disagreement],
        ),
        (
            "handled, not its event",
            None,
            &[handled(101)],
            &[Lost, Phantom, Disagreement],
        ),
        (
            "emitted by nothing that was handled",
            None,
            &[told(109, 5)],
            &[Phantom, Disagreement],
        ),
        (
            "an effect is missing",
            Some(counted(6, 3, Some(2))),
            &[],
            &[Lost, Repeated],
        ),
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
            &[Lost, Phantom, Disagreement],
        ),
        (
            "a count lost by the state",
            Some(held(3)),
            &[held(2)],
            &[Lost],
        ),
        (
            "a count too many in the state",
            Some(held(3)),
            &[held(4)],
            &[Repeated],
        ),
        (
            "the same count twice",
            Some(counted(6, 3, Some(2))),
            &[counted(6, 2, Some(1))],
            &[Repeated],
        ),
        (
            "a gap in the counts",
            Some(counted(6, 3, Some(2))),
            &[counted(6, 5, Some(2))],
            &[Lost],
        ),
        (
            "counted on an old value",
            Some(counted(6, 3, Some(2))),
            &[counted(6, 3, Some(1))],
            &[Repeated],
        ),
        (
            "a wrong number of rows",
            None,
            &[shown(Quantity::Rows(Pending), 2)],
            &[Disagreement],
        ),
        (
            "a wrong number of letters",
            None,
            &[shown(Quantity::Letters, 0)],
            &[Disagreement],
        ),
        (
            "lag",
            None,
            &[shown(Quantity::Lag("tally".to_owned()), 1)],
            &[Disagreement],
        ),
        (
            "in flight",
            None,
            &[shown(Quantity::InFlight("tally".to_owned()), 1)],
            &[Disagreement],
        ),
        (
            "attempts",
            None,
            &[shown(Quantity::Done("tally".to_owned()), 4)],
            &[Disagreement],
        ),
    ];
    for (what, without, with, kinds) in cases {
        assert_eq!(found(without.as_ref(), with), *kinds, "{what}");
    }
}

#[test]
fn order_is_judged_where_it_is_promised_and_nowhere_else() {
    for (ordered, kinds) in [(true, &[Kind::OutOfOrder][..]), (false, &[])] {
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

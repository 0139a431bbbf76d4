//! What a group is presumed to come to, and when nothing is presumed.

use qx_events::ports::Fence;
use qx_events::{ComponentName, Digest, Effects, Limits, StateRead, StateWrite};
use uuid::Uuid;

use super::*;
use Settled::{Committed, Conflict, Duplicate};

const fn seen(version: i64) -> StateSeen {
    StateSeen { version, bytes: 3 }
}

/// Of event `id`, with what it read and wrote.
fn settlement(
    id: u128,
    reads: &[(&str, Option<StateSeen>)],
    writes: &[(&str, Option<&str>)],
) -> Settlement {
    let read = |(key, seen): &(&str, Option<StateSeen>)| StateRead {
        key: (*key).to_owned(),
        seen: *seen,
    };
    let write = |(key, value): &(&str, Option<&str>)| StateWrite {
        key: (*key).to_owned(),
        value: value.map(str::to_owned),
    };
    Settlement {
        component: ComponentName::parse("a").unwrap(),
        digest: Digest::new([7; 32]),
        event_id: Uuid::from_u128(id),
        tenant_id: None,
        effects: Effects {
            reads: reads.iter().map(read).collect(),
            writes: writes.iter().map(write).collect(),
            emitted: Vec::new(),
        },
        bounds: Limits::default().state,
        replayed: None,
        fence: None,
        recorded: false,
    }
}

fn answers(group: &[Settlement]) -> Option<Vec<Settled>> {
    presume(group).map(|presumed| presumed.plan.answers)
}

#[test]
fn what_was_read_is_taken_to_be_so_and_has_to_be_looked_at() {
    let group = [
        settlement(
            1,
            &[("k", Some(seen(5))), ("l", None)],
            &[("k", Some("four"))],
        ),
        settlement(2, &[("m", None)], &[("m", Some("x"))]),
        settlement(3, &[], &[]),
    ];
    let presumed = presume(&group).unwrap();
    assert_eq!(presumed.plan.answers, [Committed; 3]);
    let keys: Vec<_> = presumed
        .keys
        .iter()
        .map(|(key, seen)| (key.key, *seen))
        .collect();
    assert_eq!(keys, [("k", Some(seen(5))), ("l", None), ("m", None)]);
    assert_eq!(presumed.marks.len(), 3);
    let growth: Vec<_> = presumed
        .plan
        .counts()
        .map(|(_, it)| (it.keys, it.bytes))
        .collect();
    assert_eq!(
        growth,
        [(1, 1 + 2)],
        "`four` for three bytes, and a new key"
    );
}

#[test]
fn within_a_group_the_first_writes_and_who_read_the_same_is_called_again() {
    let first = settlement(1, &[("k", Some(seen(5)))], &[("k", Some("1"))]);
    let second = settlement(2, &[("k", Some(seen(5)))], &[("k", Some("2"))]);
    let again = settlement(1, &[], &[]);
    let group = [first, second, again];
    let presumed = presume(&group).unwrap();
    assert_eq!(presumed.plan.answers, [Committed, Conflict, Duplicate]);
    let marks: Vec<u128> = presumed
        .marks
        .keys()
        .map(|mark| mark.event_id.as_u128())
        .collect();
    assert_eq!(marks, [1], "who is called again leaves no mark");
}

#[test]
fn of_two_readings_the_later_counts() {
    for late in [None, Some(seen(4))] {
        let stale = settlement(1, &[("k", late)], &[("k", Some("1"))]);
        let fresh = settlement(2, &[("k", Some(seen(5)))], &[("k", Some("2"))]);
        assert_eq!(answers(&[stale, fresh]).unwrap(), [Conflict, Committed]);
    }
}

#[test]
fn what_nobody_read_or_what_contradicts_itself_is_looked_at_first() {
    let blind = settlement(1, &[], &[("k", Some("1"))]);
    assert_eq!(answers(std::slice::from_ref(&blind)), None);
    let reader = settlement(2, &[("k", Some(seen(5)))], &[]);
    assert_eq!(answers(&[reader, blind]).unwrap(), [Committed; 2]);

    let fenced = |token| Settlement {
        fence: Some(Fence {
            name: "lease".into(),
            token,
        }),
        ..settlement(u128::try_from(token).unwrap(), &[], &[])
    };
    assert_eq!(answers(&[fenced(1), fenced(2)]), None);
    let group = [fenced(3)];
    let presumed = presume(&group).unwrap();
    assert_eq!(
        presumed.leases.into_iter().collect::<Vec<_>>(),
        [("lease", 3)]
    );

    // Each has read what the other says is old: nothing goes through, so nothing is known.
    let one = settlement(1, &[("k", Some(seen(5))), ("l", Some(seen(6)))], &[]);
    let other = settlement(2, &[("k", Some(seen(6))), ("l", Some(seen(5)))], &[]);
    assert_eq!(answers(&[one, other]), None);
}

#[test]
fn tries_that_fail_again_and_again_become_rare_and_one_that_succeeds_makes_them_usual() {
    let mut odds = Odds::default();
    let tries = |odds: &mut Odds, was_right| {
        let mut waited = 0;
        while !odds.tries() {
            waited += 1;
        }
        odds.learn(was_right);
        waited
    };
    let waits: Vec<u32> = (0..9).map(|_| tries(&mut odds, false)).collect();
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 32]);
    tries(&mut odds, true);
    assert_eq!(tries(&mut odds, true), 0);
}

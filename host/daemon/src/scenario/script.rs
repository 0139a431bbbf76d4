//! What a handler asks of the world outside, and the answers that a scenario has ready
//! for it: HTTP and SQL alike.
//!
//! Each exchange answers one call. A call gets the answer of the first exchange that it
//! fits and that is not used up; whether the calls were those that are expected, in
//! their order and no others, is told when the event is over.

use serde::Serialize;
use serde_json::Value;

use super::compare::Difference;

/// A call that is expected, and the answer to it.
pub(super) trait Exchange {
    /// Its key in a scenario.
    const KEY: &'static str;
    /// The keys of the answer.
    const ANSWERS: &'static [&'static str];
    /// A call as it was made.
    type Asked;
    /// How a call is written down.
    type Written: Serialize;

    /// Whether the call is the expected one.
    fn fits(&self, asked: &Self::Asked) -> bool;

    /// Whether the answer is of the kind that is asked for.
    fn answers(&self, asked: &Self::Asked) -> bool;

    /// The expected call as the scenario has it.
    fn written(&self) -> Self::Written;

    /// A call in the form of the exchange that stands in its place: only what that one
    /// names, and in its words where they hold. The whole call where there is none.
    fn shown(asked: &Self::Asked, like: Option<&Self>) -> Self::Written;

    /// What is wrong with a call that cannot be seen by how it is written down.
    fn note(&self, asked: &Self::Asked) -> Option<String>;

    /// The answer to write down for a call that none is known for, as JSON.
    fn plain_answer(asked: &Self::Asked) -> (&'static str, &'static str);
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// This exchange answered it.
    Answered(usize),
    /// Nobody expected it.
    Unexpected,
    /// It was refused before it left, and why.
    Refused(String),
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call<A> {
    /// What was asked.
    pub(super) asked: A,
    /// What became of it.
    pub(super) fate: Fate,
}

/// The exchanges of one event, and the calls that were made so far.
#[derive(Debug)]
pub(super) struct Script<E: Exchange> {
    expected: Vec<E>,
    calls: Vec<Call<E::Asked>>,
}

impl<E: Exchange> Script<E> {
    pub(super) const fn new(expected: Vec<E>) -> Self {
        Self {
            expected,
            calls: Vec::new(),
        }
    }

    /// The exchange that answers a call; `None`: it is not expected.
    pub(super) fn answer(&mut self, asked: E::Asked) -> Option<&E> {
        let used = |index| {
            let mut calls = self.calls.iter();
            calls.any(|call| call.fate == Fate::Answered(index))
        };
        let mut each = self.expected.iter().enumerate();
        let found = each.find(|(index, exchange)| !used(*index) && exchange.fits(&asked));
        let by = found.map(|(index, _)| index);
        let fate = by.map_or(Fate::Unexpected, Fate::Answered);
        self.calls.push(Call { asked, fate });
        by.and_then(|index| self.expected.get(index))
    }

    /// Notes a call that does not leave.
    pub(super) fn refuse(&mut self, asked: E::Asked, why: String) {
        let fate = Fate::Refused(why);
        self.calls.push(Call { asked, fate });
    }

    pub(super) fn into_calls(self) -> Vec<Call<E::Asked>> {
        self.calls
    }
}

/// Whether the calls are the expected ones, in their order, and no others. What was
/// refused before it left is none.
pub(super) fn holds<E: Exchange>(expected: &[E], calls: &[Call<E::Asked>]) -> bool {
    let left = calls.iter().filter_map(|call| match call.fate {
        Fate::Answered(index) => Some(Some(index)),
        Fate::Unexpected => Some(None),
        Fate::Refused(_) => None,
    });
    left.eq((0..expected.len()).map(Some))
}

/// The exchange in whose place each call stands: the one that answered it, or the next
/// one that answered none.
pub(super) fn places<E: Exchange>(expected: &[E], calls: &[Call<E::Asked>]) -> Vec<Option<usize>> {
    let answered = |index: &usize| {
        let mut calls = calls.iter();
        calls.any(|call| call.fate == Fate::Answered(*index))
    };
    let mut left = (0..expected.len()).filter(|index| !answered(index));
    let place = |call: &Call<E::Asked>| match call.fate {
        Fate::Answered(index) => Some(index),
        Fate::Unexpected => left.next(),
        Fate::Refused(_) => None,
    };
    calls.iter().map(place).collect()
}

/// A call of a difference, and why it did not leave.
#[derive(Serialize)]
struct Shown<W> {
    #[serde(flatten)]
    call: W,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// What differs, if anything does.
pub(super) fn difference<E: Exchange>(
    expected: &[E],
    calls: &[Call<E::Asked>],
) -> Option<Difference> {
    if holds(expected, calls) {
        return None;
    }
    let places = places(expected, calls);
    let shown = |(call, place): (&Call<E::Asked>, &Option<usize>)| {
        let like = place.and_then(|index| expected.get(index));
        Shown {
            call: E::shown(&call.asked, like),
            note: match &call.fate {
                Fate::Refused(why) => Some(why.clone()),
                Fate::Answered(_) | Fate::Unexpected => {
                    like.and_then(|like| like.note(&call.asked))
                }
            },
        }
    };
    let written: Vec<E::Written> = expected.iter().map(E::written).collect();
    let seen: Vec<_> = calls.iter().zip(&places).map(shown).collect();
    Some(Difference {
        part: E::KEY,
        expected: value(&written),
        seen: value(&seen),
    })
}

/// Everything here has a form in JSON.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects a text that begins like this.
    struct Starts(&'static str);

    impl Exchange for Starts {
        const KEY: &'static str = "said";
        const ANSWERS: &'static [&'static str] = &["hears"];
        type Asked = &'static str;
        type Written = Value;

        fn fits(&self, asked: &&'static str) -> bool {
            asked.starts_with(self.0)
        }

        fn answers(&self, _: &&'static str) -> bool {
            true
        }

        fn written(&self) -> Value {
            serde_json::json!({"says": self.0})
        }

        fn shown(asked: &&'static str, like: Option<&Self>) -> Value {
            match like {
                Some(like) if like.fits(asked) => like.written(),
                Some(_) | None => serde_json::json!({"says": asked}),
            }
        }

        fn note(&self, _: &&'static str) -> Option<String> {
            None
        }

        fn plain_answer(_: &&'static str) -> (&'static str, &'static str) {
            ("hears", "null")
        }
    }

    fn played(expected: &[&'static str], said: &[&'static str]) -> (Vec<bool>, Option<Difference>) {
        let expected = || expected.iter().map(|text| Starts(text)).collect::<Vec<_>>();
        let mut script = Script::new(expected());
        let answered = said.iter().map(|said| script.answer(said).is_some());
        let answered = answered.collect();
        (answered, difference(&expected(), &script.into_calls()))
    }

    #[test]
    fn calls_that_come_as_expected_make_no_difference() {
        assert_eq!(played(&[], &[]), (vec![], None));
        assert_eq!(played(&["a", "a"], &["ab", "ac"]), (vec![true; 2], None));
    }

    #[test]
    fn a_call_that_is_missing_or_too_much_or_out_of_order_is_a_difference() {
        let (answered, found) = played(&["a", "b"], &["b1", "x", "a1"]);
        assert_eq!(
            answered,
            [true, false, true],
            "as long as there is an answer"
        );
        let found = found.unwrap();
        assert_eq!(found.part, "said");
        assert_eq!(
            found.seen,
            serde_json::json!([{"says": "b"}, {"says": "x"}, {"says": "a"}])
        );
        for (expected, said) in [
            (&["a"][..], &[][..]),
            (&[], &["a"]),
            (&["a"], &["a", "a"]),
            (&["a", "b"], &["b", "a"]),
            (&["a"], &["b"]),
        ] {
            assert!(played(expected, said).1.is_some(), "{expected:?} {said:?}");
        }
    }

    #[test]
    fn what_is_refused_before_it_leaves_is_no_call_and_is_shown_where_something_differs() {
        let mut script = Script::new(vec![Starts("a")]);
        script.refuse("a", "not granted".to_owned());
        let calls = script.into_calls();
        assert_eq!(difference::<Starts>(&[], &calls), None);
        let found = difference(&[Starts("a")], &calls).unwrap();
        assert_eq!(
            found.seen,
            serde_json::json!([{"says": "a", "note": "not granted"}])
        );
    }

    #[test]
    fn a_call_that_does_not_fit_stands_in_the_place_of_the_next_one_that_is_left() {
        let expected = [Starts("a"), Starts("b"), Starts("c")];
        let call = |asked, fate| Call { asked, fate };
        let calls = [
            call("x", Fate::Unexpected),
            call("b", Fate::Answered(1)),
            call("y", Fate::Unexpected),
            call("z", Fate::Unexpected),
        ];
        assert_eq!(places(&expected, &calls), [Some(0), Some(1), Some(2), None]);
    }
}

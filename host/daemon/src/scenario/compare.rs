//! What was expected beside what was seen: a value for each part that differs, for a
//! person to read line by line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::expect::{AtMost, Emitted, Expect, Line, Outcome, Text};
use super::file::Step;
use super::script::difference;
use super::seen::Seen;

/// A part that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The part, by its key in the scenario.
    pub part: &'static str,
    /// What the scenario says.
    pub expected: Value,
    /// What came of it.
    pub seen: Value,
}

/// Lines of a difference that are shown around a change.
const CONTEXT_LINES: usize = 3;

/// Longest difference that is shown, in lines: a payload may be megabytes.
const LINES_MAX: usize = 200;

/// The parts that differ; empty when the event came to what it should. What the handler
/// asked for comes first: the rest follows from the answers.
pub(super) fn differences(step: &Step, seen: &Seen) -> Vec<Difference> {
    let asked = [
        difference(&step.http, &seen.http),
        difference(&step.sql, &seen.sql),
    ];
    let expected = step.expect.iter();
    let rest = expected.flat_map(|expected| of_expectation(expected, seen));
    asked.into_iter().flatten().chain(rest).collect()
}

/// The parts of what is expected that differ.
pub(super) fn of_expectation(expected: &Expect, seen: &Seen) -> Vec<Difference> {
    let Expect {
        outcome,
        emitted,
        emitted_includes,
        state,
        state_includes,
        logs,
        logs_include,
        at_most,
    } = expected;
    let whole = |part, expected: Option<Value>, seen: Value| {
        expected.map(|expected| Difference {
            part,
            expected,
            seen,
        })
    };
    let outcome = outcome.as_ref().filter(|o| !is_outcome(o, &seen.outcome));
    let all_emitted = emitted
        .as_ref()
        .filter(|e| !all(e, &seen.emitted, is_emitted));
    let some_emitted = emitted_includes
        .as_ref()
        .filter(|e| !includes(e, &seen.emitted, is_emitted));
    let all_lines = logs.as_ref().filter(|l| !all(l, &seen.logs, is_line));
    let some_lines = logs_include
        .as_ref()
        .filter(|l| !includes(l, &seen.logs, is_line));
    let written = state.as_ref().filter(|state| !is_written(state, seen));
    let standing = state_includes.as_ref().filter(|state| !stands(state, seen));
    let over = at_most.as_ref().filter(|most| is_over(most, seen));
    let emitted = || value(&seen.emitted);
    let found = [
        whole("outcome", outcome.map(value), value(&seen.outcome)),
        whole("emitted", all_emitted.map(value), emitted()),
        whole("emitted_includes", some_emitted.map(value), emitted()),
        whole("state", written.map(value), value(&seen.written)),
        whole("state_includes", standing.map(value), value(&seen.state)),
        whole("logs", all_lines.map(value), value(&seen.logs)),
        whole("logs_include", some_lines.map(value), value(&seen.logs)),
        whole("at_most", over.map(value), used(seen)),
    ];
    found.into_iter().flatten().collect()
}

/// Everything here has a form in JSON.
fn value(of: impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn is_outcome(expected: &Outcome, seen: &Outcome) -> bool {
    let text = |wanted: &Text, seen: &Text| match seen {
        Text::Whole(seen) | Text::Contains(seen) => wanted.is(seen),
    };
    match (expected, seen) {
        (Outcome::Done, Outcome::Done)
        | (Outcome::NotTaken, Outcome::NotTaken)
        | (Outcome::UnknownVersion, Outcome::UnknownVersion)
        | (Outcome::Retry(None), Outcome::Retry(_))
        | (Outcome::Reject(None), Outcome::Reject(_)) => true,
        (Outcome::Retry(Some(wanted)), Outcome::Retry(Some(seen))) => {
            text(&wanted.reason, &seen.reason) && wanted.after_ms == seen.after_ms
        }
        (Outcome::Reject(Some(wanted)), Outcome::Reject(Some(seen))) => text(wanted, seen),
        (Outcome::Failed(wanted), Outcome::Failed(seen)) => {
            let detail = match (&wanted.detail, &seen.detail) {
                (None, _) => true,
                (Some(wanted), Some(seen)) => text(wanted, seen),
                (Some(_), None) => false,
            };
            wanted.limit == seen.limit && detail
        }
        (
            Outcome::Done
            | Outcome::Retry(_)
            | Outcome::Reject(_)
            | Outcome::Failed(_)
            | Outcome::NotTaken
            | Outcome::UnknownVersion,
            _,
        ) => false,
    }
}

fn is_emitted(expected: &Emitted, seen: &Emitted) -> bool {
    let payload = expected.payload.is_none() || expected.payload == seen.payload;
    let key = expected.key.is_none() || expected.key == seen.key;
    let due = expected.due.is_none() || expected.due == seen.due;
    expected.name == seen.name && expected.version == seen.version && payload && key && due
}

fn is_line(expected: &Line, seen: &Line) -> bool {
    let level = expected.level.is_none() || expected.level == seen.level;
    let message = match &seen.message {
        Text::Whole(seen) | Text::Contains(seen) => expected.message.is(seen),
    };
    level && message
}

fn all<T>(expected: &[T], seen: &[T], is: impl Fn(&T, &T) -> bool) -> bool {
    let mut pairs = expected.iter().zip(seen);
    expected.len() == seen.len() && pairs.all(|(expected, seen)| is(expected, seen))
}

/// Whether the expected ones are among the seen ones, in the same order.
fn includes<T>(expected: &[T], seen: &[T], is: impl Fn(&T, &T) -> bool) -> bool {
    let mut seen = seen.iter();
    expected
        .iter()
        .all(|expected| seen.any(|seen| is(expected, seen)))
}

fn is_written(expected: &BTreeMap<String, Value>, seen: &Seen) -> bool {
    let is = |(key, value): (&String, &Value)| {
        let seen = seen.written.get(key);
        seen.is_some_and(|seen| is_state(value, seen.as_deref()))
    };
    expected.len() == seen.written.len() && expected.iter().all(is)
}

fn stands(expected: &BTreeMap<String, Value>, seen: &Seen) -> bool {
    let mut each = expected.iter();
    each.all(|(key, value)| is_state(value, seen.state.get(key).map(String::as_str)))
}

/// A text is the value to the byte, `null` is none, and everything else is compared
/// as JSON.
fn is_state(expected: &Value, seen: Option<&str>) -> bool {
    match (expected, seen) {
        (Value::Null, seen) => seen.is_none(),
        (Value::String(expected), Some(seen)) => expected == seen,
        (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), Some(seen)) => {
            serde_json::from_str::<Value>(seen).is_ok_and(|seen| seen == *expected)
        }
        (
            Value::String(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_),
            None,
        ) => false,
    }
}

/// What was not counted is not over a bound: the outcome says why it was not.
fn is_over(most: &AtMost, seen: &Seen) -> bool {
    let Some(counted) = seen.cost.and_then(|cost| cost.counted) else {
        return false;
    };
    let over = |max: Option<u64>, used: Option<u64>| match (max, used) {
        (Some(max), Some(used)) => used > max,
        (Some(_) | None, _) => false,
    };
    over(most.fuel, counted.fuel) || over(most.memory_kb, Some(kilobytes(counted.memory_bytes)))
}

fn used(seen: &Seen) -> Value {
    match seen.cost.and_then(|cost| cost.counted) {
        Some(counted) => {
            json!({"fuel": counted.fuel, "memory_kb": kilobytes(counted.memory_bytes)})
        }
        None => Value::Null,
    }
}

fn kilobytes(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(1024)
}

/// The lines that differ, `-` expected and `+` seen, with a few around them.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pretty = |value: &Value| format!("{value:#}\n");
        let (expected, seen) = (pretty(&self.expected), pretty(&self.seen));
        let diff = TextDiff::from_lines(&expected, &seen);
        let mut lines = 0;
        for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
            if index > 0 {
                writeln!(f, "  …")?;
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                lines += 1;
                if lines > LINES_MAX {
                    return writeln!(f, "  … and more; `--output json` has all of it");
                }
                write!(f, "{} {change}", change.tag())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qx_sandbox::{Cost, Counted};

    use super::*;

    fn seen() -> Seen {
        Seen {
            outcome: Outcome::Done,
            emitted: serde_json::from_value(json!([
                {"name": "a", "version": 1, "payload": {"n": 1, "b": [true]}},
                {"name": "b", "version": 2, "payload": null},
            ]))
            .unwrap(),
            written: [
                ("k".to_owned(), Some("{\"a\": 1}".to_owned())),
                ("gone".to_owned(), None),
            ]
            .into(),
            state: [
                ("k".to_owned(), "{\"a\": 1}".to_owned()),
                ("old".to_owned(), "7".to_owned()),
            ]
            .into(),
            logs: serde_json::from_value(json!([
                {"level": "info", "message": "one"},
                {"level": "warn", "message": "two of three"},
            ]))
            .unwrap(),
            http: Vec::new(),
            sql: Vec::new(),
            cost: Some(Cost {
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                counted: Some(Counted {
                    memory_bytes: 1 << 20,
                    fuel: Some(1_000),
                }),
            }),
        }
    }

    fn parts(expected: Value) -> Vec<&'static str> {
        let expected: Expect = serde_json::from_value(expected).unwrap();
        of_expectation(&expected, &seen())
            .iter()
            .map(|d| d.part)
            .collect()
    }

    #[test]
    fn what_is_as_expected_makes_no_difference() {
        for expected in [
            json!({}),
            json!({"outcome": "done"}),
            json!({"emitted": [{"name": "a", "payload": {"b": [true], "n": 1}}, {"name": "b", "version": 2, "payload": null}]}),
            json!({"emitted": [{"name": "a"}, {"name": "b", "version": 2}]}),
            json!({"emitted_includes": [{"name": "b", "version": 2}]}),
            json!({"emitted_includes": []}),
            json!({"state": {"k": {"a": 1}, "gone": null}}),
            json!({"state": {"k": "{\"a\": 1}", "gone": null}}),
            json!({"state_includes": {"old": 7, "gone": null, "never": null}}),
            json!({"state_includes": {"old": "7"}}),
            json!({"logs": [{"level": "info", "message": "one"}, {"message": {"contains": "of"}}]}),
            json!({"logs_include": [{"message": "one"}]}),
            json!({"at_most": {"fuel": 1000, "memory_kb": 1024}}),
        ] {
            assert_eq!(parts(expected.clone()), [""; 0], "{expected}");
        }
    }

    #[test]
    fn a_difference_has_the_name_of_its_part() {
        for (expected, part) in [
            (json!({"outcome": "retry"}), "outcome"),
            (json!({"outcome": {"failed": "trap"}}), "outcome"),
            (json!({"emitted": [{"name": "a"}]}), "emitted"),
            (
                json!({"emitted": [{"name": "b", "version": 2}, {"name": "a"}]}),
                "emitted",
            ),
            (
                json!({"emitted": [{"name": "a", "version": 2}, {"name": "b"}]}),
                "emitted",
            ),
            (
                json!({"emitted": [{"name": "a"}, {"name": "b", "version": 2, "payload": 1}]}),
                "emitted",
            ),
            (
                json!({"emitted_includes": [{"name": "b", "version": 2}, {"name": "a"}]}),
                "emitted_includes",
            ),
            (json!({"state": {"k": {"a": 1}}}), "state"),
            (json!({"state": {"k": "{\"a\":1}", "gone": null}}), "state"),
            (json!({"state": {"k": null, "gone": null}}), "state"),
            (json!({"state": {"k": {"a": 1}, "other": null}}), "state"),
            (json!({"state_includes": {"k": null}}), "state_includes"),
            (json!({"state_includes": {"never": "x"}}), "state_includes"),
            (json!({"logs": [{"message": "one"}]}), "logs"),
            (
                json!({"logs_include": [{"level": "info", "message": {"contains": "two"}}]}),
                "logs_include",
            ),
            (json!({"at_most": {"fuel": 999}}), "at_most"),
            (json!({"at_most": {"memory_kb": 1023}}), "at_most"),
        ] {
            assert_eq!(parts(expected.clone()), [part], "{expected}");
        }
    }

    #[test]
    fn outcomes_are_compared_by_their_words() {
        let outcome = |json: Value| serde_json::from_value::<Outcome>(json).unwrap();
        let retry = outcome(json!({"retry": {"reason": "try later", "after_ms": 30}}));
        let failed = outcome(json!({"failed": {"limit": "trap", "detail": "boom: unreachable"}}));
        for (expected, seen, same) in [
            (json!("retry"), &retry, true),
            (
                json!({"retry": {"reason": "try later", "after_ms": 30}}),
                &retry,
                true,
            ),
            (json!({"retry": {"reason": "try later"}}), &retry, false),
            (
                json!({"retry": {"reason": {"contains": "later"}, "after_ms": 30}}),
                &retry,
                true,
            ),
            (
                json!({"retry": {"reason": "later", "after_ms": 30}}),
                &retry,
                false,
            ),
            (json!("reject"), &retry, false),
            (json!({"failed": "trap"}), &failed, true),
            (json!({"failed": "memory"}), &failed, false),
            (
                json!({"failed": {"limit": "trap", "detail": {"contains": "boom"}}}),
                &failed,
                true,
            ),
            (
                json!({"failed": {"limit": "trap", "detail": "boom"}}),
                &failed,
                false,
            ),
        ] {
            assert_eq!(
                is_outcome(&outcome(expected.clone()), seen),
                same,
                "{expected}"
            );
        }
    }

    #[test]
    fn a_difference_is_shown_line_by_line_and_not_without_end() {
        let difference = |expected: Value, seen: Value| {
            Difference {
                part: "emitted",
                expected,
                seen,
            }
            .to_string()
        };
        let shown = difference(json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}));
        assert!(shown.contains("-   \"b\": 2\n+   \"b\": 3\n"), "{shown}");
        assert!(shown.contains("    \"a\": 1,\n"), "{shown}");
        let long: Vec<u32> = (0..1_000).collect();
        let shown = difference(json!([]), json!(long));
        assert!(shown.lines().count() <= LINES_MAX + 1 && shown.contains("and more"));
    }
}

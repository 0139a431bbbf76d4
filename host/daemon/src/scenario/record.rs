//! Writes what came of a scenario into its file: in the place of what was expected
//! there, and nowhere else. The rest of the file stays as it is, to the byte.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::expect::{Emitted, Expect, Failed, Line, Outcome};
use super::seen::Seen;

/// Where the parts of a scenario stand in its text.
#[derive(Deserialize)]
struct Spans<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    expect: Option<&'a RawValue>,
    #[serde(borrow)]
    steps: Option<Vec<StepSpans<'a>>>,
}

#[derive(Deserialize)]
struct StepSpans<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    expect: Option<&'a RawValue>,
}

/// What came of an event, in the order in which a person reads it.
#[derive(Serialize)]
struct Recorded<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emitted: Option<&'a [Emitted]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<&'a [Line]>,
}

/// The text of a scenario with what was seen in it. `news` has an entry for each
/// step; what is `None` is as expected, and stays.
pub(super) fn recorded(
    text: &str,
    news: &[Option<(Option<&Expect>, &Seen)>],
) -> serde_json::Result<String> {
    let spans: Spans<'_> = serde_json::from_str(text)?;
    let steps = match spans.steps {
        Some(steps) => steps,
        None => vec![StepSpans {
            event: spans.event,
            expect: spans.expect,
        }],
    };
    let mut whole = text.to_owned();
    // From the end, so that what stands before keeps its place.
    for (step, new) in steps.iter().zip(news).rev() {
        let Some((expected, seen)) = new else {
            continue;
        };
        if let Some(old) = step.expect {
            let place = place(text, old.get());
            let value = indented(&of(*expected, seen), indent(text, place.start))?;
            whole.replace_range(place, &value);
        } else if let Some(event) = step.event {
            let place = place(text, event.get());
            let indent = indent(text, place.start);
            let value = indented(&of(None, seen), indent)?;
            let pad = " ".repeat(indent);
            whole.insert_str(place.end, &format!(",\n{pad}\"expect\": {value}"));
        }
    }
    Ok(whole)
}

/// The parts that the scenario names; all of them where it names none.
fn of<'a>(expected: Option<&Expect>, seen: &'a Seen) -> Recorded<'a> {
    let has = |part: fn(&Expect) -> bool| expected.is_none_or(part);
    Recorded {
        outcome: has(|e| e.outcome.is_some()).then(|| repeatable(&seen.outcome)),
        emitted: has(|e| e.emitted.is_some() || e.emitted_includes.is_some())
            .then_some(&seen.emitted),
        state: has(|e| e.state.is_some() || e.state_includes.is_some())
            .then(|| seen.written_json()),
        logs: has(|e| e.logs.is_some() || e.logs_include.is_some()).then_some(&seen.logs),
    }
}

/// Without what another build would say in other words: the place of a trap.
fn repeatable(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(failed) => Outcome::Failed(Failed {
            limit: failed.limit.clone(),
            detail: None,
        }),
        Outcome::Done
        | Outcome::Retry(_)
        | Outcome::Reject(_)
        | Outcome::NotTaken
        | Outcome::UnknownVersion => outcome.clone(),
    }
}

/// Where a part of a text stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// How far the line is indented that a place is in.
fn indent(text: &str, place: usize) -> usize {
    let line = text.get(..place).unwrap_or_default().rsplit('\n').next();
    let line = line.unwrap_or_default();
    line.len() - line.trim_start_matches(' ').len()
}

fn indented(value: &impl Serialize, by: usize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(text.replace('\n', &format!("\n{}", " ".repeat(by))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            outcome: Outcome::Done,
            emitted: Vec::new(),
            written: [
                ("k".to_owned(), Some("1".to_owned())),
                ("d".to_owned(), None),
            ]
            .into(),
            state: BTreeMap::new(),
            logs: serde_json::from_str(r#"[{"level": "info", "message": "hello"}]"#).unwrap(),
            cost: None,
        }
    }

    #[test]
    fn what_was_expected_is_replaced_and_the_rest_stays_to_the_byte() {
        let text = "{\n  \"about\":   \"a\",\n  \"event\": {\"name\": \"a\", \"payload\": {\"n\": 1.10}},\n  \"expect\": {\"outcome\": \"retry\", \"state_includes\": {}}\n}\n";
        let old: Expect =
            serde_json::from_str(r#"{"outcome": "retry", "state_includes": {}}"#).unwrap();
        let new = recorded(text, &[Some((Some(&old), &seen()))]).unwrap();
        let (before, _) = text.split_once("{\"outcome\"").unwrap();
        let expected = format!(
            "{before}{{\n    \"outcome\": \"done\",\n    \"state\": {{\n      \"d\": null,\n      \"k\": \"1\"\n    }}\n  }}\n}}\n"
        );
        assert_eq!(new, expected);
        assert_eq!(recorded(text, &[None]).unwrap(), text);
    }

    #[test]
    fn what_was_not_recorded_yet_is_added_behind_its_event() {
        let text = "{\n  \"about\": \"a\",\n  \"steps\": [\n    {\n      \"event\": {\"name\": \"a\"}\n    },\n    {\"event\": {\"name\": \"b\"}, \"expect\": {}}\n  ]\n}";
        let new = recorded(text, &[Some((None, &seen())), None]).unwrap();
        let value: Value = serde_json::from_str(&new).unwrap();
        let step = &value["steps"][0];
        assert_eq!(step["expect"]["outcome"], "done");
        assert_eq!(step["expect"]["logs"][0]["message"], "hello");
        assert_eq!(step["expect"]["emitted"], serde_json::json!([]));
        assert!(
            new.contains("{\"name\": \"a\"},\n      \"expect\": {\n        \"outcome\""),
            "{new}"
        );
        assert!(
            new.ends_with("{\"event\": {\"name\": \"b\"}, \"expect\": {}}\n  ]\n}"),
            "{new}"
        );
    }
}

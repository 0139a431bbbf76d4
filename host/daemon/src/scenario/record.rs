//! Writes what came of a scenario into its file: in the place of what was expected
//! there, and nowhere else. The rest of the file stays as it is, to the byte.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::compare::of_expectation;
use super::expect::{Emitted, Expect, Failed, Line, Outcome};
use super::file::Step;
use super::script::{Call, Exchange, Fate, holds, places};
use super::seen::Seen;

/// The events of a scenario in its text, where there are several.
#[derive(Deserialize)]
struct Steps<'a> {
    #[serde(borrow)]
    steps: Option<Vec<Spans<'a>>>,
}

/// Where the parts of an event stand in its text.
#[derive(Deserialize)]
struct Spans<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    http: Option<&'a RawValue>,
    #[serde(borrow)]
    sql: Option<&'a RawValue>,
    #[serde(borrow)]
    expect: Option<&'a RawValue>,
}

/// An event that did not come to what it should, and what it came to.
pub(super) struct News<'a> {
    pub(super) step: &'a Step,
    pub(super) seen: &'a Seen,
}

impl News<'_> {
    /// Whether it asked for something else than it should.
    pub(super) fn asks_otherwise(&self) -> bool {
        !holds(&self.step.http, &self.seen.http) || !holds(&self.step.sql, &self.seen.sql)
    }
}

/// Which parts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What handlers ask for. What comes of an event depends on the answers.
    Exchanges,
    /// What comes of it.
    Expectations,
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

/// A call that no exchange was for, with the answer that is known, or a plain one.
#[derive(Serialize)]
struct NewExchange<'a, W> {
    #[serde(flatten)]
    call: W,
    #[serde(flatten)]
    answer: BTreeMap<&'a str, &'a RawValue>,
}

/// A place of a text, and what stands there afterwards.
struct Edit {
    place: Range<usize>,
    new: String,
}

/// The text of a scenario with what was seen in it. `news` has an entry for each
/// step; what is `None` is as expected, and stays.
pub(super) fn recorded(
    text: &str,
    part: Part,
    news: &[Option<News<'_>>],
) -> serde_json::Result<String> {
    let steps = match serde_json::from_str::<Steps<'_>>(text)?.steps {
        Some(steps) => steps,
        None => vec![serde_json::from_str(text)?],
    };
    let mut edits = Vec::new();
    for (spans, news) in steps.iter().zip(news) {
        if let Some(news) = news {
            edits.extend(match part {
                Part::Exchanges => spans.exchanges(text, news)?,
                Part::Expectations => spans.expectation(text, news)?,
            });
        }
    }
    // From the end, so that what stands before keeps its place.
    edits.sort_by_key(|edit| Reverse(edit.place.start));
    let mut whole = text.to_owned();
    for Edit { place, new } in edits {
        whole.replace_range(place, &new);
    }
    Ok(whole)
}

impl Spans<'_> {
    fn expectation(&self, text: &str, news: &News<'_>) -> serde_json::Result<Vec<Edit>> {
        let expected = news.step.expect.as_ref();
        if expected.is_some_and(|expected| of_expectation(expected, news.seen).is_empty()) {
            return Ok(Vec::new());
        }
        let value = |indent| indented(&of(expected, news.seen), indent);
        let before = [self.event, self.http, self.sql];
        edit(text, self.expect, &before, "expect", value)
    }

    /// Of two lists that are put into the same place the last comes first: it is pushed on.
    fn exchanges(&self, text: &str, news: &News<'_>) -> serde_json::Result<Vec<Edit>> {
        let News { step, seen } = news;
        let mut edits = Vec::new();
        if !holds(&step.sql, &seen.sql) {
            let value = |indent| exchanges(self.sql, &step.sql, &seen.sql, indent);
            edits.extend(edit(
                text,
                self.sql,
                &[self.event, self.http],
                "sql",
                value,
            )?);
        }
        if !holds(&step.http, &seen.http) {
            let value = |indent| exchanges(self.http, &step.http, &seen.http, indent);
            edits.extend(edit(text, self.http, &[self.event], "http", value)?);
        }
        Ok(edits)
    }
}

/// Puts a value in the place of the old one, or behind the last of the parts before it.
fn edit(
    text: &str,
    old: Option<&RawValue>,
    before: &[Option<&RawValue>],
    key: &str,
    value: impl FnOnce(usize) -> serde_json::Result<String>,
) -> serde_json::Result<Vec<Edit>> {
    if let Some(old) = old {
        let place = place(text, old.get());
        let new = value(indent(text, place.start))?;
        return Ok(vec![Edit { place, new }]);
    }
    let before = before.iter().flatten().map(|part| place(text, part.get()));
    let Some(last) = before.max_by_key(|place| place.end) else {
        return Ok(Vec::new());
    };
    let indent = indent(text, last.start);
    let (value, pad) = (value(indent)?, " ".repeat(indent));
    Ok(vec![Edit {
        place: last.end..last.end,
        new: format!(",\n{pad}\"{key}\": {value}"),
    }])
}

/// The calls that left, each with its answer. An exchange that held stays to the byte.
fn exchanges<E: Exchange>(
    old: Option<&RawValue>,
    expected: &[E],
    calls: &[Call<E::Asked>],
    indent: usize,
) -> serde_json::Result<String> {
    /// Further in than the list.
    const STEP: usize = 2;
    let old: Vec<&RawValue> = match old {
        Some(old) => serde_json::from_str(old.get())?,
        None => Vec::new(),
    };
    let mut new = Vec::new();
    for (call, place) in calls.iter().zip(places(expected, calls)) {
        let old = place.and_then(|index| old.get(index));
        let like = place.and_then(|index| expected.get(index));
        new.push(match (&call.fate, old) {
            (Fate::Refused(_), _) => continue,
            (Fate::Answered(_), Some(old)) => old.get().to_owned(),
            (Fate::Answered(_) | Fate::Unexpected, old) => {
                let known = like.is_some_and(|like| like.answers(&call.asked));
                let answer = if let Some(old) = old.filter(|_| known) {
                    answer::<E>(old)?
                } else {
                    let (key, plain) = E::plain_answer(&call.asked);
                    [(key, serde_json::from_str(plain)?)].into()
                };
                let call = E::shown(&call.asked, like);
                indented(&NewExchange { call, answer }, indent + STEP)?
            }
        });
    }
    if new.is_empty() {
        return Ok("[]".to_owned());
    }
    let (pad, end) = (" ".repeat(indent + STEP), " ".repeat(indent));
    let new = new.join(&format!(",\n{pad}"));
    Ok(format!("[\n{pad}{new}\n{end}]"))
}

/// What of an exchange is the answer.
fn answer<E: Exchange>(exchange: &RawValue) -> serde_json::Result<BTreeMap<&str, &RawValue>> {
    let mut keys: BTreeMap<&str, &RawValue> = serde_json::from_str(exchange.get())?;
    keys.retain(|key, _| E::ANSWERS.contains(key));
    Ok(keys)
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
mod tests;

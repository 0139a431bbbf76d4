//! What must come of an event, as a scenario says it.
//!
//! A part that is not named is not looked at. A text is the whole text, or
//! `{"contains": "…"}`.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use qx_events::Breach;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::short::text_or_object;

/// What must come of an event.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// What the handler did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    /// All events that it emitted, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) emitted: Option<Vec<Emitted>>,
    /// Events that are among those it emitted, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) emitted_includes: Option<Vec<Emitted>>,
    /// Every key that it wrote; `null` where it deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<BTreeMap<String, Value>>,
    /// What stands in the state afterwards, whoever wrote it; `null`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_includes: Option<BTreeMap<String, Value>>,
    /// All lines that it logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logs: Option<Vec<Line>>,
    /// Lines that are among those it logged, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logs_include: Option<Vec<Line>>,
    /// What it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at_most: Option<AtMost>,
}

/// A bound on what a call uses. Steps are the same on every machine, memory is
/// nearly so, and time is not among them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtMost {
    /// Steps of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fuel: Option<u64>,
    /// Linear memory, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_kb: Option<u64>,
}

/// An emitted event. Without a payload, any.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emitted {
    /// Its name.
    pub(super) name: String,
    /// Version of the payload's shape.
    #[serde(default = "first")]
    pub(super) version: u32,
    /// Compared as JSON: the order of keys and white space do not matter.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) payload: Option<Value>,
    /// Its ordering key; any, or none, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// When it would leave; at any time when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Due>,
}

/// When an event would leave that does not leave at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Due {
    /// After so many milliseconds.
    AfterMs(u64),
    /// At this time.
    At(DateTime<Utc>),
}

/// `null` is a payload too.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

const fn first() -> u32 {
    1
}

/// A line of log. Without a level, of any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// How loud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) level: Option<Level>,
    /// What it says.
    pub(super) message: Text,
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// This.
    Whole(String),
    /// Something with this in it.
    Contains(String),
}

impl Text {
    /// Whether a text is so.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Whole(own) => own == text,
            Self::Contains(part) => text.contains(part.as_str()),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contains {
    contains: String,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_object(
            deserializer,
            "a text, or {\"contains\": \"…\"}",
            |text| Ok(Self::Whole(text.to_owned())),
            |part: Contains| Ok(Self::Contains(part.contains)),
        )
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(text) => text.serialize(serializer),
            Self::Contains(part) => Contains {
                contains: part.clone(),
            }
            .serialize(serializer),
        }
    }
}

/// What the handler must have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned, and its effects would be committed.
    Done,
    /// It asked to be called again. Without more, in whatever words.
    Retry(Option<Retry>),
    /// It declined for good. Without more, in whatever words.
    Reject(Option<Text>),
    /// The sandbox ended it.
    Failed(Failed),
    /// No event of this name reaches it.
    NotTaken,
    /// It takes the event, and not this version.
    UnknownVersion,
}

/// A retry that must have been asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The handler's words.
    pub reason: Text,
    /// The pause that it names; absent when it must name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

/// How the sandbox must have ended it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// `trap`, or the limit's word in `docs/limits.md`.
    #[serde(deserialize_with = "word")]
    pub limit: String,
    /// What the sandbox saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let word = String::deserialize(deserializer)?;
    known(&word).map_err(Error::custom)?;
    Ok(word)
}

fn known(word: &str) -> Result<(), String> {
    if Breach::ALL.iter().any(|breach| breach.as_str() == word) {
        return Ok(());
    }
    let words: Vec<&str> = Breach::ALL.iter().map(|breach| breach.as_str()).collect();
    Err(format!(
        "a call fails by a trap or by a limit, and `{word}` is none; one of {}",
        words.join(", ")
    ))
}

/// What can stand for an outcome.
const OUTCOMES: &str = "\"done\", \"retry\", \"reject\", \"not_taken\", \"unknown_version\", \
{\"retry\": {\"reason\": …, \"after_ms\": …}}, {\"reject\": …} or {\"failed\": \"<trap or limit>\"}";

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OutcomeVisitor)
    }
}

struct OutcomeVisitor;

impl<'de> Visitor<'de> for OutcomeVisitor {
    type Value = Outcome;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an outcome: {OUTCOMES}")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Outcome, E> {
        match word {
            "done" => Ok(Outcome::Done),
            "retry" => Ok(Outcome::Retry(None)),
            "reject" => Ok(Outcome::Reject(None)),
            "not_taken" => Ok(Outcome::NotTaken),
            "unknown_version" => Ok(Outcome::UnknownVersion),
            other => Err(E::custom(format!(
                "`{other}` is no outcome; use {OUTCOMES}"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outcome, A::Error> {
        let key: Option<String> = map.next_key()?;
        let outcome = match key.as_deref() {
            Some("retry") => Outcome::Retry(Some(map.next_value()?)),
            Some("reject") => Outcome::Reject(Some(map.next_value()?)),
            Some("failed") => Outcome::Failed(map.next_value::<FailedGiven>()?.0),
            Some(_) | None => {
                let what = key.unwrap_or_else(|| "{}".to_owned());
                return Err(A::Error::custom(format!(
                    "`{what}` is no outcome; use {OUTCOMES}"
                )));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(outcome),
            Some(more) => Err(A::Error::custom(format!(
                "an outcome is one thing, and `{more}` is another"
            ))),
        }
    }
}

/// `"memory"`, or `{"limit": "memory", "detail": …}`.
struct FailedGiven(Failed);

impl<'de> Deserialize<'de> for FailedGiven {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let only = |word: &str| {
            known(word)?;
            Ok(Failed {
                limit: word.to_owned(),
                detail: None,
            })
        };
        text_or_object(
            deserializer,
            "`trap`, a limit's word, or {\"limit\": \"…\", \"detail\": \"…\"}",
            only,
            Ok,
        )
        .map(Self)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let one = |key: &str, value: Value| BTreeMap::from([(key.to_owned(), value)]);
        let json =
            |value: Result<Value, serde_json::Error>| value.map_err(serde::ser::Error::custom);
        match self {
            Self::Done => "done".serialize(serializer),
            Self::Retry(None) => "retry".serialize(serializer),
            Self::Reject(None) => "reject".serialize(serializer),
            Self::NotTaken => "not_taken".serialize(serializer),
            Self::UnknownVersion => "unknown_version".serialize(serializer),
            Self::Retry(Some(retry)) => {
                one("retry", json(serde_json::to_value(retry))?).serialize(serializer)
            }
            Self::Reject(Some(reason)) => {
                one("reject", json(serde_json::to_value(reason))?).serialize(serializer)
            }
            Self::Failed(failed) if failed.detail.is_none() => {
                one("failed", Value::String(failed.limit.clone())).serialize(serializer)
            }
            Self::Failed(failed) => {
                one("failed", json(serde_json::to_value(failed))?).serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(value: &Value) -> Result<Outcome, String> {
        serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_outcome_is_written_as_it_was_read() {
        for written in [
            json!("done"),
            json!("retry"),
            json!("reject"),
            json!("not_taken"),
            json!("unknown_version"),
            json!({"retry": {"reason": "later"}}),
            json!({"retry": {"reason": {"contains": "late"}, "after_ms": 30}}),
            json!({"reject": "never"}),
            json!({"failed": "memory"}),
            json!({"failed": {"limit": "trap", "detail": {"contains": "unreachable"}}}),
        ] {
            let read = outcome(&written).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_outcome_says_what_is() {
        for (written, said) in [
            (json!("ok"), "`ok` is no outcome; use \"done\""),
            (json!({}), "`{}` is no outcome"),
            (json!({"rejected": "x"}), "`rejected` is no outcome"),
            (json!({"failed": "money"}), "`money` is none; one of trap"),
            (json!({"failed": {"limit": "money"}}), "`money` is none"),
            (json!({"reject": "a", "retry": 1}), "`retry` is another"),
            (json!({"retry": {"resaon": "a"}}), "unknown field `resaon`"),
            (json!(7), "an outcome: \"done\""),
        ] {
            let error = outcome(&written).unwrap_err();
            assert!(error.contains(said), "{written}: {error}");
        }
    }

    #[test]
    fn a_text_is_the_whole_or_a_part() {
        let text = |json: Value| serde_json::from_value::<Text>(json).unwrap();
        assert!(text(json!("ab")).is("ab") && !text(json!("ab")).is("abc"));
        assert!(text(json!({"contains": "b"})).is("abc"));
        assert!(serde_json::from_value::<Text>(json!({"has": "b"})).is_err());
    }
}

//! A scenario as it is written: a JSON file, of which every key is known, and each
//! mistake is told with its place and what was probably meant.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qx_events::Limits;
use qx_events::web::HttpGrant;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::expect::Expect;
use super::fault::{ScenarioFault, fault};
use super::http::HttpExchange;
use super::short::text_or_object;
use super::sql::SqlExchange;

/// Where a project keeps its scenarios.
pub const FOLDER: &str = "cases";

/// Largest file: with recorded payloads in it.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Events of one scenario: they are given one after the other.
const STEPS_MAX: usize = 1_000;

/// A scenario that was read.
#[derive(Debug)]
pub struct Scenario {
    /// Its file.
    pub(super) path: PathBuf,
    /// The file's stem.
    pub(super) name: String,
    /// What it shows.
    pub(super) about: String,
    /// Settings over those of the component's file.
    pub(super) config: BTreeMap<String, String>,
    /// Limits over those of the component's file.
    pub(super) limits: LimitsGiven,
    /// Secrets that the component is granted, by name.
    pub(super) secrets: BTreeMap<String, String>,
    /// Where its requests may go; `None`: nobody says.
    pub(super) allow: Option<Vec<HttpGrant>>,
    /// State before, of the first event's tenant.
    pub(super) state: BTreeMap<String, String>,
    /// The events, in their order. Not empty.
    pub(super) steps: Vec<Step>,
}

/// One event, what the handler asks for meanwhile, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The event.
    pub(super) event: EventGiven,
    /// The requests that it sends, and the answers.
    #[serde(default)]
    pub(super) http: Vec<HttpExchange>,
    /// The statements that it runs, and the answers.
    #[serde(default)]
    pub(super) sql: Vec<SqlExchange>,
    /// `None`: not recorded yet.
    pub(super) expect: Option<Expect>,
}

/// An event, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventGiven {
    /// Its name.
    pub(super) name: String,
    /// Version of the payload's shape.
    #[serde(default = "first")]
    pub(super) version: u32,
    /// Its payload, to the byte.
    pub(super) payload: Option<Box<RawValue>>,
    /// Or where it was recorded.
    pub(super) from: Option<Recorded>,
    /// Which attempt this is.
    #[serde(default = "first")]
    pub(super) attempt: u32,
    /// The rest of the envelope.
    pub(super) id: Option<String>,
    /// When it happened.
    pub(super) occurred_at: Option<String>,
    /// Whose event it is.
    pub(super) tenant_id: Option<String>,
    /// What it belongs to.
    pub(super) correlation_id: Option<String>,
    /// What caused it.
    pub(super) causation_id: Option<String>,
    /// Who acted.
    pub(super) actor_id: Option<String>,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
}

/// The `index`-th event of this name in a file of events, one a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// Relative to the folder that holds the scenario's folder.
    pub(super) file: PathBuf,
    /// The event's name there.
    pub(super) name: String,
    /// Which of them, from 0.
    #[serde(default)]
    pub(super) index: usize,
}

/// Limits that a scenario sets; the rest is the component's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsGiven {
    timeout_ms: Option<u64>,
    cpu_ms: Option<u64>,
    memory_mb: Option<usize>,
    host_calls: Option<u32>,
    log_lines: Option<u32>,
    log_kb: Option<usize>,
    emitted_events: Option<u32>,
    value_kb: Option<usize>,
    http_requests: Option<u32>,
    http_response_kb: Option<usize>,
}

impl LimitsGiven {
    /// These over others.
    pub(super) fn over(&self, base: &Limits) -> Limits {
        let millis = |own: Option<u64>, base| own.map_or(base, Duration::from_millis);
        let shifted = |own: Option<usize>, by, base| {
            own.map_or(base, |own| own.saturating_mul(1_usize << by))
        };
        Limits {
            timeout: millis(self.timeout_ms, base.timeout),
            cpu: millis(self.cpu_ms, base.cpu),
            memory_bytes: shifted(self.memory_mb, 20, base.memory_bytes),
            host_calls: self.host_calls.unwrap_or(base.host_calls),
            log_lines: self.log_lines.unwrap_or(base.log_lines),
            log_bytes: shifted(self.log_kb, 10, base.log_bytes),
            emitted_events: self.emitted_events.unwrap_or(base.emitted_events),
            value_bytes: shifted(self.value_kb, 10, base.value_bytes),
            http_requests: self.http_requests.unwrap_or(base.http_requests),
            http_response_bytes: shifted(self.http_response_kb, 10, base.http_response_bytes),
            ..base.clone()
        }
    }
}

const fn first() -> u32 {
    1
}

/// The file, before it is known whether it makes sense.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    about: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    limits: LimitsGiven,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    allow: Option<Vec<Allowed>>,
    #[serde(default)]
    state: BTreeMap<String, Value>,
    event: Option<EventGiven>,
    http: Option<Vec<HttpExchange>>,
    sql: Option<Vec<SqlExchange>>,
    expect: Option<Expect>,
    steps: Option<Vec<Step>>,
}

/// A place that requests may go to, as an operator grants it: a text, or a table.
struct Allowed(HttpGrant);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowedTable {
    url: String,
    #[serde(default)]
    private: bool,
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place =
            |url: &str, private| HttpGrant::parse(url, private).map_err(|error| error.to_string());
        text_or_object(
            deserializer,
            "\"https://host\", or {\"url\": \"http://host:8080\", \"private\": true}",
            |url| place(url, false),
            |table: AllowedTable| place(&table.url, table.private),
        )
        .map(Self)
    }
}

impl Raw {
    /// The events, however they are written.
    fn steps(&mut self) -> Result<Vec<Step>, String> {
        let beside = [
            ("event", self.event.is_some()),
            ("http", self.http.is_some()),
            ("sql", self.sql.is_some()),
            ("expect", self.expect.is_some()),
        ];
        let beside = beside.into_iter().find(|(_, there)| *there);
        match (self.event.take(), self.steps.take(), beside) {
            (Some(event), None, _) => Ok(vec![Step {
                event,
                http: self.http.take().unwrap_or_default(),
                sql: self.sql.take().unwrap_or_default(),
                expect: self.expect.take(),
            }]),
            (None, Some(steps), None) if steps.is_empty() => {
                Err("`steps` is empty: each step is {\"event\": …, \"expect\": …}".to_owned())
            }
            (None, Some(steps), None) if steps.len() > STEPS_MAX => Err(format!(
                "has more than {STEPS_MAX} steps: make several scenarios of it"
            )),
            (None, Some(steps), None) => Ok(steps),
            (None, None, _) => Err(
                "has no event: add `event` and `expect`, or several of them in `steps`".to_owned(),
            ),
            (_, Some(_), Some((key, _))) => Err(format!(
                "has either `event` and `expect`, or `steps`, and not both: `{key}` goes into its step"
            )),
            (Some(_), Some(_), None) => Err("has both `event` and `steps`".to_owned()),
        }
    }
}

impl Scenario {
    /// Reads one.
    pub fn load(path: &Path) -> Result<Self, ScenarioFault> {
        let wrong = |text: String| ScenarioFault::new(path, text);
        let meta =
            std::fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if meta.len() > FILE_BYTES_MAX {
            let megabytes = FILE_BYTES_MAX >> 20;
            return Err(wrong(format!(
                "is larger than {megabytes} MB; keep payloads in a file of recorded events and name it with `from`"
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        Self::parse(path, &text)
    }

    /// As [`Scenario::load`], with the text at hand.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioFault> {
        let mut raw: Raw = serde_json::from_str(text).map_err(|error| fault(path, &error))?;
        let steps = raw.steps().map_err(|text| ScenarioFault::new(path, text))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text_of = |(key, value)| (key, state_text(value).into_owned());
        Ok(Self {
            path: path.to_owned(),
            name,
            about: raw.about,
            config: raw.config,
            limits: raw.limits,
            secrets: raw.secrets,
            allow: raw
                .allow
                .map(|allow| allow.into_iter().map(|own| own.0).collect()),
            state: raw.state.into_iter().map(text_of).collect(),
            steps,
        })
    }

    /// The file's stem.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it says of every event what the handler does, emits, writes and logs.
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|step| {
            let expect = step.expect.as_ref();
            expect.is_some_and(|expect| {
                expect.outcome.is_some()
                    && expect.emitted.is_some()
                    && expect.state.is_some()
                    && expect.logs.is_some()
            })
        })
    }

    /// The folder that paths in it start from: a scenario lies in a folder of the
    /// project.
    pub(super) fn project(&self) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        folder.join("..")
    }
}

/// A value of state as the component reads it: a text is itself, everything else is
/// written as JSON.
fn state_text(value: Value) -> Cow<'static, str> {
    match value {
        Value::String(text) => Cow::Owned(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scenario, String> {
        Scenario::parse(Path::new("cases/x.json"), text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn one_event_or_several_and_state_as_text_or_as_json() {
        let one = parse(
            r#"{"about": "a", "state": {"n": 41, "t": "41", "o": {"a": [1]}},
                "event": {"name": "a", "payload": {"n": 1.10}}, "expect": {"outcome": "done"}}"#,
        )
        .unwrap();
        assert_eq!(one.name, "x");
        assert_eq!(one.steps.len(), 1);
        assert_eq!(one.state["n"], "41");
        assert_eq!(one.state["t"], "41");
        assert_eq!(one.state["o"], r#"{"a":[1]}"#);
        let payload = one.steps[0].event.payload.as_ref().unwrap();
        assert_eq!(payload.get(), r#"{"n": 1.10}"#, "to the byte");
        let several = parse(
            r#"{"about": "a", "limits": {"timeout_ms": 5, "http_requests": 2, "http_response_kb": 3}, "steps": [
                {"event": {"name": "a", "payload": 1}, "expect": {"outcome": "done"}},
                {"event": {"name": "a", "payload": 2}}]}"#,
        )
        .unwrap();
        assert_eq!(several.steps.len(), 2);
        assert!(several.steps[1].expect.is_none());
        let limits = several.limits.over(&Limits::default());
        assert_eq!(limits.timeout, Duration::from_millis(5));
        assert_eq!(limits.cpu, Limits::default().cpu);
        assert_eq!(
            (limits.http_requests, limits.http_response_bytes),
            (2, 3 << 10)
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_what_was_meant() {
        for (text, said) in [
            (
                "{\"about\": \"a\",\n  \"evnet\": {}}",
                &["cases/x.json:2:3: unknown key `evnet`; did you mean `event`?"][..],
            ),
            (
                "{\"about\": \"a\", \"event\": {\"name\": \"a\",\n \"tenant\": 1}}",
                &[
                    "cases/x.json:2:2: unknown key `tenant`; known are",
                    "tenant_id",
                ],
            ),
            (
                "{\"about\": \"a\", \"event\": {\"name\": \"a\", \"payload\": 1},\n\n \"expect\": {\"outcome\": \"fine\"}}",
                &["cases/x.json:3:", "`fine`", "done"],
            ),
            ("{", &["cases/x.json:1:1: EOF"]),
            ("{}", &["missing field `about`"]),
            ("{\"about\": \"a\"}", &["has no event"]),
            ("{\"about\": \"a\", \"steps\": []}", &["`steps` is empty"]),
            (
                "{\"about\": \"a\", \"steps\": [], \"event\": {\"name\": \"a\"}}",
                &["not both"],
            ),
            (
                "{\"about\": \"a\", \"http\": [], \"steps\": [{\"event\": {\"name\": \"a\"}}]}",
                &["not both: `http` goes into its step"],
            ),
            (
                "{\"about\": \"a\", \"event\": {\"name\": \"a\"},\n \"http\": [{\"request\": {\"mehtod\": 1}}]}",
                &[
                    "cases/x.json:2:",
                    "unknown key `mehtod`; did you mean `method`?",
                ],
            ),
            (
                "{\"about\": \"a\",\n \"allow\": [\"chat.example.com\"]}",
                &[
                    "cases/x.json:2:",
                    "`chat.example.com` is no place for requests",
                ],
            ),
            (
                "{\"about\": \"a\",\n \"allow\": [{\"url\": \"http://a.internal:80\", \"privat\": true}]}",
                &["unknown key `privat`; did you mean `private`?"],
            ),
        ] {
            let error = parse(text).unwrap_err();
            for said in said {
                assert!(error.contains(said), "{text}: {error}");
            }
        }
    }
}

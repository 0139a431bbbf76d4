//! What came of an event: the outcome, the events that would leave, the state as it
//! would be, the lines, and what it cost.

use std::collections::BTreeMap;

use qx_events::ports::{LogLevel, LogLine};
use qx_events::{Due, Effects, NewEvent, Outcome};
use qx_sandbox::Cost;
use serde_json::Value;

use super::script::Call;
use super::{expect, http, sql};

/// What came of one event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// What the handler did, as a scenario would say it.
    pub(super) outcome: expect::Outcome,
    /// The events that would leave with the commit.
    pub(super) emitted: Vec<expect::Emitted>,
    /// What it wrote; `None` where it deleted.
    pub(super) written: BTreeMap<String, Option<String>>,
    /// The state of the event's tenant afterwards.
    pub(super) state: BTreeMap<String, String>,
    /// The lines it logged.
    pub(super) logs: Vec<expect::Line>,
    /// The requests it sent.
    pub(super) http: Vec<Call<http::Asked>>,
    /// The statements it ran.
    pub(super) sql: Vec<Call<sql::Asked>>,
    /// `None` when it was not called.
    pub(super) cost: Option<Cost>,
}

/// What a call leaves beside its outcome.
pub(super) struct Traces {
    /// The lines it logged.
    pub(super) lines: Vec<LogLine>,
    /// What it used.
    pub(super) cost: Option<Cost>,
    /// The requests it sent.
    pub(super) http: Vec<Call<http::Asked>>,
    /// The statements it ran.
    pub(super) sql: Vec<Call<sql::Asked>>,
}

impl Seen {
    /// An event that does not reach the component.
    pub(super) fn not_called(outcome: expect::Outcome, state: BTreeMap<String, String>) -> Self {
        Self {
            outcome,
            emitted: Vec::new(),
            written: BTreeMap::new(),
            state,
            logs: Vec::new(),
            http: Vec::new(),
            sql: Vec::new(),
            cost: None,
        }
    }

    /// A call's outcome on a state. `None` when the host itself could not serve it.
    pub(super) fn of(
        outcome: Outcome,
        mut state: BTreeMap<String, String>,
        traces: Traces,
    ) -> Result<Self, String> {
        let (outcome, effects) = split(outcome)?;
        let mut written = BTreeMap::new();
        for write in effects.writes {
            match &write.value {
                Some(value) => state.insert(write.key.clone(), value.clone()),
                None => state.remove(&write.key),
            };
            written.insert(write.key, write.value);
        }
        Ok(Self {
            outcome,
            emitted: effects.emitted.iter().map(emitted).collect(),
            written,
            state,
            logs: traces.lines.iter().map(line).collect(),
            http: traces.http,
            sql: traces.sql,
            cost: traces.cost,
        })
    }

    /// What it wrote, as JSON: a text, or `null` where it deleted.
    pub(super) fn written_json(&self) -> BTreeMap<String, Value> {
        let json = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
        let each = self.written.iter();
        each.map(|(key, value)| (key.clone(), json(value)))
            .collect()
    }
}

/// What a scenario says of an outcome, and the effects that would be committed.
fn split(outcome: Outcome) -> Result<(expect::Outcome, Effects), String> {
    let seen = match outcome {
        Outcome::Done(effects) => return Ok((expect::Outcome::Done, effects)),
        Outcome::Retry { reason, after } => expect::Outcome::Retry(Some(expect::Retry {
            reason: expect::Text::Whole(reason),
            after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        })),
        Outcome::Rejected { reason } => expect::Outcome::Reject(Some(expect::Text::Whole(reason))),
        Outcome::Failed { breach, detail } => expect::Outcome::Failed(expect::Failed {
            limit: breach.as_str().to_owned(),
            detail: Some(expect::Text::Whole(detail)),
        }),
        Outcome::HostFault(fault) => return Err(fault.to_string()),
    };
    Ok((seen, Effects::default()))
}

fn emitted(new: &NewEvent) -> expect::Emitted {
    let event = &new.0;
    expect::Emitted {
        name: event.event_name.as_str().to_owned(),
        version: event.event_version,
        // It was read as JSON when it was emitted.
        payload: Some(serde_json::from_str(event.payload.get()).unwrap_or_default()),
        key: event.ordering_key.as_ref().map(ToString::to_string),
        due: match new.due() {
            Due::AtOnce => None,
            Due::After(wait) => Some(expect::Due::AfterMs(
                u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            )),
            Due::At(time) => Some(expect::Due::At(time)),
        },
    }
}

fn line(line: &LogLine) -> expect::Line {
    expect::Line {
        level: Some(match line.level {
            LogLevel::Trace => expect::Level::Trace,
            LogLevel::Debug => expect::Level::Debug,
            LogLevel::Info => expect::Level::Info,
            LogLevel::Warn => expect::Level::Warn,
            LogLevel::Error => expect::Level::Error,
        }),
        message: expect::Text::Whole(line.message.clone()),
    }
}

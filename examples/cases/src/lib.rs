//! Holds an example's handlers, natively, against its `cases/*.json`: events, what
//! was there before, and what must come of them.
//!
//! `qx-host test` gives the same files to the built component in the real sandbox.
//! Both must agree, or the double in `qx_guest::testing` is no double. Of what a
//! scenario can say (`docs/testing.md`) this reads what a native test can know: no
//! limits, no traps, no grants, and expectations that are complete.
#![cfg(not(target_arch = "wasm32"))]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "only for tests, which fail this way"
)]

mod outside;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use qx_guest::testing::{Delivery, Emitted, Given, Host, event};
use qx_guest::{Due, Failure, Json};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use outside::{Exchange, Statement};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Judged by the host.
    #[serde(default, rename = "allow")]
    _allow: Vec<Value>,
    #[serde(default)]
    state: BTreeMap<String, Value>,
    event: Option<CaseEvent>,
    #[serde(default)]
    http: Vec<Exchange>,
    #[serde(default)]
    sql: Vec<Statement>,
    expect: Option<Value>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    event: CaseEvent,
    #[serde(default)]
    http: Vec<Exchange>,
    #[serde(default)]
    sql: Vec<Statement>,
    expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEvent {
    name: String,
    version: Option<u32>,
    payload: Option<Json>,
    from: Option<From>,
    id: Option<String>,
    tenant_id: Option<String>,
    attempt: Option<u32>,
}

/// The `index`-th event of this name in a file of events, one a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    file: PathBuf,
    name: String,
    #[serde(default)]
    index: usize,
}

#[derive(Deserialize)]
struct Recorded {
    event_name: String,
    payload: Json,
}

/// Gives every case of the example in this folder to `deliver`, which picks the
/// handler by the event's name.
///
/// # Panics
/// When a case does not hold, or there is none.
pub fn check(example: &str, deliver: impl Fn(&mut Host, &str, Given) -> Delivery) {
    let folder = Path::new(example).join("cases");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the example has a folder cases/")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no case in {}", folder.display());
    for file in files {
        let text = fs::read_to_string(&file).expect("the case can be read");
        let mut case: Case = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let (Some(event), Some(expect)) = (case.event.take(), case.expect.take()) {
            case.steps.push(Step {
                event,
                http: std::mem::take(&mut case.http),
                sql: std::mem::take(&mut case.sql),
                expect,
            });
        }
        let mut host = host(&case);
        assert!(!case.steps.is_empty(), "{}: no event", file.display());
        for step in &case.steps {
            let given = given(&step.event, &folder);
            host = outside::answering(host, &step.http, &step.sql);
            let seen = deliver(&mut host, &step.event.name, given);
            let place = format!("{} ({})", case.about, file.display());
            outside::check(&place, (&step.http, &step.sql), &seen);
            let seen = shown(seen);
            assert!(
                seen == step.expect,
                "{place}: expected\n{:#}\nbut this happened\n{seen:#}",
                step.expect
            );
        }
    }
}

/// The event that a line of `github/webhooks.jsonl` holds.
///
/// # Panics
/// When the line is none.
#[must_use]
pub fn recorded_event(line: &str) -> Given {
    let recorded: Recorded = serde_json::from_str(line).expect("a line is an event");
    event(&recorded.event_name).payload(recorded.payload)
}

fn host(case: &Case) -> Host {
    let mut host = Host::new();
    for (key, value) in &case.config {
        host = host.with_config(key, value);
    }
    for (name, value) in &case.secrets {
        host = host.with_secret(name, value);
    }
    let first = case.steps.first();
    let tenant = first.and_then(|step| step.event.tenant_id.as_ref());
    for (key, value) in &case.state {
        let text = match value {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        host = match tenant {
            None => host.with_state_text(key, &text),
            Some(tenant) => host.with_state_text_of(tenant, key, &text),
        };
    }
    host
}

fn given(of: &CaseEvent, folder: &Path) -> Given {
    let payload = match (&of.payload, &of.from) {
        (Some(payload), None) => payload.clone(),
        (None, Some(from)) => recorded(from, folder),
        _ => panic!("an event has either `payload` or `from`"),
    };
    let mut given = event(&of.name)
        .payload(payload)
        .version(of.version.unwrap_or(1))
        .attempt(of.attempt.unwrap_or(1));
    if let Some(id) = &of.id {
        given = given.id(id);
    }
    if let Some(tenant) = &of.tenant_id {
        given = given.tenant(tenant);
    }
    given
}

/// `file` is relative to the example, as it is to the host's tests.
fn recorded(from: &From, folder: &Path) -> Json {
    let file = folder.join("..").join(&from.file);
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines()
        .map(|line| serde_json::from_str::<Recorded>(line).expect("a line is an event"))
        .filter(|recorded| recorded.event_name == from.name)
        .nth(from.index)
        .unwrap_or_else(|| {
            panic!(
                "{} has no {} number {}",
                file.display(),
                from.name,
                from.index
            )
        })
        .payload
}

/// What came of it, in the form of `expect`.
fn shown(seen: Delivery) -> Value {
    let outcome = match seen.outcome {
        Ok(()) => json!("done"),
        Err(Failure::Reject { reason }) => json!({"reject": reason}),
        Err(Failure::Retry {
            reason,
            after: None,
        }) => json!({"retry": {"reason": reason}}),
        Err(Failure::Retry {
            reason,
            after: Some(pause),
        }) => {
            json!({"retry": {"reason": reason, "after_ms": pause.as_millis()}})
        }
    };
    let emitted: Vec<Value> = seen.emitted.into_iter().map(emitted).collect();
    let logs: Vec<Value> = seen
        .logs
        .into_iter()
        .map(|line| {
            let level = format!("{:?}", line.level).to_lowercase();
            json!({"level": level, "message": line.message})
        })
        .collect();
    json!({"outcome": outcome, "emitted": emitted, "state": seen.written, "logs": logs})
}

/// An event that left, with what was said of it beside its name.
fn emitted(event: Emitted) -> Value {
    let mut shown = Map::new();
    shown.insert("name".into(), json!(event.name));
    shown.insert("version".into(), json!(event.version));
    shown.insert("payload".into(), event.payload);
    if let Some(key) = event.key {
        shown.insert("key".into(), json!(key));
    }
    let due = event.due.map(|due| match due {
        Due::After(wait) => json!({"after_ms": wait.as_millis()}),
        Due::At(time) => json!({"at": time}),
    });
    if let Some(due) = due {
        shown.insert("due".into(), due);
    }
    Value::Object(shown)
}

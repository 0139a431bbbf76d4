//! Every example is held against its `cases/*.json` in the real sandbox: the built
//! component, its sidecar, the event, what was there before, what must come of it.
//!
//! The examples' own tests give the same files to their handlers natively. The
//! settings of the sidecar are in force, with the case's own over them.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use acceptance::{component, repository};
use chrono::{DateTime, Utc};
use qx_events::ports::{Clock, Invocation, LogLine, StateReader, StateValue};
use qx_events::{
    Component, ComponentName, Effects, Envelope, Fault, NewEvent, Outcome, Resolution,
};
use qx_host::config::{ComponentsConfig, Config, Sidecar, SidecarRoute};
use qx_sandbox::{CallId, LogSink, Manifest, ManifestRoute, Sandbox, SandboxConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    state: BTreeMap<String, String>,
    event: CaseEvent,
    expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEvent {
    name: String,
    #[serde(default = "first")]
    version: u32,
    payload: Option<Box<RawValue>>,
    from: Option<From>,
    tenant_id: Option<String>,
    #[serde(default = "first")]
    attempt: u32,
}

/// The `index`-th event of this name in a file of events, one a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    file: PathBuf,
    name: String,
    index: usize,
}

#[derive(Deserialize)]
struct Recorded {
    event_name: String,
    payload: Box<RawValue>,
}

const fn first() -> u32 {
    1
}

/// Examples' folders: a project that makes a component.
fn examples() -> Vec<PathBuf> {
    let folder = repository().join("examples");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_handler = |path: &PathBuf| qx_host::guest::project::is_handler(path);
    let mut examples: Vec<PathBuf> = entries.filter(is_handler).collect();
    examples.sort();
    examples
}

fn cases(example: &Path) -> Vec<(PathBuf, Case)> {
    let mut files: Vec<PathBuf> = match fs::read_dir(example.join("cases")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let case = serde_json::from_str(&text);
        (
            file.clone(),
            case.unwrap_or_else(|error| panic!("{}: {error}", file.display())),
        )
    };
    files.into_iter().map(read).collect()
}

fn payload(example: &Path, event: &CaseEvent) -> Box<RawValue> {
    let from = match (&event.payload, &event.from) {
        (Some(payload), None) => return payload.clone(),
        (None, Some(from)) => from,
        _ => panic!("an event has either `payload` or `from`"),
    };
    let file = example.join(&from.file);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut recorded = text
        .lines()
        .map(|line| serde_json::from_str::<Recorded>(line).unwrap())
        .filter(|recorded| recorded.event_name == from.name);
    let found = recorded.nth(from.index);
    let missing = || {
        panic!(
            "{} has no {} number {}",
            file.display(),
            from.name,
            from.index
        )
    };
    found.unwrap_or_else(missing).payload
}

fn envelope(example: &Path, event: &CaseEvent) -> Envelope {
    let body = json!({
        "event_id": "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
        "event_name": event.name,
        "event_version": event.version,
        "occurred_at": "2026-03-01T10:00:00Z",
        "tenant_id": event.tenant_id,
        "payload": null,
    });
    let mut envelope = Envelope::decode(body.to_string().as_bytes(), None).unwrap();
    envelope.payload = payload(example, event);
    envelope
}

/// A moment at which everything happens.
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}

/// What was there before.
struct Before(BTreeMap<String, String>);

#[async_trait::async_trait]
impl StateReader for Before {
    async fn read(&self, key: &str) -> Result<Option<StateValue>, Fault> {
        let value = self.0.get(key).cloned();
        Ok(value.map(|value| StateValue { value, version: 1 }))
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<LogLine>>);

impl LogSink for Lines {
    fn line(&self, _: &CallId, line: &LogLine) {
        self.0.lock().unwrap().push(line.clone());
    }
}

/// A sandbox, and the lines that its guests log.
struct Bench {
    // Each example is compiled once, and loaded for each case.
    _cache: tempfile::TempDir,
    sandbox: Sandbox,
    lines: Arc<Lines>,
    host: ComponentsConfig,
}

impl Bench {
    fn new() -> Self {
        let lines = Arc::new(Lines::default());
        let mut config = SandboxConfig::new(Arc::new(Frozen));
        config.log_sink = Some(Arc::clone(&lines) as _);
        let cache = tempfile::tempdir().unwrap();
        config.cache_dir = Some(cache.path().join("cache"));
        let sandbox = Sandbox::new(config).unwrap();
        let host = Config::parse(Path::new("qx-host.toml"), "", [], &[]).unwrap();
        Self {
            _cache: cache,
            sandbox,
            lines,
            host: host.components,
        }
    }

    /// Loads an example as the catalog would, with more configuration.
    async fn load(&self, name: &str, config: &BTreeMap<String, String>) -> Component {
        let file = component(name);
        let sidecar = Sidecar::load(&file.with_extension("toml"), &self.host).unwrap();
        let mut settings = sidecar.settings;
        settings.config.extend(config.clone());
        let route = |route: SidecarRoute| ManifestRoute {
            patterns: route.patterns,
            versions: route.versions,
            export: route.export,
        };
        let manifest = Manifest {
            settings: settings.clone(),
            routes: sidecar
                .routes
                .map(|routes| routes.into_iter().map(route).collect()),
            ..Manifest::new(ComponentName::parse(name).unwrap())
        };
        let own = manifest.name.clone();
        let bytes = fs::read(&file).unwrap();
        let loaded = self.sandbox.load(bytes, manifest).await;
        let loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        Component::new(
            own,
            loaded.digest,
            settings,
            loaded.handler,
            loaded.bindings,
        )
        .unwrap()
    }

    /// What comes of a case, in the form of its `expect`.
    async fn seen(&self, example: &Path, case: &Case) -> Value {
        let name = example.file_name().unwrap().to_str().unwrap();
        let component = self.load(name, &case.config).await;
        let envelope = envelope(example, &case.event);
        let found = component.export_for(&envelope.event_name, envelope.event_version);
        let Resolution::Bound(export) = found else {
            panic!(
                "{name} does not take {} version {}",
                case.event.name, case.event.version
            );
        };
        self.lines.0.lock().unwrap().clear();
        let invocation = Invocation {
            envelope: Arc::new(envelope),
            attempt: case.event.attempt,
            trace: None,
            state: Arc::new(Before(case.state.clone())),
        };
        let outcome = component.handler.call(export, invocation).await;
        shown(outcome, &self.lines.0.lock().unwrap())
    }
}

fn shown(outcome: Outcome, lines: &[LogLine]) -> Value {
    let (outcome, effects) = match outcome {
        Outcome::Done(effects) => (json!("done"), effects),
        Outcome::Retry { reason, after } => {
            let mut retry = json!({"reason": reason});
            if let Some(after) = after {
                retry["after_ms"] = json!(after.as_millis());
            }
            (json!({"retry": retry}), Effects::default())
        }
        Outcome::Rejected { reason } => (json!({"reject": reason}), Effects::default()),
        failed @ (Outcome::Failed { .. } | Outcome::HostFault(_)) => {
            (json!({"failed": format!("{failed:?}")}), Effects::default())
        }
    };
    let emitted = |new: &NewEvent| {
        let event = &new.0;
        let payload: Value = serde_json::from_str(event.payload.get()).unwrap();
        let name = event.event_name.as_str();
        json!({"name": name, "version": event.event_version, "payload": payload})
    };
    let line = |line: &LogLine| {
        let level = format!("{:?}", line.level).to_lowercase();
        json!({"level": level, "message": line.message})
    };
    let state: BTreeMap<&str, &Option<String>> = effects
        .writes
        .iter()
        .map(|write| (write.key.as_str(), &write.value))
        .collect();
    json!({
        "outcome": outcome,
        "emitted": effects.emitted.iter().map(emitted).collect::<Vec<_>>(),
        "state": state,
        "logs": lines.iter().map(line).collect::<Vec<_>>(),
    })
}

/// The parts that are not as they should be; empty when all are.
fn difference(expected: &Value, seen: &Value) -> String {
    let mut text = String::new();
    for part in ["outcome", "emitted", "state", "logs"] {
        if expected[part] != seen[part] {
            let (expected, seen) = (&expected[part], &seen[part]);
            write!(
                text,
                "  {part}\n    expected {expected}\n    seen     {seen}\n"
            )
            .unwrap();
        }
    }
    let parts = expected.as_object().map_or(0, serde_json::Map::len);
    if parts != 4 {
        text.push_str("  `expect` must have outcome, emitted, state and logs, and nothing else\n");
    }
    text
}

#[test]
fn every_example_has_cases() {
    let examples = examples();
    assert!(
        examples.len() >= 6,
        "the examples were not found: {examples:?}"
    );
    let without: Vec<PathBuf> = examples
        .into_iter()
        .filter(|path| cases(path).is_empty())
        .collect();
    assert!(without.is_empty(), "no cases/*.json in {without:#?}");
}

#[test]
fn every_example_is_built_by_make_components() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let names = |variable: &str| {
        let mut lines = makefile.lines();
        let line = lines.find_map(|line| line.strip_prefix(variable)).unwrap();
        line.split_whitespace().map(ToOwned::to_owned)
    };
    let mut listed: Vec<String> = names("EXAMPLES := ")
        .chain(names("LANGUAGES := "))
        .collect();
    listed.sort_unstable();
    let examples = examples();
    let found: Vec<_> = examples
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        listed, found,
        "left: EXAMPLES and LANGUAGES in the Makefile, right: examples/"
    );
}

#[tokio::test]
async fn every_case_holds_in_the_real_sandbox() {
    let bench = Bench::new();
    let (mut wrong, mut held) = (String::new(), 0);
    for example in examples() {
        for (file, case) in cases(&example) {
            let seen = bench.seen(&example, &case).await;
            let difference = difference(&case.expect, &seen);
            if difference.is_empty() {
                held += 1;
            } else {
                write!(wrong, "{} ({})\n{difference}", case.about, file.display()).unwrap();
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{held} cases hold, these do not:\n{wrong}"
    );
    assert!(held >= examples().len(), "{held} cases");
}

#[test]
fn a_difference_names_the_part_and_shows_both_sides() {
    let expected = json!({"outcome": "done", "emitted": [], "state": {"a": "1"}, "logs": []});
    let mut seen = expected.clone();
    assert_eq!(difference(&expected, &seen), "");
    seen["state"]["a"] = json!("2");
    let shown = difference(&expected, &seen);
    assert!(
        shown.contains("state") && shown.contains(r#"expected {"a":"1"}"#),
        "{shown}"
    );
    assert!(!shown.contains("outcome"), "{shown}");
    assert!(!difference(&json!({"outcome": "done"}), &seen).is_empty());
}

/// Every block of code of a page stands in the file that the line before it names,
/// and that file is compiled and run here.
#[test]
fn the_code_of_the_languages_pages_is_that_of_the_examples() {
    let folder = repository().join("docs/languages");
    let mut blocks = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        for part in page.split("<!-- ").skip(1) {
            let (file, rest) = part.split_once(" -->\n```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (code, _) = rest.split_once("\n```").unwrap();
            let source = fs::read_to_string(repository().join(file)).unwrap();
            assert!(
                source.contains(code),
                "{}: not in {file}:\n{code}",
                path.display()
            );
            blocks += 1;
        }
        let fenced = ["```c\n", "```ts\n", "```python\n"].map(|fence| page.matches(fence).count());
        assert_eq!(
            fenced.iter().sum::<usize>(),
            page.matches("<!-- examples/").count(),
            "{}: code that no example has",
            path.display()
        );
    }
    assert!(blocks >= 5, "{blocks} blocks");
}

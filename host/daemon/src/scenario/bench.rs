//! A sandbox for scenarios: the real one, with its steps counted, and a state in
//! memory in the place of the ledger.
//!
//! Compiles in this process: the components are one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use qx_events::ports::{Clock, Invocation, LogLine, NoStatements, StateReader, StateValue};
use qx_events::{
    Clash, Component, ComponentName, Envelope, Fault, Resolution, Settings, TraceContext,
};
use qx_sandbox::{
    CallId, Cost, LoadError, LogSink, Metering, Sandbox, SandboxConfig, SandboxError,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::expect::Outcome;
use super::file::{EventGiven, Recorded, Scenario, ScenarioFault};
use super::seen::Seen;
use crate::catalog;
use crate::clock::SystemClock;
use crate::config::{ComponentsConfig, ConfigFaults, Sidecar};

/// Instances at once: scenarios run one after the other, and a slot reserves
/// addresses.
const INSTANCES_MAX: u32 = 2;

/// The event's id where a scenario does not say one: the same in every run.
const EVENT_ID: &str = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";

/// When it happened where a scenario does not say it.
const OCCURRED_AT: &str = "2026-03-01T10:00:00Z";

/// A component on disk, and the file beside it.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its name.
    pub name: ComponentName,
    /// The component.
    pub wasm: PathBuf,
    /// Its own file, `<name>.toml`; it need not be there.
    pub sidecar: PathBuf,
}

/// A scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The component cannot be read.
    #[error("{path} cannot be read: build it first")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its own file is wrong.
    #[error("the component's file is wrong: {0}")]
    Sidecar(ConfigFaults),
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its routes clash.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// The scenario asks for something that cannot be.
    #[error(transparent)]
    Scenario(#[from] ScenarioFault),
    /// The sandbox itself could not serve the call.
    #[error("the sandbox could not serve the call: {0}")]
    Host(String),
}

/// What calls left: the lines they logged, and what the last of them used.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<LogLine>>,
    cost: Mutex<Option<Cost>>,
}

impl Notes {
    fn take(&self) -> (Vec<LogLine>, Option<Cost>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cost = self.cost.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut *lines), cost.take())
    }
}

impl LogSink for Notes {
    fn line(&self, _: &CallId, line: &LogLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.clone());
    }

    fn ended(&self, _: &CallId, cost: &Cost) {
        let mut own = self.cost.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(*cost);
    }
}

/// A component that scenarios are run against.
pub(super) struct Opened {
    name: ComponentName,
    bytes: Vec<u8>,
    sidecar: Sidecar,
    plain: Component,
}

impl Opened {
    /// SHA-256 of its bytes.
    pub(super) fn digest(&self) -> String {
        self.plain.digest.to_string()
    }
}

/// The state of a scenario while it runs: by tenant, then by key.
type State = BTreeMap<Option<Uuid>, BTreeMap<String, String>>;

/// The state of one tenant, as one call reads it.
struct Before(BTreeMap<String, String>);

#[async_trait::async_trait]
impl StateReader for Before {
    async fn read(&self, key: &str) -> Result<Option<StateValue>, Fault> {
        let value = self.0.get(key).cloned();
        Ok(value.map(|value| StateValue { value, version: 1 }))
    }
}

/// Runs scenarios, one after the other.
pub struct Bench {
    sandbox: Sandbox,
    notes: Arc<Notes>,
    host: ComponentsConfig,
}

impl Bench {
    /// A bench with what a host grants and sets, and a folder for native code.
    pub fn new(host: ComponentsConfig, cache: PathBuf) -> Result<Self, SandboxError> {
        let notes = Arc::new(Notes::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = SandboxConfig {
            instances_max: INSTANCES_MAX,
            cache_dir: Some(cache),
            log_sink: Some(Arc::clone(&notes) as _),
            metering: Metering::Fuel,
            ..SandboxConfig::new(clock)
        };
        Ok(Self {
            sandbox: Sandbox::new(config)?,
            notes,
            host,
        })
    }

    /// Loads a component as its own file says, or says what is wrong with it.
    pub(super) async fn open(&self, built: &Built) -> Result<Opened, BenchError> {
        let bytes = std::fs::read(&built.wasm).map_err(|source| BenchError::Read {
            path: built.wasm.clone(),
            source,
        })?;
        let sidecar = Sidecar::load(&built.sidecar, &self.host).map_err(BenchError::Sidecar)?;
        let plain = self.load(&built.name, &bytes, sidecar.clone()).await?;
        Ok(Opened {
            name: built.name.clone(),
            bytes,
            sidecar,
            plain,
        })
    }

    async fn load(
        &self,
        name: &ComponentName,
        bytes: &[u8],
        sidecar: Sidecar,
    ) -> Result<Component, BenchError> {
        let settings = sidecar.settings.clone();
        let manifest = catalog::manifest(name.clone(), sidecar);
        let loaded = self.sandbox.load(bytes.to_vec(), manifest).await?;
        let (digest, handler) = (loaded.digest, loaded.handler);
        Ok(Component::new(
            name.clone(),
            digest,
            settings,
            handler,
            loaded.bindings,
        )?)
    }

    /// Gives a scenario's events to the component; what came of each. State that an
    /// event wrote is there for the next.
    pub(super) async fn run(
        &self,
        opened: &Opened,
        scenario: &Scenario,
    ) -> Result<Vec<Seen>, BenchError> {
        let settings = settings(&opened.sidecar.settings, scenario);
        let own;
        let component = if settings == opened.sidecar.settings {
            &opened.plain
        } else {
            let mut sidecar = opened.sidecar.clone();
            sidecar.settings = settings;
            own = self.load(&opened.name, &opened.bytes, sidecar).await?;
            &own
        };
        let mut state = State::new();
        let mut seen = Vec::new();
        for (index, step) in scenario.steps.iter().enumerate() {
            let envelope = envelope(scenario, &step.event)?;
            let tenant = envelope.tenant_id;
            if index == 0 {
                state.insert(tenant, scenario.state.clone());
            }
            let before = state.get(&tenant).cloned().unwrap_or_default();
            let after = self
                .call(component, envelope, step.event.attempt, before)
                .await?;
            state.insert(tenant, after.state.clone());
            seen.push(after);
        }
        Ok(seen)
    }

    async fn call(
        &self,
        component: &Component,
        envelope: Envelope,
        attempt: u32,
        state: BTreeMap<String, String>,
    ) -> Result<Seen, BenchError> {
        let export = match component.export_for(&envelope.event_name, envelope.event_version) {
            Resolution::Bound(export) => export,
            Resolution::UnknownVersion => {
                return Ok(Seen::not_called(Outcome::UnknownVersion, state));
            }
            Resolution::NotSubscribed => return Ok(Seen::not_called(Outcome::NotTaken, state)),
        };
        drop(self.notes.take());
        let invocation = Invocation {
            sql: Arc::new(NoStatements),
            trace: envelope.trace.clone(),
            envelope: Arc::new(envelope),
            attempt,
            state: Arc::new(Before(state.clone())),
        };
        let outcome = component.handler.call(export, invocation).await;
        let (lines, cost) = self.notes.take();
        Seen::of(outcome, state, &lines, cost).map_err(BenchError::Host)
    }
}

fn settings(own: &Settings, scenario: &Scenario) -> Settings {
    let mut settings = own.clone();
    settings.config.extend(scenario.config.clone());
    settings.limits = scenario.limits.over(&settings.limits);
    settings
}

/// The event, as if it had been read from the stream.
fn envelope(scenario: &Scenario, event: &EventGiven) -> Result<Envelope, ScenarioFault> {
    let wrong = |text: String| ScenarioFault::new(&scenario.path, text);
    let body = json!({
        "event_id": event.id.as_deref().unwrap_or(EVENT_ID),
        "event_name": event.name,
        "event_version": event.version,
        "occurred_at": event.occurred_at.as_deref().unwrap_or(OCCURRED_AT),
        "tenant_id": event.tenant_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "actor_id": event.actor_id,
        "payload": Value::Null,
    });
    let trace = match &event.traceparent {
        None => None,
        Some(parent) => Some(
            TraceContext::parse(parent, None)
                .ok_or_else(|| wrong(format!("event.traceparent: `{parent}` is no W3C context")))?,
        ),
    };
    let mut envelope = Envelope::decode(body.to_string().as_bytes(), trace)
        .map_err(|error| wrong(format!("event: {error}")))?;
    envelope.payload = match (&event.payload, &event.from) {
        (Some(payload), None) => payload.clone(),
        (None, Some(from)) => recorded(scenario, from)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(wrong("an event has either `payload` or `from`".to_owned()));
        }
    };
    Ok(envelope)
}

#[derive(Deserialize)]
struct RecordedEvent {
    event_name: String,
    payload: Box<RawValue>,
}

/// The payload of a recorded event.
fn recorded(scenario: &Scenario, from: &Recorded) -> Result<Box<RawValue>, ScenarioFault> {
    let wrong = |text: String| ScenarioFault::new(&scenario.path, text);
    let file: &Path = &scenario.project().join(&from.file);
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(format!("from.file: {shown} cannot be read: {error}")))?;
    let mut index = 0;
    for (number, line) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let event: RecordedEvent = serde_json::from_str(line).map_err(|error| {
            wrong(format!(
                "{shown}:{number}: not an event: {error}; each line is {{\"event_name\": …, \"payload\": …}}"
            ))
        })?;
        if event.event_name == from.name {
            if index == from.index {
                return Ok(event.payload);
            }
            index += 1;
        }
    }
    Err(wrong(format!(
        "from: {shown} has {index} events `{}`, and number {} was asked for, counted from 0",
        from.name, from.index
    )))
}

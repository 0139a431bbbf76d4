//! A sandbox for scenarios: the real one, with its steps counted. What a component
//! reaches through its ports is in memory: the state, and the secrets, the web and the
//! database as a scenario has them.
//!
//! Compiles in this process: the components are one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use qx_events::ports::{
    Clock, Invocation, LogLine, SecretSource, SqlBounds, StateReader, StateValue,
};
use qx_events::web::HttpGrant;
use qx_events::{Clash, Component, ComponentName, Envelope, Fault, Resolution, Settings};
use qx_sandbox::{
    CallId, Cost, LoadError, LogSink, Manifest, Metering, Outside, Sandbox, SandboxConfig,
    SandboxError,
};
use uuid::Uuid;

use super::expect::Outcome;
use super::fault::ScenarioFault;
use super::file::{Scenario, Step};
use super::given::envelope;
use super::http::Web;
use super::seen::{Seen, Traces};
use super::sql::Database;
use crate::catalog;
use crate::clock::SystemClock;
use crate::config::{ComponentsConfig, Config, ConfigFaults, GrantTable, Sidecar};

/// Instances at once: scenarios run one after the other, and a slot reserves
/// addresses.
const INSTANCES_MAX: u32 = 2;

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
    web: Arc<Web>,
    plain: Component,
}

/// A secret of a scenario.
struct Told(Arc<str>);

#[async_trait::async_trait]
impl SecretSource for Told {
    async fn value(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    fn known(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.0)]
    }
}

type Secrets = BTreeMap<String, Arc<dyn SecretSource>>;

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

/// A host without a configuration, which grants a component what its own file asks for.
/// Hermetic: nothing that lies around or is set changes a test.
pub fn no_host() -> Result<ComponentsConfig, ConfigFaults> {
    let config = Config::parse(Path::new(Config::FILE_NAME), "", [], &[])?;
    Ok(ComponentsConfig {
        grants: GrantTable::whatever_is_asked_for(),
        ..config.components
    })
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
        let web = Arc::new(Web::new(built.name.clone()));
        let outside = (Secrets::new(), Arc::clone(&web));
        let plain = self
            .load(&built.name, &bytes, sidecar.clone(), outside)
            .await?;
        Ok(Opened {
            name: built.name.clone(),
            bytes,
            sidecar,
            web,
            plain,
        })
    }

    async fn load(
        &self,
        name: &ComponentName,
        bytes: &[u8],
        sidecar: Sidecar,
        (secrets, web): (Secrets, Arc<Web>),
    ) -> Result<Component, BenchError> {
        let settings = sidecar.settings.clone();
        let manifest = Manifest {
            outside: Outside {
                secrets,
                http: Some(web),
            },
            ..catalog::manifest(name.clone(), sidecar)
        };
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
        let secrets = self.secrets(&opened.sidecar, scenario);
        let own;
        let component = if settings == opened.sidecar.settings && secrets.is_empty() {
            &opened.plain
        } else {
            let mut sidecar = opened.sidecar.clone();
            sidecar.settings = settings;
            let outside = (secrets, Arc::clone(&opened.web));
            own = self
                .load(&opened.name, &opened.bytes, sidecar, outside)
                .await?;
            &own
        };
        let places = self.places(&opened.sidecar, scenario);
        let mut state = State::new();
        let mut seen = Vec::new();
        for (index, step) in scenario.steps.iter().enumerate() {
            let envelope = envelope(scenario, &step.event)?;
            let tenant = envelope.tenant_id;
            if index == 0 {
                state.insert(tenant, scenario.state.clone());
            }
            let before = state.get(&tenant).cloned().unwrap_or_default();
            opened.web.expect(step.http.clone(), places.clone());
            let after = self
                .call((component, &opened.web), envelope, step, before)
                .await?;
            state.insert(tenant, after.state.clone());
            seen.push(after);
        }
        Ok(seen)
    }

    /// The scenario's secrets that the component may read.
    fn secrets(&self, sidecar: &Sidecar, scenario: &Scenario) -> Secrets {
        let granted = if self.host.grants.is_whatever_is_asked_for() {
            sidecar.asked.secrets.as_ref()
        } else {
            Some(&sidecar.settings.rights.secrets)
        };
        let may = |name: &str| granted.is_none_or(|granted| granted.contains(name));
        let told = scenario.secrets.iter().filter(|(name, _)| may(name));
        let source =
            |value: &String| Arc::new(Told(value.as_str().into())) as Arc<dyn SecretSource>;
        told.map(|(name, value)| (name.clone(), source(value)))
            .collect()
    }

    /// Where the component's requests may go: the scenario says it in the place of the
    /// operator, and the component's own file narrows it. `None`: nobody says.
    fn places(&self, sidecar: &Sidecar, scenario: &Scenario) -> Option<Vec<HttpGrant>> {
        match (&scenario.allow, &sidecar.asked.http) {
            (Some(allow), Some(asked)) => {
                let within =
                    |asked: &HttpGrant| allow.iter().find_map(|own| own.narrowed_to(asked));
                Some(asked.iter().filter_map(within).collect())
            }
            (Some(allow), None) => Some(allow.clone()),
            (None, asked) if self.host.grants.is_whatever_is_asked_for() => asked.clone(),
            (None, _) => Some(sidecar.settings.rights.http.clone()),
        }
    }

    async fn call(
        &self,
        (component, web): (&Component, &Web),
        envelope: Envelope,
        step: &Step,
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
        let bounds = SqlBounds::of(&component.settings.limits);
        let database = Arc::new(Database::new(step.sql.clone(), bounds));
        let invocation = Invocation {
            sql: Arc::clone(&database) as _,
            trace: envelope.trace.clone(),
            envelope: Arc::new(envelope),
            attempt: step.event.attempt,
            state: Arc::new(Before(state.clone())),
        };
        let outcome = component.handler.call(export, invocation).await;
        let (lines, cost) = self.notes.take();
        let traces = Traces {
            lines,
            cost,
            http: web.calls(),
            sql: database.calls(),
        };
        Seen::of(outcome, state, traces).map_err(BenchError::Host)
    }
}

fn settings(own: &Settings, scenario: &Scenario) -> Settings {
    let mut settings = own.clone();
    settings.config.extend(scenario.config.clone());
    settings.limits = scenario.limits.over(&settings.limits);
    settings
}

//! What stands around the sandbox in a test: a clock, a state, the lines that were
//! logged, and an event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeZone, Utc};
use qx_events::ports::{
    Clock, Invocation, LogLine, NoStatements, StateReader, StateValue, Statements,
};
use qx_events::{
    ComponentName, Effects, Envelope, ExportIndex, Fault, Limits, Outcome, TraceContext,
};

use crate::{CallId, Cost, Life, LoadError, Loaded, LogSink, Manifest, Sandbox, SandboxConfig};

/// The event's id.
pub(super) const ID: &str = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";

/// The context of the delivery.
pub(super) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A moment at which everything happens.
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 10, 0, 0).unwrap()
    }
}

/// Lines, as they were logged.
#[derive(Default)]
pub(super) struct Lines(
    Mutex<Vec<(CallId, LogLine)>>,
    Mutex<Vec<&'static str>>,
    Mutex<Vec<Cost>>,
    Mutex<Vec<Life>>,
);

impl LogSink for Lines {
    fn line(&self, call: &CallId, line: &LogLine) {
        self.0.lock().unwrap().push((call.clone(), line.clone()));
    }

    fn limit(&self, _: &CallId, limit: &'static str) {
        self.1.lock().unwrap().push(limit);
    }

    fn ended(&self, _: &CallId, cost: &Cost) {
        self.2.lock().unwrap().push(*cost);
    }

    fn instance(&self, _: &ComponentName, life: Life) {
        self.3.lock().unwrap().push(life);
    }
}

/// A state, and how often it was asked.
#[derive(Default)]
pub(super) struct State {
    pub(super) values: HashMap<String, StateValue>,
    pub(super) asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl StateReader for State {
    async fn read(&self, key: &str) -> Result<Option<StateValue>, Fault> {
        tokio::task::yield_now().await;
        self.asked.lock().unwrap().push(key.to_owned());
        match key {
            "broken" => Err(Fault::transient("read state", "connection refused")),
            "panic" => panic!("the reader fell over"),
            _ => Ok(self.values.get(key).cloned()),
        }
    }
}

pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) lines: Arc<Lines>,
    pub(super) state: Arc<State>,
    pub(super) manifest: Manifest,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(set: impl FnOnce(&mut SandboxConfig)) -> Self {
        let lines = Arc::new(Lines::default());
        let mut config = SandboxConfig::new(Arc::new(Frozen));
        config.instances_max = 8;
        config.log_sink = Some(Arc::clone(&lines) as _);
        set(&mut config);
        let value = |value: &str, version| StateValue {
            value: value.to_owned(),
            version,
        };
        let values = [
            ("stars", value("41", 7)),
            ("huge", value(&"x".repeat(9 << 20), 1)),
        ];
        Self {
            sandbox: Sandbox::new(config).unwrap(),
            lines,
            state: Arc::new(State {
                values: values.map(|(key, value)| (key.to_owned(), value)).into(),
                asked: Mutex::default(),
            }),
            manifest: Manifest::new(ComponentName::parse("stars").unwrap()),
        }
    }

    /// The same world with other limits for what is loaded.
    pub(super) fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.manifest.settings.limits);
        self
    }

    pub(super) async fn try_load(&self, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
        self.sandbox.load(bytes, self.manifest.clone()).await
    }

    pub(super) async fn load(&self, bytes: Vec<u8>) -> Loaded {
        self.try_load(bytes).await.unwrap()
    }

    /// The whole chain of causes of a load that fails.
    pub(super) async fn refusal(&self, bytes: Vec<u8>) -> String {
        let error = self.try_load(bytes).await.unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Loads a component and calls its first handler.
    pub(super) async fn run(&self, bytes: Vec<u8>) -> Outcome {
        self.call(&self.load(bytes).await).await
    }

    pub(super) async fn call(&self, loaded: &Loaded) -> Outcome {
        self.call_with(loaded, "{\"n\": 1.10}").await
    }

    pub(super) async fn call_with(&self, loaded: &Loaded, payload: &str) -> Outcome {
        let invocation = self.invocation(payload);
        loaded.handler.call(ExportIndex(0), invocation).await
    }

    /// Calls it with somebody who runs its statements.
    pub(super) async fn call_asking(&self, loaded: &Loaded, sql: Arc<dyn Statements>) -> Outcome {
        let invocation = Invocation {
            sql,
            ..self.invocation("null")
        };
        loaded.handler.call(ExportIndex(0), invocation).await
    }

    /// Calls it with the event of a tenant, or of none.
    pub(super) async fn call_of(&self, loaded: &Loaded, tenant: Option<u128>) -> Outcome {
        let mut invocation = self.invocation("null");
        let mut envelope = Envelope::clone(&invocation.envelope);
        envelope.tenant_id = tenant.map(uuid::Uuid::from_u128);
        invocation.envelope = Arc::new(envelope);
        loaded.handler.call(ExportIndex(0), invocation).await
    }

    fn invocation(&self, payload: &str) -> Invocation {
        let body = format!(
            r#"{{"event_id":"{ID}","event_name":"ping","event_version":3,"occurred_at":"2026-02-03T04:05:06Z",
                "correlation_id":"11111111-7d2f-4a35-9d2c-8e0f4a3f1b10","causation_id":null,
                "tenant_id":"22222222-7d2f-4a35-9d2c-8e0f4a3f1b10","actor_id":"ada","payload":{payload}}}"#
        );
        Invocation {
            sql: Arc::new(NoStatements),
            envelope: Arc::new(Envelope::decode(body.as_bytes(), None).unwrap()),
            attempt: 2,
            trace: TraceContext::parse(PARENT, Some("vendor=1")),
            state: Arc::clone(&self.state) as _,
        }
    }

    /// What became of instances since the last time that somebody asked.
    pub(super) fn lives(&self) -> Vec<Life> {
        std::mem::take(&mut self.lines.3.lock().unwrap())
    }

    /// What was logged so far.
    pub(super) fn logged(&self) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        lines.iter().map(|(_, line)| line.message.clone()).collect()
    }

    /// Limits that were hit so far.
    pub(super) fn limits_hit(&self) -> Vec<&'static str> {
        self.lines.1.lock().unwrap().clone()
    }

    /// What calls used so far.
    pub(super) fn costs(&self) -> Vec<Cost> {
        self.lines.2.lock().unwrap().clone()
    }

    /// Which calls the lines belong to.
    pub(super) fn callers(&self) -> Vec<CallId> {
        let lines = self.lines.0.lock().unwrap();
        lines.iter().map(|(call, _)| call.clone()).collect()
    }
}

/// The effects of a call that must have succeeded.
pub(super) fn effects(outcome: Outcome) -> Effects {
    let Outcome::Done(effects) = outcome else {
        panic!("not done: {outcome:?}");
    };
    effects
}

/// The breach and detail of a call that must have failed.
pub(super) fn failure(outcome: Outcome) -> (&'static str, String) {
    let Outcome::Failed { breach, detail } = outcome else {
        panic!("not failed: {outcome:?}");
    };
    (breach.as_str(), detail)
}

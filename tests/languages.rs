//! What every language promises of clocks and dice: the clock runs, and no two throws
//! are the same, from call to call, from instance to instance, and in one instance
//! that is used again.
//!
//! The guests are in `tests/guests/dice-*`: each throws in every way its language has.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use acceptance::component;
use async_trait::async_trait;
use qx_events::ports::{Clock, Invocation, LogLine, NoStatements, StateReader, StateValue};
use qx_events::{
    Capability, ComponentName, Envelope, ExportIndex, Fault, Limits, Outcome, Reuse, Rights,
};
use qx_host::clock::SystemClock;
use qx_sandbox::{CallId, Loaded, LogSink, Manifest, Sandbox, SandboxConfig};
use serde::Deserialize;
use serde_json::{Value, json};

const EVENT: &str = "dice.thrown";

struct Nothing;

#[async_trait]
impl StateReader for Nothing {
    async fn read(&self, _: &str) -> Result<Option<StateValue>, Fault> {
        Ok(None)
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, _: &CallId, line: &LogLine) {
        self.0.lock().unwrap().push(line.message.clone());
    }
}

/// What a guest says of one call.
#[derive(Debug, Deserialize)]
struct Throw {
    /// Calls of this instance.
    call: u32,
    dice: Vec<String>,
    ms: i64,
}

async fn loaded(sandbox: &Sandbox, name: &str, reuse: Option<Reuse>) -> Loaded {
    let mut manifest = Manifest::new(ComponentName::parse(name).unwrap());
    manifest.settings.reuse = reuse;
    manifest.settings.limits.timeout = std::time::Duration::from_mins(1);
    manifest.settings.limits.cpu = std::time::Duration::from_mins(1);
    manifest.settings.rights = Rights::of(Capability::ALL);
    let bytes = std::fs::read(component(name)).unwrap();
    sandbox.load(bytes, manifest).await.unwrap()
}

async fn call(loaded: &Loaded) {
    let outcome = call_with(loaded, json!({})).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

async fn call_with(loaded: &Loaded, payload: Value) -> Outcome {
    let body = json!({
        "event_id": uuid::Uuid::new_v4(),
        "event_name": EVENT,
        "event_version": 1,
        "occurred_at": "2026-03-01T10:00:00Z",
        "payload": payload,
    });
    let invocation = Invocation {
        envelope: Arc::new(Envelope::decode(body.to_string().as_bytes(), None).unwrap()),
        attempt: 1,
        trace: None,
        state: Arc::new(Nothing),
        sql: Arc::new(NoStatements),
    };
    loaded.handler.call(ExportIndex(0), invocation).await
}

/// Three calls, each in an instance of its own, and three of one instance.
async fn no_two_throws_are_the_same(name: &str) {
    let lines = Arc::new(Lines::default());
    let mut config = SandboxConfig::new(Arc::new(SystemClock));
    config.log_sink = Some(Arc::clone(&lines) as _);
    config.instances_max = 4;
    let cache = tempfile::tempdir().unwrap();
    config.cache_dir = Some(cache.path().join("cache"));
    let sandbox = Sandbox::new(config).unwrap();
    let begun = SystemClock.now().timestamp_millis();
    let fresh = loaded(&sandbox, name, None).await;
    let again = loaded(&sandbox, name, Some(Reuse::of(&Limits::default(), 1))).await;
    for build in [&fresh, &again] {
        for _ in 0..3 {
            call(build).await;
        }
    }
    let ended = SystemClock.now().timestamp_millis();

    let said = lines.0.lock().unwrap().clone();
    let throws: Vec<Throw> = said
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let calls: Vec<u32> = throws.iter().map(|throw| throw.call).collect();
    assert_eq!(calls, [1, 1, 1, 1, 2, 3], "{said:?}");
    let dice = throws.iter().flat_map(|throw| &throw.dice);
    let (count, different) = (dice.clone().count(), dice.collect::<BTreeSet<_>>().len());
    assert_eq!(different, count, "{said:?}");
    for pair in throws.windows(2) {
        assert!(pair[0].ms <= pair[1].ms, "{said:?}");
    }
    for throw in &throws {
        assert!((begun..=ended).contains(&throw.ms), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_python_clocks_run_and_dice_differ_in_every_call_and_instance() {
    no_two_throws_are_the_same("dice-python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_typescript_clocks_run_and_dice_differ_in_every_call_and_instance() {
    no_two_throws_are_the_same("dice-typescript").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_c_clocks_run_and_dice_differ_in_every_call_and_instance() {
    no_two_throws_are_the_same("dice-c").await;
}

/// What one instance makes of these events, one after the other.
async fn of_one_instance_in_c(payloads: [Value; 2]) -> [Outcome; 2] {
    let lines = Arc::new(Lines::default());
    let mut config = SandboxConfig::new(Arc::new(SystemClock));
    config.log_sink = Some(Arc::clone(&lines) as _);
    let sandbox = Sandbox::new(config).unwrap();
    let reuse = Reuse::of(&Limits::default(), 1);
    let loaded = loaded(&sandbox, "dice-c", Some(reuse)).await;
    let [first, second] = payloads;
    let outcomes = [
        call_with(&loaded, first).await,
        call_with(&loaded, second).await,
    ];
    let said = lines.0.lock().unwrap().clone();
    let last: Throw = serde_json::from_str(said.last().unwrap()).unwrap();
    assert_eq!(last.call, 2, "another instance: {said:?}");
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn in_c_what_one_event_lacked_is_not_held_against_the_next_of_the_same_instance() {
    let outcomes = of_one_instance_in_c([json!({"fair": false}), json!({})]).await;
    assert!(
        matches!(&outcomes, [Outcome::Rejected { .. }, Outcome::Done(_)]),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_c_a_secret_that_was_missing_puts_off_its_own_event_and_no_later_one() {
    let outcomes = of_one_instance_in_c([json!({"secret": "absent"}), json!({})]).await;
    let [Outcome::Retry { reason, .. }, Outcome::Done(_)] = &outcomes else {
        panic!("{outcomes:?}");
    };
    assert!(reason.contains("no secret `absent`"), "{reason}");
}

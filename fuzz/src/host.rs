//! The functions that the host offers a guest, called by a guest that does what a text
//! tells it, with any texts, lengths and places.

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use qx_events::ports::{Clock, Invocation, LogLine, NoStatements, StateReader, StateValue};
use qx_events::{ComponentName, Envelope, EventName, ExportIndex, Fault, Outcome, TraceContext};
use qx_sandbox::{CallId, LoadError, Loaded, LogSink, Manifest, Sandbox, SandboxConfig, testing};
use tokio::runtime::Runtime;

/// Processor time of a call: enough for every script, and soon over for a loop.
const CPU: Duration = Duration::from_millis(100);

/// Memory of a guest. Its texts may be longer than it hands over in one call.
const MEMORY_BYTES: usize = 8 << 20;

/// The key of the state under which the guest finds its script.
const SCRIPT: &str = "s";

/// A guest whose imports are called as a text says: records of six bytes, which are the
/// function, and place and length of two texts, counted from the record.
const GUEST: &str = r"
    (local $at i32) (local $end i32) (local $op i32) (local $more i32)
    (local $a i32) (local $a-length i32) (local $b i32) (local $b-length i32)
    (call $get (i32.const 4096) (i32.const 1) (i32.const 5000))
    (if (i32.eqz (i32.load8_u (i32.const 5000))) (then (return (call $ok))))
    (local.set $at (i32.load (i32.const 5004)))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 5008))))
    (loop $next
        (if (i32.gt_u (i32.add (local.get $at) (i32.const 6)) (local.get $end))
            (then (return (call $ok))))
        (local.set $op (i32.rem_u (i32.load8_u (local.get $at)) (i32.const 9)))
        (local.set $a (i32.add (local.get $at) (i32.load8_u offset=1 (local.get $at))))
        (local.set $a-length (i32.load8_u offset=2 (local.get $at)))
        (local.set $b (i32.add (local.get $at) (i32.load8_u offset=3 (local.get $at))))
        (local.set $b-length (i32.load8_u offset=4 (local.get $at)))
        (local.set $more (i32.load8_u offset=5 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 6)))
        (if (i32.eq (local.get $op) (i32.const 0)) (then
            (call $log (i32.and (local.get $more) (i32.const 7)) (local.get $a) (local.get $a-length))))
        (if (i32.eq (local.get $op) (i32.const 1)) (then
            (call $config (local.get $a) (local.get $a-length) (i32.const 6000))))
        (if (i32.eq (local.get $op) (i32.const 2)) (then
            (call $get (local.get $a) (local.get $a-length) (i32.const 6000))))
        (if (i32.eq (local.get $op) (i32.const 3)) (then
            (call $set (local.get $a) (local.get $a-length)
                (local.get $b) (local.get $b-length) (i32.const 6000))))
        (if (i32.eq (local.get $op) (i32.const 4)) (then
            (call $delete (local.get $a) (local.get $a-length))))
        (if (i32.eq (local.get $op) (i32.const 5)) (then
            (call $emit-event (local.get $a) (local.get $a-length) (local.get $more)
                (local.get $b) (local.get $b-length)
                ;; a key, perhaps, and perhaps a time, of the two kinds
                (i32.and (local.get $more) (i32.const 1)) (local.get $a) (local.get $a-length)
                (i32.and (i32.shr_u (local.get $more) (i32.const 1)) (i32.const 1))
                (i32.and (i32.shr_u (local.get $more) (i32.const 2)) (i32.const 1))
                (i64.extend_i32_u (local.get $b)) (local.get $b-length) (i32.const 6000))))
        (if (i32.eq (local.get $op) (i32.const 6)) (then
            (return (call $reject (local.get $a) (local.get $a-length)))))
        (if (i32.eq (local.get $op) (i32.const 7)) (then
            (return (call $retry (local.get $a) (local.get $a-length)
                (i64.extend_i32_u (local.get $more))))))
        (if (i32.eq (local.get $op) (i32.const 8)) (then ;; far more than is there
            (call $say (local.get $a)
                (i32.mul (local.get $a-length) (i32.const 65537)))))
        (br $next))
    (unreachable)";

/// What the guest is to do; and what its state answers for other keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<str>);

#[async_trait]
impl StateReader for Script {
    async fn read(&self, key: &str) -> Result<Option<StateValue>, Fault> {
        let text: &str = if key == SCRIPT { &self.0 } else { key };
        Ok(Some(StateValue {
            value: text.to_owned(),
            version: 1,
        }))
    }
}

/// The imports, called with any bytes.
pub fn imports(data: &[u8]) {
    let script = Script(String::from_utf8_lossy(data).into());
    World::shared().block_on(|world| async move {
        let guest = Arc::clone(&world.guest);
        let outcome = world.call(&guest, script).await;
        match outcome {
            Outcome::Done(effects) => {
                for event in &effects.emitted {
                    let text = event.0.encode();
                    let again = Envelope::decode(text.as_bytes(), None);
                    let again = again.expect("what is emitted is an envelope");
                    assert!(EventName::parse(again.event_name.as_str()).is_ok());
                }
                for write in &effects.writes {
                    assert!(!write.key.contains('\0'), "no column takes it: {write:?}");
                    let value = write.value.as_deref().unwrap_or_default();
                    assert!(!value.contains('\0'), "no column takes it: {write:?}");
                }
            }
            Outcome::Retry { reason, .. } | Outcome::Rejected { reason } => {
                crate::printable(&reason);
            }
            Outcome::Failed { detail, .. } => crate::printable(&detail),
            Outcome::HostFault(fault) => panic!("{fault:?}"),
        }
    });
    for line in World::shared().lines.take() {
        crate::printable(&line);
    }
}

/// A load error has a text, and nothing in it that steers a terminal; the compiler did
/// not fall over.
pub(crate) fn told(error: &LoadError) {
    let fell = matches!(
        error,
        LoadError::Compiler(_) | LoadError::CompilerEnded { .. } | LoadError::CompilerNotStarted(_)
    );
    assert!(!fell, "{error:?}");
    crate::printable(&error.to_string());
}

/// Lines that were logged.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogSink for Lines {
    fn line(&self, _: &CallId, line: &LogLine) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.message.clone());
    }
}

/// A moment at which everything happens.
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}

/// A sandbox for all calls of the process.
pub(crate) struct World {
    runtime: Runtime,
    sandbox: Sandbox,
    guest: Arc<Loaded>,
    lines: Arc<Lines>,
}

impl World {
    pub(crate) fn shared() -> &'static Self {
        static WORLD: LazyLock<World> = LazyLock::new(World::make);
        &WORLD
    }

    fn make() -> Self {
        count_panics();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let lines = Arc::new(Lines::default());
        let mut config = SandboxConfig::new(Arc::new(Frozen));
        config.instances_max = 2;
        config.log_sink = Some(Arc::clone(&lines) as _);
        let sandbox = Sandbox::new(config).expect("a sandbox");
        let bytes = testing::ping(GUEST, "(data (i32.const 4096) \"s\")");
        let guest = runtime.block_on(sandbox.load(bytes, manifest()));
        let guest = Arc::new(guest.expect("the guest loads"));
        Self {
            runtime,
            sandbox,
            guest,
            lines,
        }
    }

    /// Runs to its end.
    pub(crate) fn block_on<F: Future>(
        &'static self,
        work: impl FnOnce(&'static Self) -> F,
    ) -> F::Output {
        self.runtime.block_on(work(self))
    }

    pub(crate) async fn load(&self, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
        self.sandbox.load(bytes, manifest()).await
    }

    pub(crate) async fn call(&self, loaded: &Loaded, script: Script) -> Outcome {
        const BODY: &[u8] = br#"{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
            "event_name":"ping","event_version":1,"occurred_at":"2026-02-03T04:05:06Z",
            "payload":{"repository":{"full_name":"ada/engine"}}}"#;
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let invocation = Invocation {
            sql: Arc::new(NoStatements),
            envelope: Arc::new(Envelope::decode(BODY, None).expect("an envelope")),
            attempt: 1,
            trace: TraceContext::parse(PARENT, None),
            state: Arc::new(script),
        };
        let before = PANICS.load(Ordering::Relaxed);
        let outcome = loaded.handler.call(ExportIndex(0), invocation).await;
        // Not by its text: a guest can say the same.
        let panics = PANICS.load(Ordering::Relaxed);
        assert_eq!(panics, before, "the host panicked: {outcome:?}");
        outcome
    }
}

/// Panics of this process, with those that the sandbox makes an outcome of.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
}

fn manifest() -> Manifest {
    let mut manifest = Manifest::new(ComponentName::parse("fuzzed").expect("a name"));
    let settings = &mut manifest.settings;
    settings.limits.cpu = CPU;
    settings.limits.memory_bytes = MEMORY_BYTES;
    settings
        .config
        .insert("a".to_owned(), "\u{1b}[31mü\0".to_owned());
    manifest
}

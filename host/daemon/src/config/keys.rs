//! Every key there is. The reference in `docs/configuration.md` is this table.
//!
//! A bound is where a value stops making sense, not where it stops being wise;
//! the reason stands beside it.

use super::key::{Key, Kind};

const HOUR_S: u64 = 3_600;
/// Ten years: longer is a slip of the unit.
const RETENTION_H_MAX: u64 = 87_600;
/// The same in days.
const DEAD_LETTERS_D_MAX: u64 = RETENTION_H_MAX / 24;
/// An hour: a pause or a wait longer than this is better spent as a dead letter.
const HOUR_MS: u64 = HOUR_S * 1_000;

const fn number(
    section: &'static str,
    name: &'static str,
    min: u64,
    max: u64,
    unit: &'static str,
) -> Key {
    Key::new(section, name, Kind::Number { min, max, unit })
}

/// Shared by `[defaults]` and a component's own file: one budget, one set of bounds.
pub(super) mod bounds {
    use super::{HOUR_MS, Key, number};

    const DAY_MS: u64 = 24 * HOUR_MS;
    /// A handler that needs more than ten minutes is a batch, not a reaction.
    const TIMEOUT_MS_MAX: u64 = 600_000;
    /// More text than this of one call nobody reads.
    const LOG_KB_MAX: u64 = 4_096;
    /// All that 32-bit memory can address.
    const MEMORY_MB_MAX: u64 = 4_096;
    /// Instances of one component in one process, each with its memory.
    const CONCURRENCY_MAX: u64 = 1_024;
    /// A call that needs more imports than this is a loop that went wrong.
    const HOST_CALLS_MAX: u64 = 10_000_000;
    /// Lines and events are collected in memory until the call ends.
    const COLLECTED_MAX: u64 = 10_000;
    /// With its envelope a value still fits into a broker's message of 1 MiB.
    const VALUE_KB_MAX: u64 = 1_000;
    /// More events than this show nothing that fewer would not.
    const CANARY_EVENTS_MAX: u64 = 1_000_000;
    /// A build that is tried for longer than a week is in service.
    const WEEK_S: u64 = 7 * 24 * super::HOUR_S;
    /// Each waits for the one before it: more is a crawler, not a reaction.
    const REQUESTS_MAX: u64 = 1_000;
    /// It is in the host's memory and the guest's at once.
    const RESPONSE_KB_MAX: u64 = 16_384;
    /// What a billion keys need is a database of the component's own.
    const STATE_KEYS_MAX: u64 = 1_000_000_000;
    /// The same in bytes: a tebibyte.
    const STATE_MB_MAX: u64 = 1 << 20;
    /// More attempts than this are a queue that never empties.
    const ATTEMPTS_MAX: u64 = 1_000;

    pub(in super::super) const fn attempts(section: &'static str) -> Key {
        number(section, "attempts", 1, ATTEMPTS_MAX, "attempts")
    }
    pub(in super::super) const fn failures(section: &'static str) -> Key {
        number(section, "failures", 0, ATTEMPTS_MAX, "calls")
    }
    pub(in super::super) const fn pause(section: &'static str, name: &'static str) -> Key {
        number(section, name, 1, DAY_MS, "milliseconds")
    }
    pub(in super::super) const fn timeout(section: &'static str) -> Key {
        number(section, "timeout_ms", 1, TIMEOUT_MS_MAX, "milliseconds")
    }
    pub(in super::super) const fn cpu(section: &'static str) -> Key {
        number(section, "cpu_ms", 1, TIMEOUT_MS_MAX, "milliseconds")
    }
    pub(in super::super) const fn memory(section: &'static str) -> Key {
        number(section, "memory_mb", 1, MEMORY_MB_MAX, "MiB")
    }
    pub(in super::super) const fn concurrency(section: &'static str) -> Key {
        number(section, "concurrency", 1, CONCURRENCY_MAX, "events")
    }
    pub(in super::super) const fn host_calls(section: &'static str) -> Key {
        number(section, "host_calls", 1, HOST_CALLS_MAX, "calls")
    }
    pub(in super::super) const fn log_lines(section: &'static str) -> Key {
        number(section, "log_lines", 0, COLLECTED_MAX, "lines")
    }
    pub(in super::super) const fn log_kb(section: &'static str) -> Key {
        number(section, "log_kb", 1, LOG_KB_MAX, "KiB")
    }
    pub(in super::super) const fn emitted(section: &'static str) -> Key {
        number(section, "emitted_events", 0, COLLECTED_MAX, "events")
    }
    pub(in super::super) const fn value(section: &'static str) -> Key {
        number(section, "value_kb", 1, VALUE_KB_MAX, "KiB")
    }
    /// Of a hundred events.
    pub(in super::super) const fn percent(name: &'static str) -> Key {
        number("canary", name, 0, 100, "events of a hundred")
    }
    pub(in super::super) const fn canary_events() -> Key {
        number("canary", "events", 1, CANARY_EVENTS_MAX, "events")
    }
    pub(in super::super) const fn canary_time() -> Key {
        number("canary", "time_s", 0, WEEK_S, "seconds")
    }
    pub(in super::super) const fn http_requests(section: &'static str) -> Key {
        number(section, "http_requests", 0, REQUESTS_MAX, "requests")
    }
    pub(in super::super) const fn http_response(section: &'static str) -> Key {
        number(section, "http_response_kb", 1, RESPONSE_KB_MAX, "KiB")
    }
    pub(in super::super) const fn state_keys(section: &'static str) -> Key {
        number(section, "state_keys", 0, STATE_KEYS_MAX, "keys")
    }
    pub(in super::super) const fn state_mb(section: &'static str) -> Key {
        number(section, "state_mb", 0, STATE_MB_MAX, "MiB")
    }
}

pub(super) const GRANT_WORDS: &[&str] = &[
    "log", "config", "state", "emit", "clock", "random", "secrets", "http", "sql",
];
pub(super) const SHARD_WORDS: &[&str] = &["ordering-key", "tenant", "correlation"];
pub(super) const ROW_ORDER_WORDS: &[&str] = &["eager", "strict"];
pub(super) const PUBLISH_WORDS: &[&str] = &["auto", "pipelined", "batch"];
pub(super) const UNSIGNED_WORDS: &[&str] = &["deny", "warn", "allow"];
pub(super) const START_WORDS: &[&str] = &["beginning", "now"];

macro_rules! keys {
    ($($name:ident = $key:expr;)*) => {
        $(pub(super) static $name: Key = $key;)*
        /// All of them, in the order of the reference.
        pub(super) static ALL: &[&Key] = &[$(&$name),*];
    };
}

keys! {
    DATABASE_URL = Key::new("database", "url", Kind::Secret)
        .default("sqlite://qx.db")
        .doc("Outbox and ledger: `postgres://…` or `sqlite://path`.");
    DATABASE_MAX_CONNECTIONS = number("database", "max_connections", 2, 500, "connections")
        .default("10")
        .doc("Connections of one process to PostgreSQL. SQLite has its own rule.");
    DATABASE_SQL_CONNECTIONS = number("database", "sql_connections", 1, 100, "connections")
        .default("4")
        .doc("Further connections of one process for each role that components run SQL as: one for each call that is at it.");

    STREAM_KIND = Key::new("stream", "kind", Kind::Word(&["nats", "embedded"]))
        .doc("Where events travel. Not set: `nats` when `nats.servers` is set, else `embedded`.");
    STREAM_PATH = Key::new("stream", "path", Kind::Path)
        .doc("File of the embedded stream. Not set: `qx-stream.db` beside a SQLite database, \
            else beside the configuration.");
    STREAM_RETENTION = number("stream", "retention_hours", 1, RETENTION_H_MAX, "hours")
        .default("168")
        .doc("How long the embedded stream keeps a message.");

    NATS_SERVERS = Key::new("nats", "servers", Kind::List)
        .doc("`nats://host:4222`, one or more of one cluster; also `tls://`.");
    NATS_STREAM = Key::new("nats", "stream", Kind::Text)
        .default("QX_EVENTS")
        .doc("Name of the JetStream stream.");
    NATS_SUBJECT_PREFIX = Key::new("nats", "subject_prefix", Kind::Text)
        .default("svc")
        .doc("An event's subject is this, a dot and its name. The embedded stream uses it too.");
    NATS_CREDENTIALS = Key::new("nats", "credentials", Kind::Path)
        .doc("A `.creds` file. One way of signing in at most.");
    NATS_USER = Key::new("nats", "user", Kind::Text)
        .doc("Goes with `password`.");
    NATS_PASSWORD = Key::new("nats", "password", Kind::Secret)
        .doc("Goes with `user`.");
    NATS_TOKEN = Key::new("nats", "token", Kind::Secret)
        .doc("Signs in with a token.");
    NATS_NKEY_SEED_FILE = Key::new("nats", "nkey_seed_file", Kind::Path)
        .doc("Signs in with the nkey whose seed is in this file.");
    NATS_TLS_CA = Key::new("nats", "tls_ca", Kind::Path)
        .doc("Authorities to trust, as PEM, beside those of the system.");
    NATS_TLS_CERT = Key::new("nats", "tls_cert", Kind::Path)
        .doc("The client's certificate, as PEM. Goes with `tls_key`.");
    NATS_TLS_KEY = Key::new("nats", "tls_key", Kind::Path)
        .doc("The client's key, as PEM. Goes with `tls_cert`.");
    NATS_TLS_REQUIRED = Key::new("nats", "tls_required", Kind::Flag)
        .default("false")
        .doc("Refuses a server that does not speak TLS.");
    NATS_REPLICAS = number("nats", "replicas", 1, 5, "copies")
        .default("1")
        .doc("Copies of the stream, when the host creates it.");
    // The server's own default: a stream that was made elsewhere has it.
    NATS_DUPLICATE_WINDOW = number("nats", "duplicate_window_s", 1, 24 * HOUR_S, "seconds")
        .default("120")
        .doc("How long the stream recognises a message that it has already.");
    NATS_MAX_AGE = number("nats", "max_age_h", 0, RETENTION_H_MAX, "hours")
        .default("168")
        .doc("How long the stream keeps a message; 0 is for ever.");

    COMPONENTS_DIR = Key::new("components", "dir", Kind::Path)
        .default("components")
        .doc("The catalog: `<name>.wasm` and, optional, `<name>.toml`.");
    COMPONENTS_CACHE_DIR = Key::new("components", "cache_dir", Kind::Path)
        .default(".qx/cache")
        .doc("Compiled components. Only the host may write there.");
    COMPONENTS_GRANTS = Key::new("components", "grants", Kind::Words(GRANT_WORDS))
        .default("log,config,state,emit,clock,random")
        .doc("What every component may import. `[grants.<component>]` adds to it for one, and a component's own file can only narrow it.");
    COMPONENTS_MAX_MB = number("components", "max_component_mb", 1, 512, "MiB")
        .default("64")
        .doc("Largest component that is compiled.");

    COMPONENTS_TRUSTED_KEYS = Key::new("components", "trusted_keys", Kind::List)
        .doc("Public keys (`RWQ…`, or `file:` and a path) whose signatures components may carry in \
            `<name>.wasm.minisig`: see docs/signatures.md.");
    COMPONENTS_UNSIGNED = Key::new("components", "unsigned", Kind::Word(UNSIGNED_WORDS))
        .doc("What is done with a component without a signature: not loaded, loaded with a line in the \
            log, or loaded. Not set: `deny` once there is a trusted key, `warn` until then, and \
            `allow` under `qx-host dev`.");

    COMPONENTS_COMPILE_TIMEOUT = number("components", "compile_timeout_s", 1, HOUR_S, "seconds")
        .default("120")
        .doc("Time that compiling one component may take.");
    // In less not even the smallest can be compiled.
    COMPONENTS_COMPILE_MEMORY = number("components", "compile_memory_mb", 256, 262_144, "MiB")
        .default("4096")
        .doc("Addresses that compiling one component may map: more than it uses of memory.");

    COMPONENTS_DRAIN = number("components", "drain_ms", 0, 600_000, "milliseconds")
        .default("30000")
        .doc("How long a build that was replaced may go on with the calls it began; then they are cut off and made again on its successor, and use up no attempt.");
    COMPONENTS_BUILDS_DIR = Key::new("components", "builds_dir", Kind::Path)
        .default(".qx/builds")
        .doc("Builds that were in service, for `handlers rollback`. Only the host's user may read there.");
    COMPONENTS_KEEP_BUILDS = number("components", "keep_builds", 1, 1_000, "builds")
        .default("10")
        .doc("Builds of each component that are kept there, for 90 days at most.");

    CANARY_PERCENT = bounds::percent("percent")
        .default("0")
        .doc("Events that a new build of a component in service gets at first, until it is judged; 0: it replaces the old one at once. See docs/deploys.md.");
    CANARY_EVENTS = bounds::canary_events()
        .default("100")
        .doc("Events that it must have been given before it comes into service for all.");
    CANARY_TIME = bounds::canary_time()
        .default("60")
        .doc("Time that must have passed by then.");
    CANARY_FAILED = bounds::percent("failed_percent")
        .default("1")
        .doc("Of its events, those that may trap or break a limit; with the one too many it is taken back.");
    CANARY_DECLINED = bounds::percent("declined_percent")
        .default("5")
        .doc("Of its events, those that it may retry or reject beyond what the old build does.");

    DEFAULTS_ATTEMPTS = bounds::attempts("defaults")
        .default("5")
        .doc("Attempts at one event, the first included; then it is a dead letter.");
    DEFAULTS_RETRY_INITIAL = bounds::pause("defaults", "retry_initial_ms")
        .default("1000")
        .doc("Pause after the first attempt; it doubles with each, with jitter.");
    DEFAULTS_RETRY_MAX = bounds::pause("defaults", "retry_max_ms")
        .default("300000")
        .doc("Longest pause.");
    DEFAULTS_TIMEOUT = bounds::timeout("defaults")
        .default("5000")
        .doc("Wall time of one call, host calls included.");
    DEFAULTS_CPU = bounds::cpu("defaults")
        .default("2000")
        .doc("Processor time of one call: what waits uses none.");
    DEFAULTS_MEMORY = bounds::memory("defaults")
        .default("64")
        .doc("Memory of one instance.");
    DEFAULTS_CONCURRENCY = bounds::concurrency("defaults")
        .default("16")
        .doc("Calls of one component that run at once.");
    DEFAULTS_START = Key::new("defaults", "start", Kind::Word(START_WORDS))
        .default("beginning")
        .doc("Where a component begins that has never run before.");
    DEFAULTS_HOST_CALLS = bounds::host_calls("defaults")
        .default("10000")
        .doc("Calls of imports in one call of a handler.");
    DEFAULTS_LOG_LINES = bounds::log_lines("defaults")
        .default("100")
        .doc("Lines of log in one call; more are dropped and counted.");
    DEFAULTS_LOG_KB = bounds::log_kb("defaults")
        .default("64")
        .doc("All lines of log of one call; more are dropped and counted.");
    DEFAULTS_EMITTED = bounds::emitted("defaults")
        .default("100")
        .doc("Events emitted in one call.");
    DEFAULTS_VALUE = bounds::value("defaults")
        .default("256")
        .doc("One emitted payload, one value of state, or the body of one request.");
    DEFAULTS_HTTP_REQUESTS = bounds::http_requests("defaults")
        .default("16")
        .doc("Requests over HTTP in one call.");
    DEFAULTS_HTTP_RESPONSE = bounds::http_response("defaults")
        .default("1024")
        .doc("Body of one answer.");
    DEFAULTS_STATE_KEYS = bounds::state_keys("defaults")
        .default("1000000")
        .doc("Keys of the component's state, over all calls and tenants.");
    DEFAULTS_STATE_MB = bounds::state_mb("defaults")
        .default("1024")
        .doc("Keys and values of the component's state, over all calls and tenants.");

    // 1,000 is the most that the broker takes as one batch.
    RELAY_BATCH = number("relay", "batch", 1, 1_000, "rows")
        .default("200")
        .doc("Rows of one pass; a crash can publish twice as many again at most.");
    RELAY_POLL_MAX = number("relay", "poll_max_ms", 5, 60_000, "milliseconds")
        .default("100")
        .doc("Longest pause between two looks at an idle outbox.");
    RELAY_RETENTION = number("relay", "retention_hours", 1, RETENTION_H_MAX, "hours")
        .default("72")
        .doc("How long a published row is kept, to publish it again should the stream lose it.");
    RELAY_LEASE = number("relay", "lease_s", 2, HOUR_S, "seconds")
        .default("5")
        .doc("After this long without a sign of the leading relay another takes over.");
    RELAY_ORDER = Key::new("relay", "order", Kind::Word(ROW_ORDER_WORDS))
        .default("eager")
        .doc("What becomes of rows while the transaction of an earlier one is open: they leave \
            before it (`eager`), or wait until it is over (`strict`), so that rows leave in the \
            order of `seq` whoever commits first. Only writers that do not lock the same row \
            before they record events of one key need it. It costs a look at the open \
            transactions for each pass, and one that stays open holds every later row back: see \
            `qx-host outbox status`. On SQLite both are the same.");
    RELAY_SHARDS = number("relay", "shards", 1, 64, "parts")
        .default("1")
        .doc("Parts that the outbox is split into, each with a relay of its own, on whichever \
            host has its lease. The same for all hosts: change it while none runs, and let \
            `qx-host migrate` do it. PostgreSQL only.");
    RELAY_SHARD_BY = Key::new("relay", "shard_by", Kind::Word(SHARD_WORDS))
        .default("ordering-key")
        .doc("With `shards`: events that have the same of this are in one part, and keep their \
            order. A component with `order = \"key\"` must have the same `key`. Events that have \
            none are spread.");
    RELAY_PUBLISH = Key::new("relay", "publish", Kind::Word(PUBLISH_WORDS))
        .default("auto")
        .doc("How rows go to NATS: `pipelined`, or in atomic batches (`batch`), which are faster \
            where the server syncs its disk with every write. `auto` measures both and takes the \
            faster one; for a stream of several copies it takes batches, which keep the order \
            there. Batches need a nats-server 2.12 and a stream that allows them (`allow_atomic`); \
            pipelined messages cost less with 2.14 and a stream that has `allow_batched`. A stream \
            that the host makes has both.");

    // Below a second a delivery is repeated by an ordinary pause of the machine.
    CONSUMER_ACK_WAIT = number("consumer", "ack_wait_ms", 1_000, HOUR_MS, "milliseconds")
        .default("10000")
        .doc("A message that is neither settled nor extended for so long is delivered again; twice a component's timeout where that is longer.");
    CONSUMER_LEASE = number("consumer", "lease_s", 2, HOUR_S, "seconds")
        .default("5")
        .doc("A component with `order = \"key\"` is consumed by one host at a time: after this \
            long without a sign of it another takes over.");
    CONSUMER_IN_FLIGHT = number("consumer", "in_flight_max", 1, 4_096, "events")
        .default("64")
        .doc("Places for events that one process works on at once, over all components; times \
            `defaults.memory_mb` it is the sandbox's footprint. Half of them are kept for each \
            component's own part: at least twice the number of components.");

    // No default that deletes: see docs/dead-letters.md.
    DEAD_LETTERS_RETENTION = number("dead_letters", "retention_days", 0, DEAD_LETTERS_D_MAX, "days")
        .default("0")
        .doc("How long a dead letter is kept after its last attempt; then it is deleted, and the event was never handled. 0 is for ever.");

    HTTP_TLS_CA = Key::new("http", "tls_ca", Kind::Path)
        .doc("Authorities that handlers' requests trust, as PEM, beside those of the system.");

    ADMIN_LISTEN = Key::new("admin", "listen", Kind::TextOrOff)
        .default("127.0.0.1:7420")
        .doc("`/livez`, `/readyz`, `/metrics` and the admin API; \"\" switches it off. It \
            asks nobody who they are: keep it on the loopback or behind something that does.");

    TELEMETRY_OTLP_ENDPOINT = Key::new("telemetry", "otlp_endpoint", Kind::TextOrOff)
        .doc("Where spans go, for instance `http://127.0.0.1:4317` (OTLP over gRPC). Not set: nowhere.");
    TELEMETRY_SERVICE_NAME = Key::new("telemetry", "service_name", Kind::Text)
        .default("qx-host")
        .doc("What the spans are called by.");
    TELEMETRY_LOG = Key::new("telemetry", "log", Kind::Word(&["text", "json"]))
        .default("text")
        .doc("Shape of the log.");
    TELEMETRY_LEVEL = Key::new("telemetry", "level", Kind::Text)
        .default("info")
        .doc("What is logged: a level, or directives such as `info,qx_pipeline=debug`.");
    TELEMETRY_PROCESS_PARENT = Key::new("telemetry", "process_parent", Kind::Word(&["message", "none"]))
        .default("message")
        .doc("What the span of a delivery is a child of: its message's context, or nothing, which makes each delivery a trace of its own. It links to the message's context either way.");

    HOST_GRACE = number("host", "grace_ms", 0, 600_000, "milliseconds")
        .default("10000")
        .doc("How long a host that was asked to stop waits for what it has begun.");
}

//! Every key of a component's file.

use crate::config::key::{Key, Kind};
use crate::config::keys::{GRANT_WORDS, START_WORDS, bounds};

/// What an instance leaks in more calls than this, it leaks in fewer as well.
const USES_MAX: u64 = 1_000_000;
const DAY_S: u64 = 86_400;

macro_rules! keys {
    ($($name:ident = $key:expr;)*) => {
        $(pub(super) static $name: Key = $key;)*
        /// All of them, in the order of the reference.
        pub(in super::super) static ALL: &[&Key] = &[$(&$name),*];
    };
}

keys! {
    ORDER = Key::new("", "order", Kind::Word(&["none", "key"]))
        .doc("`key`: events of one `key` are handled one after the other, in the order of the \
            outbox, and those of different keys side by side. Not set: as they come.");
    KEY = Key::new("", "key", Kind::Word(&["tenant", "correlation", "ordering-key"]))
        .doc("With `order = \"key\"`: what is an event's key. An event without one follows nobody.");
    INBOX = Key::new("", "inbox", Kind::Word(&["every", "effects"]))
        .doc("`every` handled event leaves a mark, which is the default: each is handled once. `effects`: only one that wrote state or emitted; the others need no commit, and may be called again after a crash.");
    CONCURRENCY = bounds::concurrency("")
        .doc("Calls of this component that run at once.");
    START = Key::new("", "start", Kind::Word(START_WORDS))
        .doc("Where it begins when it has never run before.");
    GRANTS = Key::new("", "grants", Kind::Words(GRANT_WORDS))
        .doc("What it may import, within what the host grants it. Not set: all of that.");
    EMIT = Key::new("", "emit", Kind::List)
        .doc("The events that it may emit, within what the host grants it: names, or patterns with `*` and `>`. Not set: all of that.");
    SECRETS = Key::new("", "secrets", Kind::List)
        .doc("The secrets that it may read, by name, within what the host grants it. Not set: all of that.");
    HTTP = Key::new("", "http", Kind::List)
        .doc("Where it may send requests, such as `\"https://api.example.com\"`, within what the host grants it. Not set: all of that.");
    ROUTE_EVENTS = Key::new("routes", "events", Kind::List)
        .doc("Event names or patterns: `*` is one token, `>` the rest.");
    ROUTE_VERSIONS = Key::new("routes", "versions", Kind::List)
        .doc("A list of versions, such as `[1, 2]`, or `\"*\"`. Not set: version 1.");
    ROUTE_EXPORT = Key::new("routes", "export", Kind::Text)
        .doc("The export that takes them. Not set: the only one there is.");
    RETRY_ATTEMPTS = bounds::attempts("retry")
        .doc("Attempts at one event, the first included; then it is a dead letter.");
    RETRY_INITIAL = bounds::pause("retry", "initial_ms")
        .doc("Pause after the first attempt; it doubles with each, with jitter.");
    RETRY_MAX = bounds::pause("retry", "max_ms")
        .doc("Longest pause.");
    BREAKER_FAILURES = bounds::failures("breaker")
        .doc("Calls in a row that trap or break a limit, after which the component pauses itself; 0: never. Not set: 10.");
    BREAKER_PAUSE = bounds::pause("breaker", "pause_ms")
        .doc("First pause; then one call tries whether it works again. Each pause is twice the one before. Not set: 5000.");
    BREAKER_PAUSE_MAX = bounds::pause("breaker", "pause_max_ms")
        .doc("Longest pause. Not set: 300000.");
    CANARY_PERCENT = bounds::percent("percent")
        .doc("Events that a new build gets at first, until it is judged; 0: it replaces the old one at once. All keys here: over those of the host's `[canary]`.");
    CANARY_EVENTS = bounds::canary_events()
        .doc("Events that it must have been given before it comes into service for all.");
    CANARY_TIME = bounds::canary_time()
        .doc("Time that must have passed by then.");
    CANARY_FAILED = bounds::percent("failed_percent")
        .doc("Of its events, those that may trap or break a limit; with the one too many it is taken back.");
    CANARY_DECLINED = bounds::percent("declined_percent")
        .doc("Of its events, those that it may retry or reject beyond what the old build does.");
    TIMEOUT = bounds::timeout("limits")
        .doc("Wall time of one call. Shorter than the host's `consumer.ack_wait_ms`.");
    CPU = bounds::cpu("limits")
        .doc("Processor time of one call: what waits uses none.");
    MEMORY = bounds::memory("limits")
        .doc("Memory of one instance.");
    HOST_CALLS = bounds::host_calls("limits")
        .doc("Calls of imports in one call of a handler.");
    LOG_LINES = bounds::log_lines("limits")
        .doc("Lines of log in one call; more are dropped and counted.");
    LOG_KB = bounds::log_kb("limits")
        .doc("All lines of log of one call; more are dropped and counted.");
    EMITTED = bounds::emitted("limits")
        .doc("Events emitted in one call.");
    VALUE = bounds::value("limits")
        .doc("One emitted payload, one value of state, or the body of one request.");
    HTTP_REQUESTS = bounds::http_requests("limits")
        .doc("Requests over HTTP in one call.");
    HTTP_RESPONSE = bounds::http_response("limits")
        .doc("Body of one answer.");
    STATE_KEYS = bounds::state_keys("limits")
        .doc("Keys of the component's state, over all calls and tenants.");
    STATE_MB = bounds::state_mb("limits")
        .doc("Keys and values of the component's state, over all calls and tenants.");
    REUSE_USES = Key::new("reuse", "uses", Kind::Number { min: 1, max: USES_MAX, unit: "calls" })
        .doc("Calls of one instance, which is made anew then. Not set: 1000.");
    REUSE_MEMORY = bounds::memory("reuse")
        .doc("An instance whose memory has grown past this is not used again. Not set: three quarters of `limits.memory_mb`.");
    REUSE_IDLE = Key::new("reuse", "idle_s", Kind::Number { min: 1, max: DAY_S, unit: "seconds" })
        .doc("How long an instance is kept for the next call. Not set: 60.");
    REUSE_INSTANCES = Key::new("reuse", "instances", Kind::Number { min: 1, max: 1_024, unit: "instances" })
        .doc("Instances of the component that one process keeps at once. Not set: its `concurrency`.");
    REUSE_TENANTS = Key::new("reuse", "across_tenants", Kind::Flag)
        .doc("Whether an instance serves events of every tenant. Not set: `false`, only those of the tenant of its first event.");
}

//! A component's file as its operator meets it.

use qx_events::Capability;

use super::*;
use crate::config::Config;

/// A host that grants less than it could.
fn host() -> ComponentsConfig {
    let base = [("components.grants", "log,config,state,emit")];
    Config::load(None, [], &base).unwrap().components
}

fn parse(text: &str) -> Result<Sidecar, ConfigFaults> {
    Sidecar::parse(Path::new("stars.toml"), text, &host())
}

/// The only fault, as it is shown.
fn fault(text: &str) -> String {
    let faults = parse(text).unwrap_err();
    let shown = faults.to_string();
    assert_eq!(faults.iter().count(), 1, "{shown}");
    shown
}

#[test]
fn a_component_without_a_file_gets_the_defaults() {
    let none = Sidecar::load(Path::new("nowhere/stars.toml"), &host()).unwrap();
    assert_eq!(none, Sidecar::of_defaults("stars", &host()));
    assert_eq!(parse("").unwrap(), none);
    assert_eq!(none.routes, None);
}

/// As the file of the next test has it.
const REUSE: Reuse = Reuse {
    uses: 10,
    memory_bytes: 4 << 20,
    idle: Duration::from_secs(11),
    instances: 12,
    across_tenants: true,
};

/// What the file of the test below says.
fn narrow() -> Limits {
    Limits {
        timeout: Duration::from_millis(40),
        cpu: Duration::from_millis(30),
        memory_bytes: 5 << 20,
        host_calls: 6,
        log_lines: 0,
        log_line_bytes: Limits::default().log_line_bytes,
        log_bytes: 7 << 10,
        emitted_events: 8,
        value_bytes: 9 << 10,
        http_requests: 10,
        http_response_bytes: 11 << 10,
        state: StateBounds {
            keys: 12,
            bytes: 13 << 20,
        },
    }
}

#[test]
fn every_key_reaches_its_setting() {
    let text = r#"
order = "key"
key = "correlation"
inbox = "effects"
concurrency = 3
start = "now"
grants = ["state", "log"]
[retry]
attempts = 7
initial_ms = 20
max_ms = 30
[breaker]
failures = 0
pause_ms = 50
pause_max_ms = 60
[limits]
timeout_ms = 40
cpu_ms = 30
memory_mb = 5
host_calls = 6
log_lines = 0
log_kb = 7
emitted_events = 8
value_kb = 9
http_requests = 10
http_response_kb = 11
state_keys = 12
state_mb = 13
[reuse]
uses = 10
memory_mb = 4
idle_s = 11
instances = 12
across_tenants = true
[config]
currency = "EUR"
"#;
    let sidecar = parse(text).unwrap();
    let expected = Settings {
        retry: RetryPolicy {
            attempts_max: 7,
            initial: Duration::from_millis(20),
            max: Duration::from_millis(30),
        },
        breaker: BreakerPolicy {
            failures: 0,
            pause: Duration::from_millis(50),
            pause_max: Duration::from_millis(60),
        },
        canary: CanaryPolicy::default(),
        limits: narrow(),
        concurrency: 3,
        order: Order::Key(KeyField::Correlation),
        inbox: Inbox::Effects,
        start: qx_events::StartFrom::Now,
        reuse: Some(REUSE),
        config: BTreeMap::from([("currency".to_owned(), "EUR".to_owned())]),
        rights: Rights::of([Capability::Log, Capability::State]),
    };
    assert_eq!(sidecar.settings, expected);
}

#[test]
fn instances_are_used_again_only_where_the_file_says_so_and_within_bounds_it_need_not_name() {
    assert_eq!(parse("concurrency = 3").unwrap().settings.reuse, None);
    let settings = parse("concurrency = 3\n[limits]\nmemory_mb = 8\n[reuse]\n")
        .unwrap()
        .settings;
    let expected = Reuse {
        uses: 1_000,
        memory_bytes: 6 << 20,
        idle: Duration::from_mins(1),
        instances: 3,
        across_tenants: false,
    };
    assert_eq!(settings.reuse, Some(expected));
}

#[test]
fn routes_are_read_in_both_notations() {
    let expected = [
        (vec!["a.b", "c.>"], Versions::Only(vec![1, 2]), Some("on-a")),
        (vec!["d"], Versions::Any, None),
        (vec!["e"], Versions::Only(vec![1]), None),
    ];
    let long = "[[routes]]\nevents = [\"a.b\", \"c.>\"]\nversions = [1, 2]\nexport = \"on-a\"\n\
        [[routes]]\nevents = [\"d\"]\nversions = \"*\"\n[[routes]]\nevents = [\"e\"]\n";
    let short = "routes = [{ events = [\"a.b\", \"c.>\"], versions = [1, 2], export = \"on-a\" }, \
        { events = [\"d\"], versions = \"*\" }, { events = [\"e\"] }]";
    for text in [long, short] {
        let routes = parse(text).unwrap().routes.unwrap();
        assert_eq!(routes.len(), expected.len());
        for (route, (patterns, versions, export)) in routes.iter().zip(&expected) {
            let names: Vec<&str> = route.patterns.iter().map(Pattern::as_str).collect();
            assert_eq!((&names, &route.versions), (patterns, versions));
            assert_eq!(route.export.as_deref(), *export);
        }
    }
}

/// What is written, and how the fault begins.
const FAULTS: &[(&str, &str)] = &[
    (
        "[limits]\nmemory_mb = 8\n[reuse]\nmemory_mb = 9",
        "4:13: reuse.memory_mb: more than the instance may have",
    ),
    (
        "order = \"key\"",
        "1:9: order: \"key\" needs to know which; add key = \"tenant\", \"correlation\"",
    ),
    (
        "key = \"tenant\"",
        "1:7: key: says what events follow each other by; add order = \"key\"",
    ),
    (
        "order = \"none\"\nkey = \"tenant\"",
        "2:7: key: says what events follow each other by",
    ),
    (
        "order = \"key\"\nkey = \"tenat\"",
        "2:7: key: `tenat` is unknown; did you mean \"tenant\"?",
    ),
    (
        "order = \"nnoe\"",
        "1:9: order: `nnoe` is unknown; did you mean \"none\"?",
    ),
    (
        "grants = [\"clock\"]",
        "1:10: grants: the host does not grant \"clock\"; add it to capabilities in [grants.stars]",
    ),
    (
        "grants = [\"clok\"]",
        "1:10: grants: `clok` is unknown; did you mean \"clock\"?",
    ),
    (
        "attempts = 3",
        "1:1: attempts: unknown key here; it belongs in `[retry]`",
    ),
    (
        "[limit]\nmemory_mb = 1",
        "1:2: limit: unknown key; did you mean `limits`?",
    ),
    (
        "[limits]\nmemory_mb = 0",
        "2:13: limits.memory_mb: 0 is out of range; expected a whole number of MiB from 1 to 4096",
    ),
    (
        "[retry]\ninitial_ms = 400000",
        "2:14: retry.initial_ms: longer than the longest pause",
    ),
    (
        "[retry]\nmax_ms = 10",
        "2:10: retry.max_ms: shorter than the first pause",
    ),
    ("retry = 5", "1:9: retry: is a section"),
    (
        "[config]\nn = 5",
        "2:5: config.n: expected text, found the number 5; put it in quotes",
    ),
    ("routes = []", "1:10: routes: has no route"),
    ("routes = [1]", "1:10: routes: expected [[routes]]"),
    (
        "[routes]\nevents = [\"a\"]",
        "1:1: routes: expected [[routes]] and its keys below it, found a table",
    ),
    (
        "[[routes]]\nversions = [1]",
        "1:1: routes[0].events: missing; add events",
    ),
    (
        "[[routes]]\nevents = [\"a\"]\n[[routes]]\nevents = [\"a..b\"]",
        "4:10: routes[1].events: `a..b` is neither",
    ),
    (
        "[[routes]]\nevents = []",
        "2:10: routes[0].events: is empty",
    ),
    (
        "[[routes]]\nevents = \"a\"",
        "2:10: routes[0].events: expected a list of texts",
    ),
    (
        "[[routes]]\nevents = [\"a\"]\nversions = [0]",
        "3:12: routes[0].versions: expected a list of versions from 1",
    ),
    (
        "[[routes]]\nevent = [\"a\"]\nevents = [\"a\"]",
        "2:1: routes[0].event: unknown key; did you mean `events`?",
    ),
];

#[test]
fn what_is_wrong_is_told_with_its_line_and_a_remedy() {
    for (text, expected) in FAULTS {
        let shown = fault(text);
        assert!(
            shown
                .trim_start_matches("stars.toml:")
                .starts_with(expected),
            "{text}\n{shown}"
        );
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "x = 1\norder = 2\n[limits]\ntimeout_ms = \"1\"\n[[routes]]\nevents = [\"*a\"]\nversions = 1";
    assert_eq!(parse(text).unwrap_err().iter().count(), 5);
}

#[test]
fn a_component_is_in_order_by_the_key_that_the_outbox_is_split_by_or_not_at_all() {
    let split = [("relay.shards", "4"), ("relay.shard_by", "tenant")];
    let host = Config::load(None, [], &split).unwrap().components;
    let parse = |text: &str| Sidecar::parse(Path::new("stars.toml"), text, &host);
    let by_tenant = parse("order = \"key\"\nkey = \"tenant\"").unwrap();
    assert_eq!(by_tenant.settings.order, Order::Key(KeyField::Tenant));
    assert!(parse("").is_ok());
    let faults = parse("order = \"key\"\nkey = \"correlation\"").unwrap_err();
    assert_eq!(
        faults.to_string(),
        "stars.toml:2:7: key: the outbox is in 4 parts by tenant, and events of one correlation may \
         be in different ones, which keep no order among them; write \"tenant\", or split the outbox \
         by correlation (relay.shard_by)"
    );
}

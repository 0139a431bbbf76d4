//! Configuration as an operator meets it: layers, faults, contradictions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qx_events::Settings;

use super::keys;
use qx_events::Capability;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn parse(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    Config::parse(Path::new("etc/qx-host.toml"), text, env(pairs), &[])
}

fn defaults() -> Config {
    Config::load(None, [], &[]).unwrap()
}

/// The only fault, as it is shown.
fn fault(text: &str, pairs: &[(&str, &str)]) -> String {
    let faults = parse(text, pairs).unwrap_err();
    let shown = faults.to_string();
    assert_eq!(faults.iter().count(), 1, "{shown}");
    shown
}

#[test]
fn without_a_file_everything_is_embedded() {
    let config = defaults();
    assert_eq!(config.database.url.expose(), "sqlite://qx.db");
    let StreamKind::Embedded(stream) = &config.stream.kind else {
        panic!("{:?}", config.stream);
    };
    assert_eq!(stream.path, PathBuf::from("qx-stream.db"));
    assert_eq!(config.components.dir, PathBuf::from("components"));
    assert_eq!(config.admin.listen, Some("127.0.0.1:7420".parse().unwrap()));
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_vocabulary() {
    assert_eq!(defaults().components.defaults, Settings::default());
    assert_eq!(
        keys::GRANT_WORDS,
        Capability::ALL.map(Capability::as_str).as_slice(),
        "a grant without a word cannot be granted"
    );
}

#[test]
fn a_key_that_is_written_as_its_default_says_the_same() {
    // A default is never checked when it is used, so it is checked here.
    for key in keys::ALL.iter().filter(|key| !key.default.is_empty()) {
        let given = parse("", &[(&key.variable(), key.default)]);
        assert!(given.is_ok(), "{}: {}", key.full(), given.unwrap_err());
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_base() {
    let base = [
        ("relay.batch", "10"),
        ("relay.lease_s", "20"),
        ("host.grace_ms", "1"),
    ];
    let text = "[relay]\nbatch = 11\nlease_s = 21";
    let vars = env(&[("QX_RELAY__BATCH", "12")]);
    let config = Config::parse(Path::new("x.toml"), text, vars, &base).unwrap();
    assert_eq!(config.relay.batch, 12);
    assert_eq!(config.relay.lease, Duration::from_secs(21));
    assert_eq!(config.grace, Duration::from_millis(1));
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let page = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/configuration.md"
    ));
    let mut examples = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next());
    let host = examples.next().flatten().unwrap();
    let config = parse(host, &[("QX_PASSWORD", "s3cret")]).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://qx:s3cret@db/app");
    let rights = examples.next().flatten().unwrap();
    parse(rights, &[("GITHUB_TOKEN", "s3cret")]).unwrap();
    let component = examples.next().flatten().unwrap();
    Sidecar::parse(Path::new("orders.toml"), component, &config.components).unwrap();
}

#[test]
fn every_fault_is_told_at_once_in_its_place() {
    let text = "\
[database]
url = 7
[nats]
server = [\"a\"]
replicas = 9
tls_required = \"yes\"
[componets]
dir = \"x\"
[telemetry]
log = \"jsno\"
";
    let vars = [
        ("QX_RELAY__BATCH", "many"),
        ("QX_RELAY__BACH", "1"),
        ("QX_RELAI__BATCH", "1"),
    ];
    let faults = parse(text, &vars).unwrap_err();
    let mut shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "QX_RELAI__BATCH: relai.batch: unknown variable; did you mean `QX_RELAY__BATCH`?",
            "QX_RELAY__BACH: relay.bach: unknown variable; did you mean `QX_RELAY__BATCH`?",
            "QX_RELAY__BATCH: relay.batch: expected a whole number of rows from 1 to 1000, found `many`",
            "etc/qx-host.toml:10:7: telemetry.log: `jsno` is unknown; did you mean \"json\"?",
            "etc/qx-host.toml:2:7: database.url: expected text in quotes, found something else",
            "etc/qx-host.toml:4:1: nats.server: unknown key; did you mean `servers`?",
            "etc/qx-host.toml:5:12: nats.replicas: 9 is out of range; expected a whole number \
                of copies from 1 to 5",
            "etc/qx-host.toml:6:16: nats.tls_required: expected true or false, found the text \"yes\"",
            "etc/qx-host.toml:7:2: componets: unknown section; did you mean `[components]`?",
        ]
    );
}

#[test]
fn a_syntax_error_has_its_line() {
    let shown = fault("[nats]\nservers = [\"a\"\n[relay]\n", &[]);
    assert!(
        shown.starts_with("etc/qx-host.toml:3:") || shown.starts_with("etc/qx-host.toml:2:"),
        "{shown}"
    );
    assert!(shown.contains("not TOML"), "{shown}");
    let twice = fault("[relay]\nbatch = 1\nbatch = 2\n", &[]);
    assert!(
        twice.starts_with("etc/qx-host.toml:3:1: not TOML: duplicate key"),
        "{twice}"
    );
}

#[test]
fn a_misplaced_key_is_sent_where_it_belongs() {
    let table = [
        (
            "url = \"x\"",
            "etc/qx-host.toml:1:1: url: unknown key here; it belongs in `[database]`",
        ),
        (
            "[relay]\nlisten = \"x\"",
            "etc/qx-host.toml:2:1: relay.listen: unknown key here; it belongs in `[admin]`",
        ),
        (
            "relay = 3",
            "etc/qx-host.toml:1:1: relay: is a section; write `[relay]` and its keys below it",
        ),
        (
            "[relay]\nx = 1",
            "etc/qx-host.toml:2:1: relay.x: unknown key; there are batch, poll_max_ms, retention_hours, lease_s, order, shards, shard_by, publish",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(fault(text, &[]), expected);
    }
}

/// What is written, and how the fault begins.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "[stream]\nkind = \"nats\"",
        "2:8: stream.kind: \"nats\" needs servers",
    ),
    (
        "[defaults]\nretry_max_ms = 999",
        "2:16: defaults.retry_max_ms: shorter than",
    ),
    (
        "[relay]\npoll_max_ms = 8000",
        "2:15: relay.poll_max_ms: longer than half of relay.lease_s",
    ),
    (
        "[nats]\nmax_age_h = 1\nduplicate_window_s = 3601",
        "3:22: nats.duplicate_window_s: longer than",
    ),
    (
        "[nats]\nuser = \"u\"",
        "2:8: nats.user: goes with nats.password",
    ),
    (
        "[nats]\ntls_key = \"k\"",
        "2:11: nats.tls_key: goes with nats.tls_cert",
    ),
    (
        "[nats]\ncredentials = \"c\"\ntoken = \"t\"",
        "3:9: nats.token: a second way of signing in beside nats.credentials",
    ),
    (
        "[stream]\npath = \"qx.db\"",
        "2:8: stream.path: is the database's own file",
    ),
    (
        "[admin]\nlisten = \"localhost:1\"",
        "2:10: admin.listen: `localhost:1` is no address",
    ),
    (
        "[nats]\nsubject_prefix = \"a.*\"",
        "2:18: nats.subject_prefix: not a legal beginning",
    ),
    (
        "[nats]\nstream = \"a.b\"",
        "2:10: nats.stream: not a legal name",
    ),
    (
        "[telemetry]\nlevel = \"x=y=z\"",
        "2:9: telemetry.level: neither a level",
    ),
    (
        "[telemetry]\notlp_endpoint = \"collector:4317\"",
        "2:17: telemetry.otlp_endpoint: no such endpoint",
    ),
    (
        "[nats]\nservers = [\"http://a\"]",
        "2:11: nats.servers: `http://` is not spoken here",
    ),
    (
        "[components]\ncache_dir = \"\"",
        "2:13: components.cache_dir: is empty",
    ),
];

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, expected) in CONTRADICTIONS {
        let shown = fault(text, &[]);
        assert!(
            shown.starts_with(&format!("etc/qx-host.toml:{expected}")),
            "{shown}"
        );
    }
}

#[test]
fn what_is_set_and_not_used_is_no_fault() {
    let text = "[stream]\nkind = \"embedded\"\n[nats]\nservers = [\"nats://a:4222\"]";
    let config = parse(text, &[]).unwrap();
    assert!(matches!(config.stream.kind, StreamKind::Embedded(_)));
}

#[test]
fn servers_alone_choose_the_broker() {
    let nats = |pairs| match parse("", pairs).unwrap().stream.kind {
        StreamKind::Nats(nats) => nats.servers.iter().map(ToString::to_string).collect(),
        StreamKind::Embedded(_) => Vec::new(),
    };
    let both = ["nats://a:1", "nats://b:2"];
    assert_eq!(nats(&[("QX_NATS__SERVERS", "nats://a:1, b:2")]), both);
    assert_eq!(
        nats(&[("QX_NATS__SERVERS", "[\"nats://a:1\",\"nats://b:2\"]")]),
        both
    );
    assert_eq!(nats(&[("QX_NATS__URL", "nats://a:1")]), ["nats://a:1"]);
    assert_eq!(
        nats(&[("QX_NATS__URL", "x"), ("QX_NATS__SERVERS", "a:1")]),
        ["nats://a:1"]
    );
    assert_eq!(nats(&[("QX_NATS__SERVERS", "")]), Vec::<String>::new());
}

#[test]
fn an_environment_shared_with_the_predecessor_is_no_fault() {
    let config = parse(
        "",
        &[
            ("QX_NATS__CONNECT_TIMEOUT_SECONDS", "5.0"),
            ("QX_NATS__NAME", "api"),
            ("QX_NATS__CONSUMER", "c"),
            ("QX_DB__URL", "postgresql+asyncpg://x/y"),
            ("QX_CACHE__URL", "redis://"),
            ("QX_HOME", "/x"),
            ("PATH", "/bin"),
        ],
    );
    assert!(config.is_ok(), "{}", config.unwrap_err());
}

#[test]
fn who_we_are_is_taken_out_of_a_servers_url() {
    let text = "[nats]\nservers = [\"nats://u:p%40w+d@a:1\", \"nats://u:p%40w+d@b:1\"]";
    let StreamKind::Nats(nats) = parse(text, &[]).unwrap().stream.kind else {
        panic!("not nats");
    };
    assert_eq!(
        nats.auth,
        NatsAuth::User {
            user: "u".to_owned(),
            password: Secret::new("p@w+d")
        }
    );
    assert!(
        nats.servers.iter().all(|url| !url.as_str().contains('@')),
        "{nats:?}"
    );
    let two = fault(
        "[nats]\nservers = [\"nats://u:s3cret@a:1\", \"nats://t@b:1\"]",
        &[],
    );
    assert!(
        two.contains("different users") && !two.contains("s3cret"),
        "{two}"
    );
}

#[test]
fn a_secret_is_shown_neither_by_a_fault_nor_by_the_configuration() {
    let text = "[database]\nurl = \"postgres://u:${env:PW}@h/qx\"\n[nats]\nservers = [\"a\"]\ntoken \
        = \"s3cret\"";
    let config = parse(text, &[("PW", "s3cret")]).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://u:s3cret@h/qx");
    assert!(!format!("{config:?}").contains("s3cret"));
    let unset = fault(text, &[]);
    assert!(
        unset.contains("`PW`") && unset.contains("set it"),
        "{unset}"
    );
    for bad in [
        "[database]\nurl = \"pg:s3cret\"",
        "[nats]\ntoken = [\"s3cret\"]",
    ] {
        assert!(!fault(bad, &[]).contains("s3cret"), "{bad}");
    }
}

#[test]
fn paths_begin_where_the_one_who_wrote_them_sees() {
    let text = "[database]\nurl = \"sqlite://db/qx.db\"\n[nats]\ntls_ca = \"ca.pem\"";
    let config = parse(text, &[("QX_COMPONENTS__CACHE_DIR", "cache")]).unwrap();
    assert_eq!(config.database.url.expose(), "sqlite://etc/db/qx.db");
    assert_eq!(config.components.dir, PathBuf::from("etc/components"));
    assert_eq!(config.components.cache_dir, PathBuf::from("cache"));
    let StreamKind::Embedded(stream) = config.stream.kind else {
        panic!("not embedded");
    };
    assert_eq!(stream.path, PathBuf::from("etc/db/qx-stream.db"));
}

#[test]
fn off_is_an_empty_text_in_both_places() {
    assert_eq!(
        parse("[admin]\nlisten = \"\"", &[]).unwrap().admin.listen,
        None
    );
    assert_eq!(
        parse("", &[("QX_ADMIN__LISTEN", "")]).unwrap().admin.listen,
        None
    );
}

#[test]
fn a_file_that_is_not_there_is_a_fault_with_a_remedy() {
    let error = Config::load(Some(Path::new("nowhere/qx.toml")), [], &[]).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with("nowhere/qx.toml: cannot be read"),
        "{shown}"
    );
    assert!(shown.contains("leave it out"), "{shown}");
}

//! From the layers to a [`Config`]: section by section, then the contradictions
//! between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qx_broker::PublishWay;
use qx_events::shard::Split;
use qx_events::{
    CanaryPolicy, Capability, KeyField, Limits, RetryPolicy, Rights, Settings, StartFrom,
    StateBounds,
};
use qx_pipeline::RowOrder;
use url::Url;

use super::database::DatabaseUrl;
use super::fault::{ConfigFault, ConfigFaults, Place};
use super::grants::GrantTable;
use super::key::Key;
use super::keys;
use super::layers::{self, File, Given, Raw, Values};
use super::model::{
    AdminConfig, ComponentsConfig, Config, ConsumerConfig, DatabaseConfig, DeadLettersConfig,
    EmbeddedConfig, HttpConfig, LogFormat, ProcessParent, RelayConfig, StreamConfig, StreamKind,
    TelemetryConfig,
};
use super::nats;
use super::reader::Reader;
use super::secrets;
use super::trust;

impl Config {
    /// The name of the file that is looked for where none is named.
    pub const FILE_NAME: &'static str = "qx-host.toml";

    /// Reads everything: `base` (full key and value as a variable would write it)
    /// over the defaults, the file over that, the environment over all.
    ///
    /// Paths in the file and in the defaults begin at the file's folder; those in
    /// a variable, and all of them without a file, at the working directory.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        base: &[(&str, &str)],
    ) -> Result<Self, ConfigFaults> {
        let file = path.map(File::read).transpose();
        Self::from_layers(file, path, environment, base)
    }

    /// As [`Config::load`], with the file's text at hand.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        base: &[(&str, &str)],
    ) -> Result<Self, ConfigFaults> {
        let file = File::parse(path, text).map(Some);
        Self::from_layers(file, Some(path), environment, base)
    }

    fn from_layers(
        file: Result<Option<File>, ConfigFault>,
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        base: &[(&str, &str)],
    ) -> Result<Self, ConfigFaults> {
        let variables: BTreeMap<String, String> = environment.into_iter().collect();
        let mut values = Values::new();
        let mut faults = Vec::new();
        take_base(base, &mut values, &mut faults);
        let file = file.unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        if let Some(file) = &file {
            file.take_sections(keys::ALL, &mut values, &mut faults);
        }
        layers::take_variables(&variables, keys::ALL, &mut values, &mut faults);
        let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
        let reader = Reader::new(values, folder, &variables, faults);
        let mut config = build(&reader);
        let mut faults = reader.into_faults();
        let components = &mut config.components;
        components.secrets = secrets::read(file.as_ref(), folder, &variables, &mut faults);
        if let Some(file) = &file {
            let known = components.secrets.keys().map(String::as_str).collect();
            let grants = std::mem::take(&mut components.grants);
            components.grants = grants.read(file, &known, &mut faults);
        }
        ConfigFaults::check(config, faults)
    }
}

fn take_base(base: &[(&str, &str)], values: &mut Values, faults: &mut Vec<ConfigFault>) {
    for (full, text) in base {
        let place = Place::Default;
        if keys::ALL.iter().any(|key| key.full() == *full) {
            let raw = Raw::Text((*text).to_owned());
            values.insert((*full).to_owned(), Given { raw, place });
        } else {
            faults.push(ConfigFault {
                place,
                key: (*full).to_owned(),
                text: "unknown key among the defaults of this command".to_owned(),
            });
        }
    }
}

fn build(reader: &Reader<'_>) -> Config {
    let database = database(reader);
    let ack_wait = millis(reader, &keys::CONSUMER_ACK_WAIT);
    Config {
        stream: stream(reader, &database.url),
        database,
        components: components(reader),
        relay: relay(reader),
        consumer: ConsumerConfig {
            ack_wait,
            lease: Duration::from_secs(reader.number(&keys::CONSUMER_LEASE)),
            in_flight_max: size(reader.number(&keys::CONSUMER_IN_FLIGHT)),
        },
        dead_letters: DeadLettersConfig {
            retention: match reader.number(&keys::DEAD_LETTERS_RETENTION) {
                0 => None,
                days => Some(Duration::from_hours(24 * days)),
            },
        },
        http: HttpConfig {
            tls_ca: reader.path(&keys::HTTP_TLS_CA),
        },
        admin: AdminConfig {
            listen: listen(reader),
        },
        telemetry: telemetry(reader),
        grace: millis(reader, &keys::HOST_GRACE),
    }
}

fn database(reader: &Reader<'_>) -> DatabaseConfig {
    let key = &keys::DATABASE_URL;
    let url = reader.secret(key).and_then(|raw| {
        DatabaseUrl::parse(&raw, &reader.folder_of(key))
            .map_err(|text| reader.fault(key, text))
            .ok()
    });
    DatabaseConfig {
        // Only seen when a fault was noted: the configuration is refused then.
        url: url.unwrap_or_else(|| DatabaseUrl::Sqlite(PathBuf::new())),
        max_connections: count(reader.number(&keys::DATABASE_MAX_CONNECTIONS)),
        sql_connections: count(reader.number(&keys::DATABASE_SQL_CONNECTIONS)),
    }
}

fn stream(reader: &Reader<'_>, database: &DatabaseUrl) -> StreamConfig {
    let nats = nats::read(reader);
    let kind = reader.word_given(&keys::STREAM_KIND);
    let servers_missing = nats.servers.is_empty() && !reader.is_given(&keys::NATS_SERVERS);
    if kind == Some("nats") && servers_missing {
        let text = "\"nats\" needs servers; add servers = [\"nats://127.0.0.1:4222\"] to \
            [nats] or set QX_NATS__SERVERS, or write kind = \"embedded\"";
        reader.fault(&keys::STREAM_KIND, text);
    }
    let embedded = EmbeddedConfig {
        path: stream_path(reader, database),
        retention: hours(reader, &keys::STREAM_RETENTION),
    };
    let is_nats = kind.map_or(!nats.servers.is_empty(), |kind| kind == "nats");
    StreamConfig {
        subject_prefix: nats::subject_prefix(reader),
        kind: if is_nats {
            StreamKind::Nats(Box::new(nats))
        } else {
            StreamKind::Embedded(embedded)
        },
    }
}

fn stream_path(reader: &Reader<'_>, database: &DatabaseUrl) -> PathBuf {
    const NAME: &str = "qx-stream.db";
    let beside = || match database {
        DatabaseUrl::Sqlite(path) => path.with_file_name(NAME),
        DatabaseUrl::Postgres(_) => reader.folder().join(NAME),
    };
    let path = reader.path(&keys::STREAM_PATH).unwrap_or_else(beside);
    if matches!(database, DatabaseUrl::Sqlite(other) if *other == path) {
        let text = "is the database's own file; name another one";
        reader.fault(&keys::STREAM_PATH, text);
    }
    path
}

fn components(reader: &Reader<'_>) -> ComponentsConfig {
    let defaults = defaults(reader);
    ComponentsConfig {
        defaults,
        split: split(reader),
        dir: reader.path(&keys::COMPONENTS_DIR).unwrap_or_default(),
        cache_dir: reader.path(&keys::COMPONENTS_CACHE_DIR).unwrap_or_default(),
        grants: GrantTable::of_all(capabilities(&reader.words(&keys::COMPONENTS_GRANTS))),
        secrets: BTreeMap::new(),
        trust: trust::read(reader),
        component_bytes_max: reader.number(&keys::COMPONENTS_MAX_MB) << 20,
        compile_time: Duration::from_secs(reader.number(&keys::COMPONENTS_COMPILE_TIMEOUT)),
        compile_memory_bytes: reader.number(&keys::COMPONENTS_COMPILE_MEMORY) << 20,
        drain: millis(reader, &keys::COMPONENTS_DRAIN),
        builds_dir: reader
            .path(&keys::COMPONENTS_BUILDS_DIR)
            .unwrap_or_default(),
        builds_max: size(reader.number(&keys::COMPONENTS_KEEP_BUILDS)),
    }
}

/// The capabilities behind words that the reader has checked.
pub(super) fn capabilities(words: &[&str]) -> BTreeSet<Capability> {
    words
        .iter()
        .filter_map(|word| Capability::parse(word))
        .collect()
}

/// Where a component begins, behind a word that the reader has checked.
pub(super) fn start(word: &str) -> StartFrom {
    if word == "now" {
        StartFrom::Now
    } else {
        StartFrom::Beginning
    }
}

fn defaults(reader: &Reader<'_>) -> Settings {
    let retry = RetryPolicy {
        attempts_max: count(reader.number(&keys::DEFAULTS_ATTEMPTS)),
        initial: millis(reader, &keys::DEFAULTS_RETRY_INITIAL),
        max: millis(reader, &keys::DEFAULTS_RETRY_MAX),
    };
    if retry.max < retry.initial {
        reader.disagreement(
            (
                &keys::DEFAULTS_RETRY_MAX,
                "shorter than defaults.retry_initial_ms; make it longer",
            ),
            (
                &keys::DEFAULTS_RETRY_INITIAL,
                "longer than defaults.retry_max_ms; make it shorter, or set that too",
            ),
        );
    }
    Settings {
        retry,
        breaker: qx_events::BreakerPolicy::default(),
        canary: CanaryPolicy {
            percent: percent(reader.number(&keys::CANARY_PERCENT)),
            events: count(reader.number(&keys::CANARY_EVENTS)),
            time: Duration::from_secs(reader.number(&keys::CANARY_TIME)),
            failed_percent: percent(reader.number(&keys::CANARY_FAILED)),
            declined_percent: percent(reader.number(&keys::CANARY_DECLINED)),
        },
        limits: Limits {
            timeout: millis(reader, &keys::DEFAULTS_TIMEOUT),
            cpu: millis(reader, &keys::DEFAULTS_CPU),
            memory_bytes: size(reader.number(&keys::DEFAULTS_MEMORY)) << 20,
            host_calls: count(reader.number(&keys::DEFAULTS_HOST_CALLS)),
            log_lines: count(reader.number(&keys::DEFAULTS_LOG_LINES)),
            log_bytes: size(reader.number(&keys::DEFAULTS_LOG_KB)) << 10,
            emitted_events: count(reader.number(&keys::DEFAULTS_EMITTED)),
            value_bytes: size(reader.number(&keys::DEFAULTS_VALUE)) << 10,
            http_requests: count(reader.number(&keys::DEFAULTS_HTTP_REQUESTS)),
            http_response_bytes: size(reader.number(&keys::DEFAULTS_HTTP_RESPONSE)) << 10,
            state: StateBounds {
                keys: reader.number(&keys::DEFAULTS_STATE_KEYS),
                bytes: reader.number(&keys::DEFAULTS_STATE_MB) << 20,
            },
            ..Limits::default()
        },
        concurrency: size(reader.number(&keys::DEFAULTS_CONCURRENCY)),
        order: qx_events::Order::None,
        inbox: qx_events::Inbox::Every,
        start: start(reader.word(&keys::DEFAULTS_START).unwrap_or_default()),
        reuse: None,
        config: BTreeMap::new(),
        rights: Rights::default(),
    }
}

fn relay(reader: &Reader<'_>) -> RelayConfig {
    let relay = RelayConfig {
        batch: count(reader.number(&keys::RELAY_BATCH)),
        poll_max: millis(reader, &keys::RELAY_POLL_MAX),
        retention: hours(reader, &keys::RELAY_RETENTION),
        lease: Duration::from_secs(reader.number(&keys::RELAY_LEASE)),
        order: row_order(reader.word(&keys::RELAY_ORDER).unwrap_or_default()),
        split: split(reader),
        publish: publish(reader.word(&keys::RELAY_PUBLISH).unwrap_or_default()),
    };
    // A lease is renewed at each look, and must survive one that comes late.
    if relay.poll_max * 2 > relay.lease {
        reader.disagreement(
            (
                &keys::RELAY_POLL_MAX,
                "longer than half of relay.lease_s: an idle relay would \
                lose its lease between two looks; make it shorter, or the lease longer",
            ),
            (
                &keys::RELAY_LEASE,
                "shorter than twice relay.poll_max_ms: an idle relay would \
                lose its lease between two looks; make it longer, or the pause shorter",
            ),
        );
    }
    relay
}

fn split(reader: &Reader<'_>) -> Split {
    let by = reader.word(&keys::RELAY_SHARD_BY).unwrap_or_default();
    let by = KeyField::parse(by).unwrap_or(KeyField::OrderingKey);
    let shards = u16::try_from(reader.number(&keys::RELAY_SHARDS)).unwrap_or(u16::MAX);
    Split::new(shards, by)
}

fn row_order(word: &str) -> RowOrder {
    match word {
        "strict" => RowOrder::Strict,
        _eager => RowOrder::Eager,
    }
}

fn publish(word: &str) -> PublishWay {
    match word {
        "pipelined" => PublishWay::Pipelined,
        "batch" => PublishWay::Batch,
        _auto => PublishWay::Auto,
    }
}

fn listen(reader: &Reader<'_>) -> Option<SocketAddr> {
    let raw = reader.text(&keys::ADMIN_LISTEN)?;
    let refuse = |error| {
        let text = format!(
            "`{raw}` is no address ({error}); write an IP address and a port, such as 127.0.0.1:7420 \
                or [::1]:7420, or \"\" for off"
        );
        reader.fault(&keys::ADMIN_LISTEN, text);
    };
    raw.parse().map_err(refuse).ok()
}

fn telemetry(reader: &Reader<'_>) -> TelemetryConfig {
    let level = reader.text(&keys::TELEMETRY_LEVEL).unwrap_or_default();
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
        let text = format!(
            "neither a level nor directives ({error}); write error, warn, info, debug or \
                trace, or such as info,qx_pipeline=debug"
        );
        reader.fault(&keys::TELEMETRY_LEVEL, text);
    }
    TelemetryConfig {
        otlp_endpoint: otlp_endpoint(reader),
        service_name: reader
            .text(&keys::TELEMETRY_SERVICE_NAME)
            .unwrap_or_default(),
        log: match reader.word(&keys::TELEMETRY_LOG) {
            Some("json") => LogFormat::Json,
            Some(_) | None => LogFormat::Text,
        },
        level,
        process_parent: match reader.word(&keys::TELEMETRY_PROCESS_PARENT) {
            Some("none") => ProcessParent::None,
            Some(_) | None => ProcessParent::Message,
        },
    }
}

fn otlp_endpoint(reader: &Reader<'_>) -> Option<Url> {
    let key = &keys::TELEMETRY_OTLP_ENDPOINT;
    let raw = reader.text(key)?;
    match Url::parse(&raw) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) => Some(url),
        Ok(_) | Err(_) => {
            reader.fault(
                key,
                "no such endpoint; write http://127.0.0.1:4317 or https://…",
            );
            None
        }
    }
}

fn millis(reader: &Reader<'_>, key: &Key) -> Duration {
    Duration::from_millis(reader.number(key))
}

fn hours(reader: &Reader<'_>, key: &Key) -> Duration {
    Duration::from_secs(reader.number(key) * 3_600)
}

/// Every bound of a key is far below the limit of the type it ends up in.
pub(super) fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// As [`count`].
pub(super) fn percent(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(100)
}

/// As [`count`].
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

//! A configuration that is valid: plain data, with units in the types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use qx_broker::PublishWay;
use qx_events::Settings;
use qx_events::shard::Split;
use qx_pipeline::RowOrder;
use url::Url;

use super::database::DatabaseUrl;
use super::grants::GrantTable;
use super::nats::NatsConfig;
use super::secrets::NamedSecret;
use crate::signing::Trust;

/// Everything an operator can set for one host.
#[derive(Debug, Clone)]
pub struct Config {
    /// Outbox and ledger.
    pub database: DatabaseConfig,
    /// Where events travel.
    pub stream: StreamConfig,
    /// The catalog.
    pub components: ComponentsConfig,
    /// From the outbox to the stream.
    pub relay: RelayConfig,
    /// From the stream to the handlers.
    pub consumer: ConsumerConfig,
    /// What could not be handled.
    pub dead_letters: DeadLettersConfig,
    /// Requests of handlers.
    pub http: HttpConfig,
    /// Health, metrics and the admin API.
    pub admin: AdminConfig,
    /// Log and spans.
    pub telemetry: TelemetryConfig,
    /// How long a host that was asked to stop waits for what it has begun.
    pub grace: Duration,
}

/// Outbox and ledger.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Connections of one process, when it is a server.
    pub max_connections: u32,
    /// Connections of one process for each role that components run SQL as.
    pub sql_connections: u32,
}

/// Where events travel.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// An event's subject is this, a dot and its name.
    pub subject_prefix: String,
    /// Which stream.
    pub kind: StreamKind,
}

/// Which stream.
#[derive(Debug, Clone)]
pub enum StreamKind {
    /// NATS JetStream.
    Nats(Box<NatsConfig>),
    /// A SQLite file: no server.
    Embedded(EmbeddedConfig),
}

/// The stream without a server.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its file.
    pub path: PathBuf,
    /// How long it keeps a message.
    pub retention: Duration,
}

/// The catalog.
#[derive(Debug, Clone)]
pub struct ComponentsConfig {
    /// Where the components are.
    pub dir: PathBuf,
    /// Where their compiled form is kept.
    pub cache_dir: PathBuf,
    /// What each of them may do at most.
    pub grants: GrantTable,
    /// Secrets by name; who may read them is granted.
    pub secrets: BTreeMap<String, NamedSecret>,
    /// Whose components are taken.
    pub trust: Trust,
    /// Largest component that is compiled, in bytes.
    pub component_bytes_max: u64,
    /// Time that compiling one component may take.
    pub compile_time: Duration,
    /// Addresses that compiling one component may map, in bytes.
    pub compile_memory_bytes: u64,
    /// How long a build that was replaced may go on with what it began.
    pub drain: Duration,
    /// Where builds are kept that were in service.
    pub builds_dir: PathBuf,
    /// How many of each component.
    pub builds_max: usize,
    /// What a component gets whose own file does not say otherwise.
    pub defaults: Settings,
    /// Into which parts the outbox is split: only the events of one part have an order.
    pub split: Split,
}

/// From the outbox to the stream.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Rows of one pass.
    pub batch: u32,
    /// Longest pause between two looks at an idle outbox.
    pub poll_max: Duration,
    /// How long a published row is kept.
    pub retention: Duration,
    /// Term of the leading relay's lease.
    pub lease: Duration,
    /// Whether rows wait for earlier ones that are not committed.
    pub order: RowOrder,
    /// Into which parts the outbox is split.
    pub split: Split,
    /// How rows go to NATS.
    pub publish: PublishWay,
}

/// From the stream to the handlers.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// A message that is neither settled nor extended for so long comes again.
    /// A component whose timeout is longer than half of it gets twice its timeout.
    pub ack_wait: Duration,
    /// Term of the lease under which a component is consumed in order.
    pub lease: Duration,
    /// Calls that run at once in one process, over all components.
    pub in_flight_max: usize,
}

/// What could not be handled.
#[derive(Debug, Clone, Copy)]
pub struct DeadLettersConfig {
    /// How long it is kept after the last attempt; `None` is for ever.
    pub retention: Option<Duration>,
}

/// Requests of handlers.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Authorities to trust beside the system's.
    pub tls_ca: Option<PathBuf>,
}

/// Health, metrics and the admin API.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where it listens; `None` is not at all.
    pub listen: Option<SocketAddr>,
}

/// Log and spans.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Where spans go; `None` is nowhere.
    pub otlp_endpoint: Option<Url>,
    /// What they are called by.
    pub service_name: String,
    /// Shape of the log.
    pub log: LogFormat,
    /// What is logged: a level or directives, checked.
    pub level: String,
    /// What the span of a delivery is a child of.
    pub process_parent: ProcessParent,
}

/// What the span of a delivery is a child of. It links to the message's context
/// either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProcessParent {
    /// The message's context: one trace from the producer to the last handler.
    #[default]
    Message,
    /// Nothing: a trace of its own. For messages that wait for days or fan out
    /// widely.
    None,
}

/// Shape of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a collector: one JSON object a line.
    Json,
}

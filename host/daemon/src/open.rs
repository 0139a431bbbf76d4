//! Opens what the configuration names: database, stream, sandbox. Each failure
//! says what was tried and what would help.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use qx_broker::{Beside, Broker};
use qx_events::ports::{Clock, Publisher, Stream};
use qx_events::shard::Split;
use qx_sandbox::{ChildCompiler, Compilation, LogSink, Sandbox, SandboxConfig};
use qx_store::{EmbeddedStream, Store, StoreConfig};

use crate::config::{
    ComponentsConfig, Config, ConfigFaults, DatabaseUrl, EmbeddedConfig, NatsAuth, NatsConfig,
    StreamKind,
};

/// Where a running `qx-host dev` leaves its configuration, below the folder it was
/// started in.
pub const DEV_CONFIG: &str = ".qx/qx-host.toml";

/// Name of the embedded stream, as it stands beside a published row.
const EMBEDDED_NAME: &str = "embedded";

/// The host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error("database {url} cannot be used")]
    Database {
        /// Without password.
        url: String,
        /// Why, with what to do.
        #[source]
        source: qx_store::StoreError,
    },
    /// The outbox is in other parts than this host was told.
    #[error(
        "the outbox is in {found}, and relay.shards says {wanted}: correct relay.shards and relay.shard_by, or stop every host and run `qx-host migrate`, which splits it anew"
    )]
    OtherParts {
        /// As it is.
        found: Split,
        /// As this host was told.
        wanted: Split,
    },
    /// Nobody knows in which parts it is.
    #[error("database does not say how the outbox is split")]
    Split(#[source] qx_events::Fault),
    /// The stream cannot be used.
    #[error("stream cannot be used")]
    Stream(#[source] qx_store::StoreError),
    /// NATS cannot be used.
    #[error("NATS cannot be used")]
    Nats(#[source] qx_broker::BrokerError),
    /// The file of a key cannot be read.
    #[error("nats.nkey_seed {path} cannot be read: correct the path, or make it readable")]
    Seed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder of components cannot be read.
    #[error(
        "components in {dir} cannot be read: make the folder readable, or name another in [components] dir"
    )]
    Components {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine cannot be made.
    #[error("sandbox cannot be made")]
    Sandbox(#[source] qx_sandbox::SandboxError),
    /// Requests of handlers cannot be sent.
    #[error("requests of handlers cannot be sent")]
    Requests(#[source] qx_outbound::TlsError),
    /// The admin address cannot be listened on.
    #[error("admin address cannot be used")]
    Admin(#[source] crate::admin::AdminError),
}

impl StartError {
    /// Whether the database is only not made or not migrated yet.
    pub fn is_new(&self) -> bool {
        let Self::Database { source, .. } = self else {
            return false;
        };
        matches!(
            source,
            qx_store::StoreError::NoFile(_) | qx_store::StoreError::Unmigrated { .. }
        )
    }

    /// Whether it is a server that does not answer, rather than a wrong setting.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Database { source, .. } | Self::Stream(source) => source.is_away(),
            Self::Nats(error) => error.is_transient(),
            Self::Split(fault) => fault.is_transient(),
            Self::OtherParts { .. }
            | Self::Seed { .. }
            | Self::Components { .. }
            | Self::Sandbox(_)
            | Self::Requests(_)
            | Self::Admin(_) => false,
        }
    }
}

/// The configuration: the file that is named, or the one that lies here, or that
/// of a running `dev`, or the defaults; and the environment over it.
pub fn config(named: Option<&Path>) -> Result<Config, ConfigFaults> {
    let usual = [Path::new(Config::FILE_NAME), Path::new(DEV_CONFIG)];
    let found = named.or_else(|| usual.into_iter().find(|path| path.is_file()));
    Config::load(found, environment(), &[])
}

/// This process's variables, but for those that are no text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The database, connected. Its tables may be missing. SQLite is one's own: its
/// file is made on the spot.
pub async fn store(config: &Config) -> Result<Store, StartError> {
    let wanted = store_config(config);
    let own = matches!(config.database.url, DatabaseUrl::Sqlite(_));
    let connected = Store::connect(&if own { wanted.create() } else { wanted }).await;
    connected.map_err(|source| unusable(config, source))
}

/// The database as it is, with its tables: for commands that look at what is
/// there. Makes nothing, so that a mistyped path is an error and no empty file.
pub async fn existing_store(config: &Config) -> Result<Store, StartError> {
    let found = async {
        let store = Store::connect(&store_config(config)).await?;
        store.check().await?;
        Ok(store)
    };
    found.await.map_err(|source| unusable(config, source))
}

fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        connections_max: config.database.max_connections,
        ..StoreConfig::new(config.database.url.expose())
    }
}

fn unusable(config: &Config, source: qx_store::StoreError) -> StartError {
    StartError::Database {
        url: config.database.url.to_string(),
        source,
    }
}

/// The database, with its tables. SQLite is one's own: it is migrated on the spot.
/// PostgreSQL is shared: there `qx-host migrate` is a deliberate step.
pub async fn migrated_store(config: &Config) -> Result<Store, StartError> {
    let store = store(config).await?;
    let own = matches!(config.database.url, DatabaseUrl::Sqlite(_));
    let checked = async {
        if own {
            store.migrate().await?;
        }
        store.check().await
    };
    checked.await.map_err(|source| unusable(config, source))?;
    is_split_so(&store, config).await?;
    Ok(store)
}

/// Two hosts that have the outbox in different parts would relay the events of a key
/// side by side, or not at all.
async fn is_split_so(store: &Store, config: &Config) -> Result<(), StartError> {
    let wanted = config.relay.split;
    if let (DatabaseUrl::Sqlite(_), Split::By(_, _)) = (&config.database.url, wanted) {
        return Err(unusable(config, qx_store::StoreError::OneWriter));
    }
    let found = store.split().await.map_err(StartError::Split)?;
    if found == wanted {
        return Ok(());
    }
    Err(StartError::OtherParts { found, wanted })
}

/// Both ends of the stream.
pub struct Opened {
    /// The receiving side.
    pub stream: Arc<dyn Stream>,
    /// The sending side.
    pub publisher: Arc<dyn Publisher>,
    /// The stream itself when it is ours to look after: a broker does that alone.
    pub embedded: Option<EmbeddedStream>,
    /// The broker, where there is one: to ask what can be lost there.
    pub broker: Option<Arc<Broker>>,
}

/// Connects to the stream, or opens the embedded one.
pub async fn stream(config: &Config) -> Result<Opened, StartError> {
    let prefix = &config.stream.subject_prefix;
    match &config.stream.kind {
        StreamKind::Nats(nats) => {
            let nats = qx_broker::NatsConfig {
                publish: config.relay.publish,
                beside: match config.relay.split {
                    Split::Whole => Beside::Nobody,
                    Split::By(_, _) => Beside::Relays,
                },
                ..nats_config(nats, prefix)?
            };
            let broker = Broker::connect(nats).await.map_err(StartError::Nats)?;
            let broker = Arc::new(broker);
            Ok(Opened {
                stream: Arc::clone(&broker) as Arc<dyn Stream>,
                publisher: Arc::clone(&broker) as Arc<dyn Publisher>,
                embedded: None,
                broker: Some(broker),
            })
        }
        StreamKind::Embedded(EmbeddedConfig { path, retention: _ }) => {
            let wanted = qx_store::StreamConfig {
                path: path.clone(),
                name: EMBEDDED_NAME.to_owned(),
                subject_prefix: prefix.clone(),
            };
            let stream = EmbeddedStream::open(&wanted)
                .await
                .map_err(StartError::Stream)?;
            let shared = Arc::new(stream.clone());
            Ok(Opened {
                stream: Arc::clone(&shared) as Arc<dyn Stream>,
                publisher: shared,
                embedded: Some(stream),
                broker: None,
            })
        }
    }
}

/// The sandbox, and the folder it loads from. `log_sink` is told of the limits that
/// calls hit.
pub fn sandbox(
    config: &Config,
    clock: &Arc<dyn Clock>,
    (compiler, log_sink, sql_missing): (Compiler, Option<Arc<dyn LogSink>>, Option<&'static str>),
) -> Result<Sandbox, StartError> {
    let dir = &config.components.dir;
    // Made only where nothing is: of a file in its place the reading says more.
    let made = if dir.exists() {
        Ok(())
    } else {
        std::fs::create_dir_all(dir)
    };
    made.and_then(|()| std::fs::read_dir(dir).map(drop))
        .map_err(|source| StartError::Components {
            dir: dir.clone(),
            source,
        })?;
    Sandbox::new(SandboxConfig {
        cache_dir: Some(config.components.cache_dir.clone()),
        // A call waits for an instance: as many as calls that may run at once.
        instances_max: u32::try_from(config.consumer.in_flight_max).unwrap_or(u32::MAX),
        // Half of what those that run may have.
        kept_bytes_max: (config.consumer.in_flight_max / 2)
            .saturating_mul(config.components.defaults.limits.memory_bytes),
        component_bytes_max: usize::try_from(config.components.component_bytes_max)
            .unwrap_or(usize::MAX),
        log_sink,
        sql_missing,
        compilation: compilation(compiler, &config.components),
        ..SandboxConfig::new(Arc::clone(clock))
    })
    .map_err(StartError::Sandbox)
}

/// Who compiles components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// This process: an application that embeds the host and brings its own
    /// components.
    Own,
    /// Another process of this program, which is `qx-host`.
    ThisProgram,
}

/// What the program is told to be a compiler.
pub(crate) const COMPILE_COMMAND: &str = "compile-component";

/// The program that runs here, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

fn compilation(compiler: Compiler, config: &ComponentsConfig) -> Compilation {
    match compiler {
        Compiler::Own => Compilation::InProcess,
        Compiler::ThisProgram => Compilation::Child(ChildCompiler {
            program: THIS_PROGRAM.into(),
            args: vec![COMPILE_COMMAND.into()],
            time_max: config.compile_time,
            memory_bytes_max: config.compile_memory_bytes,
        }),
    }
}

fn nats_config(nats: &NatsConfig, prefix: &str) -> Result<qx_broker::NatsConfig, StartError> {
    use qx_broker::{ClientCertificate, Credentials, Secret, Tls};
    Ok(qx_broker::NatsConfig {
        servers: nats.servers.iter().map(ToString::to_string).collect(),
        stream: nats.stream.clone(),
        subject_prefix: prefix.to_owned(),
        credentials: match &nats.auth {
            NatsAuth::Nobody => Credentials::None,
            NatsAuth::Credentials(path) => Credentials::File(path.clone()),
            NatsAuth::User { user, password } => Credentials::UserPassword {
                user: user.clone(),
                password: Secret::new(password.expose()),
            },
            NatsAuth::Token(token) => Credentials::Token(Secret::new(token.expose())),
            NatsAuth::NkeySeed(path) => Credentials::NKey(Secret::new(seed(path)?)),
        },
        tls: Tls {
            required: nats.tls.required,
            ca_file: nats.tls.ca.clone(),
            client: nats
                .tls
                .identity
                .as_ref()
                .map(|identity| ClientCertificate {
                    cert_file: identity.cert.clone(),
                    key_file: identity.key.clone(),
                }),
        },
        duplicate_window: nats.duplicate_window,
        max_age: nats.max_age.unwrap_or_default(),
        replicas: usize::from(nats.replicas),
        ..qx_broker::NatsConfig::default()
    })
}

fn seed(path: &Path) -> Result<String, StartError> {
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|source| StartError::Seed {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

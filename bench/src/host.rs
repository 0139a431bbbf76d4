//! The host that is measured: the real binary as a child process, on a database
//! and a stream that nobody else uses.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cpu::{self, Cpu};
use crate::lab::{Broker, Lab, PATIENCE};

/// Between two looks at what must become true.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Numbers databases and streams.
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// On what a host runs.
pub(crate) enum Ground<'a> {
    /// SQLite and the embedded stream.
    Embedded,
    /// PostgreSQL and this broker.
    Servers(&'a Broker),
}

/// A folder, a database, a stream and a host's settings.
pub(crate) struct World<'a> {
    pub(crate) folder: TempDir,
    pub(crate) stream: String,
    pub(crate) prefix: String,
    pub(crate) database_url: String,
    broker: Option<&'a Broker>,
    postgres_pid: Option<u32>,
    lab: &'a Lab,
    admin: String,
}

/// Settings of the host for a section, over its defaults.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tuning {
    pub(crate) batch: Option<u32>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) in_flight: Option<u32>,
}

/// What the bench calls the best settings, for throughput. More calls at once bring
/// nothing: what waits for its commit takes no call's place.
pub(crate) const BEST: Tuning = Tuning {
    batch: Some(1_000),
    concurrency: Some(64),
    in_flight: Some(128),
};

impl<'a> World<'a> {
    /// A world with its tables made.
    pub(crate) async fn new(
        lab: &'a Lab,
        ground: Ground<'a>,
        tuning: Tuning,
    ) -> anyhow::Result<Self> {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::Builder::new().prefix("qx-bench-").tempdir()?;
        std::fs::create_dir(folder.path().join("components"))?;
        let mut world = Self {
            stream: format!("BENCH_{number}"),
            prefix: format!("bench{number}"),
            database_url: format!("sqlite://{}", folder.path().join("qx.db").display()),
            broker: None,
            postgres_pid: None,
            lab,
            admin: format!("127.0.0.1:{}", free_port()?),
            folder,
        };
        if let Ground::Servers(broker) = ground {
            let servers = lab.servers().await?;
            world.database_url = servers.postgres.fresh_database()?;
            world.broker = Some(broker);
            world.postgres_pid = Some(servers.postgres_pid);
        }
        std::fs::write(world.path("qx-host.toml"), world.config(tuning))?;
        let migrated = world.command(&["migrate"]).output()?;
        let said = String::from_utf8_lossy(&migrated.stderr);
        ensure!(migrated.status.success(), "qx-host migrate: {said}");
        Ok(world)
    }

    fn config(&self, tuning: Tuning) -> String {
        let mut text = format!("[database]\nurl = \"{}\"\n", self.database_url);
        let stream = match self.broker {
            Some(broker) => {
                let (servers, stream, prefix) = (broker.nats.url(), &self.stream, &self.prefix);
                format!(
                    "[stream]\nkind = \"nats\"\n[nats]\nservers = [\"{servers}\"]\nstream = \"{stream}\"\nsubject_prefix = \"{prefix}\"\n"
                )
            }
            None => "[stream]\nkind = \"embedded\"\n".to_owned(),
        };
        text.push_str(&stream);
        let admin = &self.admin;
        let rest = format!("[admin]\nlisten = \"{admin}\"\n[telemetry]\nlevel = \"warn\"\n");
        text.push_str(&rest);
        let mut set = |section: &str, key: &str, value: Option<u32>| {
            let line = value.map(|value| format!("[{section}]\n{key} = {value}\n"));
            text.push_str(&line.unwrap_or_default());
        };
        set("relay", "batch", tuning.batch);
        set("defaults", "concurrency", tuning.concurrency);
        set("consumer", "in_flight_max", tuning.in_flight);
        text
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a component into the folder, whole or not at all.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let half = self.path("half");
        std::fs::write(&half, bytes)?;
        std::fs::rename(half, self.path("components").join(format!("{name}.wasm")))?;
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.lab.host);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QX_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// Starts the host, and waits until it is ready.
    pub(crate) async fn run(&self, roles: &str) -> anyhow::Result<Host> {
        let mut host = self.start(roles)?;
        host.ready().await?;
        Ok(host)
    }

    /// Starts the host.
    pub(crate) fn start(&self, roles: &str) -> anyhow::Result<Host> {
        let log = self.path("host.log");
        let out = File::options().create(true).append(true).open(&log)?;
        let err = out.try_clone()?;
        let begun = Instant::now();
        let child = self
            .command(&["run", "--roles", roles])
            .stdout(out)
            .stderr(err)
            .spawn()?;
        Ok(Host {
            child,
            begun,
            log,
            admin: self.admin.clone(),
        })
    }

    /// A pool on the PostgreSQL of this world.
    pub(crate) async fn pool(&self) -> anyhow::Result<sqlx::PgPool> {
        Ok(sqlx::PgPool::connect(&self.database_url).await?)
    }

    /// The broker's JetStream.
    pub(crate) async fn jetstream(&self) -> anyhow::Result<async_nats::jetstream::Context> {
        let broker = self.broker.context("this world has no broker")?;
        let client = async_nats::connect(broker.nats.url()).await?;
        Ok(async_nats::jetstream::new(client))
    }

    /// Processor time so far of all that serve this world.
    pub(crate) fn cpu(&self, host: Option<u32>) -> Cpu {
        Cpu {
            host: host.map_or(0.0, cpu::of_tree),
            broker: self.broker.map_or(0.0, |broker| cpu::of_tree(broker.pid)),
            database: self.postgres_pid.map_or(0.0, cpu::of_tree),
        }
    }

    /// Removes the stream, so that the next run finds the disk as this one did.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        if self.broker.is_some() {
            let jetstream = self.jetstream().await?;
            drop(jetstream.delete_stream(&self.stream).await);
            let pool = self.pool().await?;
            sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
            pool.close().await;
        }
        Ok(())
    }
}

/// A running host. Killed when dropped.
pub(crate) struct Host {
    child: Child,
    pub(crate) begun: Instant,
    log: PathBuf,
    admin: String,
}

impl Host {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it can do its work.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Duration> {
        loop {
            if self.is_ready().await {
                return Ok(self.begun.elapsed());
            }
            self.alive()?;
            ensure!(
                self.begun.elapsed() < PATIENCE,
                "{}",
                self.said("not ready")
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether it says that it can do its work.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = get(&self.admin, "/readyz").await;
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// An answer of its admin API.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let answer = get(&self.admin, path).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        Ok(body.to_owned())
    }

    /// Fails when it has ended, or was patience's end.
    pub(crate) fn alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{}", self.said(&format!("the host ended: {status}")));
        }
        Ok(())
    }

    fn said(&self, what: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = log.len().saturating_sub(4_000);
        format!("{what}\n{}", log.get(from..).unwrap_or(&log))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

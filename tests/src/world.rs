//! One test's world: a folder, a configuration, the servers it names, and the
//! host that runs on them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qx_broker::testing::{Nats, Setup};
use qx_store::testing::Postgres;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::host::{self, Host, Ran};
use crate::{Database, component, repository};

/// Longest wait for something that must become true: longer than any
/// acknowledgement wait, lease or backoff of these tests together.
const DEADLINE: Duration = Duration::from_secs(90);

/// Longest that one component may take to be compiled, beside everything else that this
/// machine has to do.
const COMPILE_TIME_MAX: Duration = Duration::from_mins(5);

/// Between two looks at what must become true.
const LOOK: Duration = Duration::from_millis(50);

/// Lines of the host's output that a failed test shows.
const LINES_SHOWN_MAX: usize = 40;

/// On what a world runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// SQLite and the embedded stream.
    Embedded,
    /// PostgreSQL and NATS.
    Servers,
}

/// A world.
pub struct World {
    // First, so that it is dropped first: nobody runs on servers that are gone.
    /// The host, once it was started.
    pub host: Option<Host>,
    database: OnceCell<Database>,
    /// The private PostgreSQL, in a world with servers.
    pub postgres: Option<Postgres>,
    /// The private nats-server, in a world with servers.
    pub nats: Option<Nats>,
    folder: TempDir,
    way: Way,
    admin: String,
}

impl World {
    /// Servers, if any, and a configuration. No tables, no component, no host.
    pub async fn bare(way: Way) -> Self {
        Self::bare_with(way, Setup::default()).await
    }

    /// As [`World::bare`], with a nats-server of this kind.
    pub async fn bare_with(way: Way, setup: Setup) -> Self {
        let folder = TempDir::with_prefix("qx-world-").expect("a folder");
        std::fs::create_dir(folder.path().join("components")).expect("a folder");
        let (postgres, nats) = match way {
            Way::Embedded => (None, None),
            Way::Servers => {
                let nats = Nats::start_with(setup).await;
                let postgres = tokio::task::spawn_blocking(postgres).await;
                (
                    Some(postgres.expect("PostgreSQL starts")),
                    Some(nats.unwrap_or_else(|error| panic!("{error}"))),
                )
            }
        };
        let world = Self {
            host: None,
            database: OnceCell::new(),
            postgres,
            nats,
            folder,
            way,
            admin: format!("127.0.0.1:{}", free_port()),
        };
        world.write("qx-host.toml", &world.config());
        world
    }

    /// As [`World::bare`], with the tables, and these example components.
    pub async fn with(way: Way, components: &[&str]) -> Self {
        let world = Self::bare(way).await;
        drop(world.qx(&["migrate"]).await.ok());
        for name in components {
            world.install(name);
        }
        world
    }

    /// Writes the configuration with more at its end.
    pub fn configure(&self, more: &str) {
        self.write("qx-host.toml", &format!("{}{more}", self.config()));
    }

    /// Waits for the dead letter of a component, and returns its reason.
    pub async fn letter_of(&self, component: &str) -> String {
        let look = async || {
            let list = ["dlq", "list", "--component", component, "--output", "json"];
            let letters = self.qx(&list).await.ok().json();
            match letters[0]["reason"].as_str() {
                Some(reason) => Ok(reason.to_owned()),
                None => Err(letters.to_string()),
            }
        };
        self.eventually(&format!("a dead letter of {component}"), look)
            .await
    }

    /// The configuration as written. What one test has compiled the others need not:
    /// that takes most of what a host does here.
    pub fn config(&self) -> String {
        let cache = repository().join("target/compiled");
        let servers = match (&self.postgres, &self.nats) {
            (Some(_), Some(nats)) => format!(
                "[database]\nurl = \"{}\"\n[stream]\nkind = \"nats\"\n[nats]\nservers = [\"{}\"]\n",
                self.database_url(),
                nats.url()
            ),
            _ => "[database]\nurl = \"sqlite://qx.db\"\n[stream]\nkind = \"embedded\"\n".to_owned(),
        };
        format!(
            "{servers}[components]\ndir = \"components\"\ncache_dir = \"{}\"\n[defaults]\nretry_initial_ms = 20\n\
             timeout_ms = 2000\n[relay]\nlease_s = 2\n[consumer]\nack_wait_ms = 4500\n\
             [admin]\nlisten = \"{}\"\n",
            cache.display(),
            self.admin
        )
    }

    /// From here on compiled components are kept in the world's own folder, at the default place.
    pub fn share_no_code(&self) {
        let path = self.path("qx-host.toml");
        let config = std::fs::read_to_string(path).expect("a configuration");
        let own = config.lines().filter(|line| !line.starts_with("cache_dir"));
        self.write("qx-host.toml", &own.collect::<Vec<_>>().join("\n"));
    }

    /// Puts components into the folder of a running host, and waits for each: several at
    /// once are in each other's way while they are compiled.
    pub async fn serves_in_turn(&self, components: &[&str]) {
        for component in components {
            self.install(component);
            let look = async || match self.listed(component).await {
                seen if seen["state"] == "serving" => Ok(()),
                seen => Err(seen.to_string()),
            };
            let what = format!("{component} is in service");
            self.within(COMPILE_TIME_MAX, &what, look).await;
        }
    }

    /// The database's URL.
    pub fn database_url(&self) -> String {
        match &self.postgres {
            Some(postgres) => postgres.url("app"),
            None => format!("sqlite://{}", self.path("qx.db").display()),
        }
    }

    /// Where the admin address is.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// On what it runs.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file into its folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Puts an example's component, and its sidecar, into the folder.
    pub fn install(&self, name: &str) {
        let sidecar = component(name).with_extension("toml");
        if sidecar.is_file() {
            let to = self.path(&format!("components/{name}.toml"));
            std::fs::copy(sidecar, to).expect("a copy");
        }
        self.install_as(name, name);
    }

    /// Puts an example's component into the folder under another name.
    pub fn install_as(&self, name: &str, stem: &str) {
        let bytes = std::fs::read(component(name)).expect("a component");
        self.put(&format!("{stem}.wasm"), &bytes);
    }

    /// Puts a file into the folder of components, whole or not at all.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        let (to, half) = (self.path("components").join(file), self.path("half"));
        std::fs::write(&half, bytes).expect("a file");
        std::fs::rename(half, to).expect("a rename");
    }

    /// Takes a file out of the folder of components.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.path("components").join(file)).expect("the file was there");
    }

    /// Runs a command of the binary in the folder.
    pub async fn qx(&self, args: &[&str]) -> Ran {
        host::run(self.dir(), args, &[]).await
    }

    /// The same, with more variables.
    pub async fn qx_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        host::run(self.dir(), args, environment).await
    }

    /// Records an event; returns its id.
    pub async fn trigger(&self, event_name: &str, payload: &Value) -> String {
        let data = payload.to_string();
        let ran = self
            .qx(&["trigger", event_name, "--data", &data])
            .await
            .ok();
        ran.stdout
            .split_whitespace()
            .next_back()
            .expect("an id")
            .to_owned()
    }

    /// What `handlers list` says of a component; null when it does not list it.
    pub async fn listed(&self, component: &str) -> Value {
        let ran = self
            .qx(&["handlers", "list", "--output", "json"])
            .await
            .ok()
            .json();
        let listed = ran.as_array().expect("an array").iter();
        let mut own = listed.filter(|entry| entry["component"] == component);
        own.next().cloned().unwrap_or_default()
    }

    /// Waits until a component is listed like this; returns how it is listed.
    pub async fn lists(&self, component: &str, is: impl Fn(&Value) -> bool) -> Value {
        let look = async || {
            let seen = self.listed(component).await;
            if is(&seen) {
                Ok(seen)
            } else {
                Err(seen.to_string())
            }
        };
        self.eventually(&format!("`handlers list` shows {component}"), look)
            .await
    }

    /// Waits until these components are in service.
    pub async fn serves(&self, components: &[&str]) {
        for component in components {
            self.lists(component, |seen| seen["state"] == "serving")
                .await;
        }
    }

    /// Starts the daemon, and waits until it is ready.
    pub async fn run(&mut self) {
        self.run_with(&[], &[]).await;
        self.ready().await;
    }

    /// Starts the daemon with more arguments and variables; does not wait.
    pub async fn run_with(&mut self, args: &[&str], environment: &[(&str, &str)]) {
        let args: Vec<&str> = ["run", "--live"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        let log = self.path("host.log");
        self.host = Some(Host::start(self.dir(), &log, &args, environment));
        tokio::task::yield_now().await;
    }

    /// Waits until the daemon says that it can do its work.
    pub async fn ready(&self) {
        let address = self.admin.parse().expect("an address");
        let look = async || {
            let answer = qx_host::admin::client::get(address, "/readyz").await;
            answer.map(drop).map_err(|error| error.to_string())
        };
        self.eventually("the host is ready", look).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut host) = self.host.take() {
            host.kill();
        }
    }

    /// What the host has printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.path("host.log")).unwrap_or_default()
    }

    /// Runs the daemon until nothing is left to do.
    pub async fn drain(&mut self) {
        let log = self.path("host.log");
        let args = ["run", "--live", "--until-drained"];
        let mut host = Host::start(self.dir(), &log, &args, &[]);
        let status = host.ended(DEADLINE).await;
        assert!(status.success(), "{status}: {}", host.printed());
    }

    /// The tables.
    pub async fn database(&self) -> &Database {
        let open = || async {
            let url = self.database_url();
            match &self.postgres {
                Some(_) => Database::postgres(&url).await,
                None => Database::sqlite(&url).await,
            }
        };
        self.database.get_or_init(open).await
    }

    /// Rows as text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self.database().await.rows(sql).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Waits until `look` returns `Ok`, or fails with what it saw last.
    pub async fn eventually<T, F: Future<Output = Result<T, String>>>(
        &self,
        what: &str,
        look: impl FnMut() -> F,
    ) -> T {
        self.within(DEADLINE, what, look).await
    }

    async fn within<T, F: Future<Output = Result<T, String>>>(
        &self,
        longest: Duration,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let deadline = Instant::now() + longest;
        loop {
            let seen = match look().await {
                Ok(value) => return value,
                Err(seen) => seen,
            };
            if Instant::now() >= deadline {
                let log = self.printed();
                let tail: Vec<&str> = log.lines().rev().take(LINES_SHOWN_MAX).collect();
                let tail = tail.join("\n");
                panic!("{what}: saw {seen}\nthe host's last lines, newest first:\n{tail}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the host has printed this.
    pub async fn prints(&self, text: &str) {
        let look = || async {
            if self.printed().contains(text) {
                Ok(())
            } else {
                Err("other lines".to_owned())
            }
        };
        self.eventually(&format!("the host prints `{text}`"), look)
            .await;
    }

    /// Waits until a query gives these rows. A database that does not answer is
    /// asked again.
    pub async fn settles(&self, sql: &str, expected: &[&[&str]]) {
        let look = || async {
            match self.database().await.rows(sql).await {
                Ok(seen) if seen == expected => Ok(()),
                Ok(seen) => Err(format!("{seen:?}, not {expected:?}")),
                Err(error) => Err(error.to_string()),
            }
        };
        self.eventually(sql, look).await;
    }
}

fn postgres() -> Postgres {
    let started = Postgres::start().and_then(|server| {
        server.database("app")?;
        Ok(server)
    });
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// A port that nobody listens on, and below those that the system gives to
/// outgoing connections: it stays free while the host is down.
pub fn free_port() -> u16 {
    let mut candidates = std::iter::repeat_with(|| {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        10_000 + u16::try_from(random % 20_000).unwrap_or_default()
    });
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(is_free).expect("a free port")
}

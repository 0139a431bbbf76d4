//! A private nats-server for tests: on a port of its own, in a temporary folder,
//! gone when dropped. It can be killed, paused, restarted and wiped.
//!
//! Never: skips a test. Without the program the start fails with the line that
//! installs it. Nothing here is meant for production; it may panic.

mod cluster;
mod disk;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::config::{Credentials, NatsConfig, Secret};

pub use cluster::Cluster;
pub use disk::Disk;

/// Patience with a server that starts.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a starting server is looked at.
const START_POLL: Duration = Duration::from_millis(10);

/// What the private server is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Whom it lets in.
    pub credentials: Credentials,
    /// Whether it has JetStream.
    pub jetstream: bool,
    /// More lines of its configuration.
    pub extra: String,
    /// Another program than the one that is found.
    pub program: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            credentials: Credentials::None,
            jetstream: true,
            extra: String::new(),
            program: None,
        }
    }
}

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not there.
    #[error(
        "no nats-server in $QX_NATS_SERVER, {looked_in} or PATH: install it with `tools/test-servers.sh`"
    )]
    Missing {
        /// The folder of the repository.
        looked_in: String,
    },
    /// The program ended, or does not answer.
    #[error("nats-server did not start: {0}")]
    Failed(String),
    /// The program cannot be run.
    #[error(
        "cannot run {}: correct $QX_NATS_SERVER, or unset it and run `tools/test-servers.sh`",
        .program.display()
    )]
    Program {
        /// What was tried.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its files.
    #[error("nats-server's files")]
    Io(#[from] std::io::Error),
}

/// A private nats-server.
#[derive(Debug)]
pub struct Nats {
    setup: Setup,
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one with JetStream that lets everybody in.
    pub async fn start() -> Result<Self, StartError> {
        Self::start_with(Setup::default()).await
    }

    /// Starts one.
    pub async fn start_with(setup: Setup) -> Result<Self, StartError> {
        let program = match &setup.program {
            Some(program) => program.clone(),
            None => find_program()?,
        };
        let mut nats = Self {
            setup,
            program,
            folder: TempDir::with_prefix("qx-nats-")?,
            port: 0,
            child: None,
        };
        nats.launch().await?;
        Ok(nats)
    }

    /// Where it listens, now and after every restart.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Settings that reach it.
    pub fn config(&self) -> NatsConfig {
        NatsConfig {
            servers: vec![self.url()],
            credentials: self.setup.credentials.clone(),
            ..NatsConfig::default()
        }
    }

    /// Where it keeps its streams.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Ends it at once, as a crash would. What the operating system has of its
    /// files stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it is dead already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again, on the same port and store. Kills it first if need be.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.kill();
        self.launch().await
    }

    /// Kills it and forgets all its streams.
    pub fn wipe(&mut self) -> Result<(), StartError> {
        self.kill();
        let store = self.store();
        if store.exists() {
            std::fs::remove_dir_all(store)?;
        }
        Ok(())
    }

    /// Stops it in the middle of what it does; it keeps its connections.
    pub fn pause(&self) -> Result<(), StartError> {
        self.signal("STOP")
    }

    /// Lets a paused one go on.
    pub fn resume(&self) -> Result<(), StartError> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<(), StartError> {
        let Some(child) = &self.child else {
            return Err(StartError::Failed("it does not run".to_owned()));
        };
        // The shell's own `kill`: a bare system has no other.
        let script = format!("kill -{name} {}", child.id());
        let status = Command::new("sh").args(["-c", &script]).status()?;
        if status.success() {
            return Ok(());
        }
        Err(StartError::Failed(format!("`{script}` failed")))
    }

    async fn launch(&mut self) -> Result<(), StartError> {
        let file = self.folder.path().join("nats.conf");
        std::fs::write(&file, self.configuration())?;
        let log = std::fs::File::create(self.folder.path().join("nats.log"))?;
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|source| StartError::Program {
                program: self.program.clone(),
                source,
            })?;
        let ports = self.ports_file(child.id());
        self.child = Some(child);
        self.answers(&ports).await
    }

    /// Waits until it has said where it listens.
    async fn answers(&mut self, ports: &Path) -> Result<(), StartError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let said = std::fs::read_to_string(ports).ok();
            if let Some(port) = said.as_deref().and_then(port_in) {
                self.port = port;
                return Ok(());
            }
            if let Some(child) = self.child.as_mut()
                && let Some(status) = child.try_wait()?
            {
                return Err(StartError::Failed(format!("{status}: {}", self.log())));
            }
            if Instant::now() > deadline {
                return Err(StartError::Failed(format!("no answer: {}", self.log())));
            }
            tokio::time::sleep(START_POLL).await;
        }
    }

    /// The server writes the port that it chose into a file, once it is ready.
    fn ports_file(&self, id: u32) -> PathBuf {
        let stem = self
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        self.folder.path().join(format!("{stem}_{id}.ports"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("nats.log")).unwrap_or_default()
    }

    fn configuration(&self) -> String {
        let port = if self.port == 0 {
            -1
        } else {
            i32::from(self.port)
        };
        let folder = self.folder.path().display();
        let mut text = format!("listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{folder}\"\n");
        let mut line = |line: String| writeln!(text, "{line}").is_ok();
        if self.setup.jetstream {
            line(format!("jetstream {{ store_dir: \"{folder}/store\" }}"));
        }
        match &self.setup.credentials {
            Credentials::None | Credentials::File(_) => true,
            Credentials::UserPassword { user, password } => line(format!(
                "authorization {{ user: \"{user}\", password: \"{}\" }}",
                password.reveal()
            )),
            Credentials::Token(token) => {
                line(format!("authorization {{ token: \"{}\" }}", token.reveal()))
            }
            Credentials::NKey(seed) => line(format!(
                "authorization {{ users: [ {{ nkey: \"{}\" }} ] }}",
                public_key(seed)
            )),
        };
        line(self.setup.extra.clone());
        text
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A fresh user's key, for [`Credentials::NKey`].
pub fn fresh_nkey() -> Secret {
    Secret::new(nkeys::KeyPair::new_user().seed().unwrap_or_default())
}

fn public_key(seed: &Secret) -> String {
    nkeys::KeyPair::from_seed(seed.reveal())
        .map(|pair| pair.public_key())
        .unwrap_or_default()
}

/// The program: `$QX_NATS_SERVER`, else what `tools/test-servers.sh` installed,
/// else PATH.
fn find_program() -> Result<PathBuf, StartError> {
    if let Some(named) = std::env::var_os("QX_NATS_SERVER") {
        return Ok(PathBuf::from(named));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = root.join(".tools/nats-server/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    std::iter::once(installed)
        .chain(in_path)
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| StartError::Missing {
            looked_in: root.join(".tools").display().to_string(),
        })
}

/// The first port in the server's file: the one for clients, with or without TLS.
fn port_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("://127.0.0.1:")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // An unfinished file has no end.
    if rest.contains('}') {
        digits.parse().ok()
    } else {
        None
    }
}

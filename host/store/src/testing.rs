//! A private PostgreSQL server for tests: in a temporary folder, on a port of its
//! own, gone on drop. Its data is worth nothing, so it does not wait for the disk.
//!
//! Blocks while it starts and stops. A missing server is an error with the line
//! that installs it; nothing is skipped in silence.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

/// The superuser of the server.
pub const USER: &str = "qx";
/// Its password; without it the server lets nobody in.
pub const PASSWORD: &str = "only-for-tests";

/// What is needed of the server's programs. All in one folder, so that they are
/// of one version.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "createdb"];

/// Ports tried before the last try, when another process takes them first.
const PORTS_TRIED_MAX: usize = 3;

/// The one that tests of this process share, as long as one of them holds it.
static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// No server for the tests.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not installed, or not found.
    #[error(
        "PostgreSQL is not installed (looked for initdb, pg_ctl and createdb in PATH, `pg_config --bindir` and /usr/lib/postgresql/*/bin); install it with `apt-get install -y postgresql`"
    )]
    Missing,
    /// A program could not be run.
    #[error("failed to run {program}")]
    Run {
        /// Which.
        program: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A program said no.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: String,
        /// What it printed, and the end of the server's log.
        said: String,
    },
    /// The temporary folder.
    #[error("failed to prepare a temporary folder for PostgreSQL")]
    Folder(#[from] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes and starts a server.
    pub fn start() -> Result<Self, ServerError> {
        let bin = bin_folder().ok_or(ServerError::Missing)?;
        let folder = tempfile::Builder::new().prefix("qx-postgres-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let databases = AtomicU32::new(0);
        let mut server = Self {
            bin,
            folder,
            port: free_port()?,
            databases,
        };
        server.initialise()?;
        for _ in 0..PORTS_TRIED_MAX {
            match server.up() {
                Err(ServerError::Failed { said, .. })
                    if said.contains("Address already in use") =>
                {
                    server.port = free_port()?;
                }
                other => return other.map(|()| server),
            }
        }
        server.up().map(|()| server)
    }

    /// The server that the tests of this process share. The last one that lets
    /// go stops it.
    pub fn shared() -> Result<Arc<Self>, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// Makes an empty database, and returns its URL.
    pub fn database(&self, name: &str) -> Result<String, ServerError> {
        let mut command = self.client("createdb");
        command.arg(name);
        self.run(command)?;
        Ok(self.url(name))
    }

    /// The same, with a name that nobody has.
    pub fn fresh_database(&self) -> Result<String, ServerError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        self.database(&format!("test_{number}"))
    }

    /// The URL of a database, whether it exists or not.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server at once, as a crash would. [`up`](Self::up) starts it.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.control(&["-m", "immediate", "stop"])
    }

    /// Starts the server again, on the same port, and waits until it answers.
    pub fn up(&self) -> Result<(), ServerError> {
        let options = format!("-p {} -k {}", self.port, self.data().display());
        self.control(&["-t", "60", "-o", &options, "start"])
    }

    /// Stops the server as a crash would and starts it again.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.kill()?;
        self.up()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.data().join("server.log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn initialise(&self) -> Result<(), ServerError> {
        let data = self.data();
        fs::create_dir(&data)?;
        let password = data.with_file_name("password");
        fs::write(&password, PASSWORD)?;
        if is_root() {
            let mut chown = Command::new("chown");
            chown.arg("postgres").args([&data, &password]);
            self.run(chown)?;
        }
        let mut initdb = self.server("initdb");
        initdb.args([
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-A",
            "scram-sha-256",
        ]);
        initdb
            .args(["-U", USER, "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(&data);
        self.run(initdb)?;
        // Read after postgresql.conf, which belongs to whoever runs the server.
        let settings = "listen_addresses = '127.0.0.1'\nmax_connections = 300\n\
            shared_buffers = '32MB'\nfsync = off\nfull_page_writes = off\n";
        let mut append = self.as_owner(OsStr::new("sh"));
        append.args(["-c", "printf %s \"$1\" >> \"$2\"", "sh", settings]);
        append.arg(data.join("postgresql.conf"));
        self.run(append)
    }

    fn control(&self, arguments: &[&str]) -> Result<(), ServerError> {
        let mut command = self.server("pg_ctl");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.data().join("server.log"));
        command.arg("-w").args(arguments);
        self.run(command)
    }

    /// A program that must not run as root.
    fn server(&self, program: &str) -> Command {
        self.as_owner(self.bin.join(program).as_os_str())
    }

    fn as_owner(&self, program: &OsStr) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        // Nobody but root may be able to enter the folder that we are in.
        command.current_dir(self.folder.path());
        command
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(["-h", "127.0.0.1", "-U", USER, "-p"])
            .arg(self.port.to_string());
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    fn run(&self, mut command: Command) -> Result<(), ServerError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command.output();
        let output = output.map_err(|source| ServerError::Run {
            program: program.clone(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        Err(ServerError::Failed {
            program,
            said: said(&output, &self.data().join("server.log")),
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may be down already; the folder goes in either case.
        drop(self.kill());
    }
}

/// Free now; it may be somebody else's when the server comes to it.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn said(output: &Output, log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(10)..)
        .unwrap_or_default()
        .join("\n");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}{last}")
}

/// The folder that has the server's programs.
fn bin_folder() -> Option<PathBuf> {
    let has_all = |folder: &PathBuf| PROGRAMS.iter().all(|name| folder.join(name).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(has_all) {
        return Some(folder);
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if has_all(&folder) {
            return Some(folder);
        }
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders.filter(has_all).max()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

//! The binary as a child process: started, stopped, killed, and what it printed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::binary;

/// Between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Longest that a host may take to begin, and to end after it was asked to.
const STOP_TIME_MAX: Duration = Duration::from_mins(1);

/// A running daemon. Killed when dropped.
pub struct Host {
    child: Child,
    log: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Its stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// Fails the test unless it ended well.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Fails the test unless it ended with this code and said all of these on
    /// stderr.
    pub fn fails(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for part in said {
            assert!(self.stderr.contains(part), "no `{part}` in {}", self.stderr);
        }
    }
}

/// `qx-host <args>` in a folder. Of the tests' own environment it sees no setting.
fn command(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QX_") {
            command.env_remove(name);
        }
    }
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.envs(environment.iter().copied());
    command
}

/// Runs a command of the binary to its end.
pub(crate) async fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::from(command(dir, args, environment));
    let output = command.kill_on_drop(true).output().await;
    let output = output.expect("the binary runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Host {
    /// Starts `qx-host <args>` in a folder; what it prints goes into `log`.
    pub fn start(dir: &Path, log: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.expect("a log");
        let again = file.try_clone().expect("a second handle");
        let mut command = command(dir, args, environment);
        let child = command.stdout(file).stderr(again).spawn();
        Self {
            child: child.expect("the binary starts"),
            log: log.to_owned(),
        }
    }

    /// Everything it has printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether a lease's holder is this process.
    pub fn holds(&self, holder: &str) -> bool {
        let id = self.id().to_string();
        let mut words = holder.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| word == id)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it has begun to handle SIGTERM, by the mask that the system shows.
    fn handles_term(&self) -> bool {
        const TERM: u64 = 1 << 14;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & TERM != 0)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // An error means that it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: a bare system has no other.
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "{script}");
    }

    /// Waits until it ends by itself, or fails with what it printed.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "still running after {within:?}:\n{}", self.printed());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGTERM, and its exit code.
    pub async fn stop(mut self) -> i32 {
        // Until it handles the signal, the system ends it: nothing is in hand yet.
        let deadline = Instant::now() + STOP_TIME_MAX;
        while self.is_running() && !self.handles_term() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.signal("TERM");
        let status = self.ended(STOP_TIME_MAX).await;
        status.code().unwrap_or(-1)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

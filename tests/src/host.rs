//! The binary as a child process: started, stopped, killed, and what it printed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::binary;

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
}

/// `qx-host <args>` in a folder. Of the tests' own environment it sees no setting.
fn command(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QX_") {
            command.env_remove(name);
        }
    }
    command.args(args).current_dir(dir).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs a command of the binary to its end.
pub async fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(args)
        .current_dir(dir)
        .envs(environment.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.expect("the binary runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Host {
    /// Starts `qx-host <args>` in a folder; what it prints goes into `log`.
    pub fn start(dir: &Path, log: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log");
        let again = file.try_clone().expect("a second handle");
        let mut command = command(dir, args, environment);
        let child = command.stdout(file).stderr(again).spawn().expect("the binary starts");
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Everything it has printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // An error means that it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string());
        let status = { sent }.status().expect("kill runs");
        assert!(status.success(), "kill -{name}");
    }

    /// Waits until it ends by itself, or fails with what it printed.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            let late = tokio::time::Instant::now() >= deadline;
            assert!(!late, "still running after {within:?}:\n{}", self.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM, and its exit code.
    pub async fn stop(mut self) -> i32 {
        self.signal("TERM");
        let status = self.ended(Duration::from_mins(1)).await;
        status.code().unwrap_or(-1)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

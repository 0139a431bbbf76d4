//! What people would use instead, each as its registry has it: the predecessor,
//! graphile-worker and faststream-outbox. All are optional: of what is absent the
//! report says so. The bars know the predecessor only.

pub(crate) mod faststream;
pub(crate) mod graphile;
pub(crate) mod seed;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::LOOK;
use crate::report::Report;
use crate::sections::Section;

/// Longest wait for an interpreter to import everything, and for it to end.
const START_MAX: Duration = Duration::from_mins(1);

/// Rows of one statement that fills a peer's table.
const FILL_ROWS: usize = 2_000;

/// Where the peers are. `tools/bench.sh` installs them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Installed {
    /// A Python in which the predecessor's packages are installed.
    #[arg(long)]
    pub(crate) seed_python: Option<PathBuf>,
    /// A Python in which faststream-outbox is installed.
    #[arg(long)]
    pub(crate) faststream_python: Option<PathBuf>,
    /// The `node_modules` in which graphile-worker is installed.
    #[arg(long)]
    pub(crate) graphile_modules: Option<PathBuf>,
    /// The Node that runs graphile-worker.
    #[arg(long, default_value = "node")]
    pub(crate) node: PathBuf,
}

/// Says so when a peer is not there, and why that may be.
pub(crate) fn found<'a>(
    peer: Option<&'a Path>,
    report: &mut Report,
    section: Section,
    absent: &str,
) -> Option<&'a Path> {
    if peer.is_none() {
        report.remark(section, absent);
    }
    peer
}

/// A file of the folder `peers` beside the sources.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Runs a part of a peer to its end.
async fn finish(command: Command) -> anyhow::Result<()> {
    let output = tokio::process::Command::from(command).output().await?;
    ensure!(
        output.status.success(),
        "a peer's part ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}

/// Gives the envelopes of so many orders to a statement that takes an array of
/// texts, in one transaction.
async fn fill(pool: &sqlx::PgPool, rows: u64, sql: &'static str) -> anyhow::Result<()> {
    let events = orders(0, rows, ENVELOPE_BYTES)?;
    let mut tx = pool.begin().await?;
    for group in events.chunks(FILL_ROWS) {
        let bodies: Vec<String> = group.iter().map(|event| event.0.encode()).collect();
        sqlx::query(sql).bind(&bodies).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    sqlx::raw_sql("ANALYZE").execute(pool).await?;
    Ok(())
}

/// A running peer, a process of its own. Killed when dropped.
pub(crate) struct Peer {
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts it, and waits until it says `ready`. What it prints goes into the file.
    pub(crate) async fn start(mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let out = File::create(&log)?;
        let child = command
            .stdin(Stdio::piped())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()?;
        let mut peer = Self { child, log };
        let begun = Instant::now();
        while !peer.said()?.lines().any(|line| line == "ready") {
            peer.alive()?;
            ensure!(begun.elapsed() < START_MAX, "not ready: {}", peer.said()?);
            tokio::time::sleep(LOOK).await;
        }
        Ok(peer)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// The numbers of the last whole line `ran …` that it has printed.
    fn ran<const N: usize>(&self) -> anyhow::Result<[u64; N]> {
        Ok(ran(&self.said()?))
    }

    /// Fails when it has ended.
    pub(crate) fn alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the peer ended, {status}: {}", self.said()?);
        }
        Ok(())
    }

    /// Ends it as it wants to be ended, and returns what it has printed.
    async fn stop(mut self) -> anyhow::Result<String> {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let said = self.said()?;
                ensure!(status.success(), "the peer ended, {status}: {said}");
                return Ok(said);
            }
            ensure!(
                begun.elapsed() < START_MAX,
                "it does not end: {}",
                self.said()?
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // An error means that it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The numbers of the last whole line `ran …`; zeros where there is none yet.
fn ran<const N: usize>(said: &str) -> [u64; N] {
    let mut numbers = [0; N];
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let last = whole
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("ran "));
    for (number, word) in numbers.iter_mut().zip(last.unwrap_or_default().split(' ')) {
        *number = word.parse().unwrap_or(0);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_says_how_far_a_peer_is() {
        assert_eq!(ran("ready\n"), [0, 0]);
        assert_eq!(ran("ready\nran 7 3\nran 12 9\n"), [12, 9]);
        assert_eq!(ran("ready\nran 7 3\nran 1"), [7, 3]);
        assert_eq!(ran("ready\nran 40\nsomething else\n"), [40]);
    }
}

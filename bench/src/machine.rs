//! On what was measured: the machine, its programs and their versions.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use tokio::process::Command;

use crate::report::median;

/// Writes of the disk's probe.
const SYNCS: usize = 100;

/// The machine and the versions.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mb: u64,
    pub(crate) system: String,
    /// Microseconds to write 4 KiB and wait for the disk: the median.
    pub(crate) sync_us: f64,
    pub(crate) load_before: f64,
    pub(crate) postgres: String,
    pub(crate) nats: String,
    pub(crate) rustc: String,
    pub(crate) host: String,
    pub(crate) commit: String,
    pub(crate) when: String,
}

/// Looks around.
pub(crate) async fn look(host: &Path) -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let memory = after(&meminfo, "MemTotal");
    let kib: u64 = memory
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    Machine {
        processor: after(&cpuinfo, "model name"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mb: kib / 1024,
        system: said("uname", &["-sr"]).await,
        sync_us: sync_us().unwrap_or(f64::NAN),
        load_before: load(),
        postgres: postgres().await,
        nats: nats().await,
        rustc: said("rustc", &["-V"]).await,
        host: said(&host.display().to_string(), &["--version"]).await,
        commit: said("git", &["rev-parse", "--short", "HEAD"]).await,
        when: crate::events::now()
            .format("%Y-%m-%d %H:%M UTC")
            .to_string(),
    }
}

/// Processes that want the processors, over the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or(f64::NAN)
}

async fn postgres() -> String {
    let newest = "/usr/lib/postgresql/*/bin/postgres";
    said(
        "sh",
        &[
            "-c",
            &format!("$(ls {newest} 2>/dev/null | tail -n 1 || echo postgres) --version"),
        ],
    )
    .await
}

async fn nats() -> String {
    let own = ".tools/nats-server/nats-server";
    let named = std::env::var("QX_NATS_SERVER").unwrap_or_default();
    let program = if named.is_empty() { own } else { &named };
    said(program, &["--version"]).await
}

async fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "not found".to_owned())
}

/// How long the disk of the temporary folders takes to keep a page.
fn sync_us() -> std::io::Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&times).unwrap_or(f64::NAN))
}

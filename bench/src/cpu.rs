//! Processor time of processes, children included, as the kernel counts it: on a
//! machine that others use too it says more than the clock on the wall.

use std::collections::HashMap;
use std::fs;

/// The kernel's unit in `/proc`: hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/<pid>/stat` says of one process.
struct Stat {
    parent: u32,
    own_ticks: u64,
    reaped_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces; what follows does not.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
    })
}

fn all() -> HashMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// Seconds that a process and its children have used, those that ended included.
pub(crate) fn of_tree(root: u32) -> f64 {
    let all = all();
    let mut ticks = all.get(&root).map_or(0, |root| root.reaped_ticks);
    for (pid, one) in &all {
        let mut at = *pid;
        while at != root && at > 1 {
            at = all.get(&at).map_or(0, |stat| stat.parent);
        }
        if at == root {
            ticks += one.own_ticks;
        }
    }
    ticks as f64 / TICKS_PER_SECOND
}

/// Seconds that this process has used, without its children.
pub(crate) fn own() -> f64 {
    let own = stat(std::process::id());
    own.map_or(0.0, |own| own.own_ticks as f64) / TICKS_PER_SECOND
}

/// Memory that a process holds, in bytes: what is its alone and its share of what
/// it has in common with others.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The process whose command line holds all of these, and that is nobody's child
/// among them: a server that was started by a tool.
pub(crate) fn find(words: &[&str]) -> Option<u32> {
    let matches = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().all(|word| line.contains(word))
    };
    let mut found: Vec<u32> = all().into_keys().filter(|pid| matches(*pid)).collect();
    found.sort_unstable();
    found.into_iter().find(|pid| *pid != std::process::id())
}

/// Processor time of the three that share the machine, between two looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) host: f64,
    pub(crate) broker: f64,
    pub(crate) database: f64,
}

impl Cpu {
    /// What was used since an earlier look.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            host: self.host - before.host,
            broker: self.broker - before.broker,
            database: self.database - before.database,
        }
    }

    /// Microseconds for each of so many events.
    pub(crate) fn per(self, events: u64) -> Self {
        let each = |seconds: f64| seconds * 1e6 / events.max(1) as f64;
        Self {
            host: each(self.host),
            broker: each(self.broker),
            database: each(self.database),
        }
    }
}

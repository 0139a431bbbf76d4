//! Room on the disk that the bench writes to. What runs out of it fails in other
//! words, an acknowledgement that does not come for one, so it is looked at before
//! each section and while it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::lab::Size;

const GB: u64 = 1_000_000_000;

/// What must be free before a section: PostgreSQL keeps up to 4 GB of its log, beside
/// the tables and the streams.
const FREE_BEFORE_MIN: u64 = 8 * GB;

/// The same of a smoke, which writes a few events.
const FREE_BEFORE_SMOKE_MIN: u64 = 2 * GB;

/// The same where the backlog of ten million rows is measured too.
const FREE_BEFORE_HUGE_MIN: u64 = 20 * GB;

/// What must stay free while a section runs: below it the disk counts as full.
const FREE_MIN: u64 = GB;

/// Between two looks while a section runs.
const LOOK: Duration = Duration::from_secs(1);

/// The disk of the temporary folders, where the servers and the worlds lie.
pub(crate) struct Disk {
    folder: PathBuf,
    before_min: u64,
}

impl Disk {
    pub(crate) fn new(size: Size, huge: bool) -> Self {
        let before_min = match (size, huge) {
            (_, true) => FREE_BEFORE_HUGE_MIN,
            (Size::Smoke, false) => FREE_BEFORE_SMOKE_MIN,
            (Size::Quick | Size::Full, false) => FREE_BEFORE_MIN,
        };
        Self {
            folder: std::env::temp_dir(),
            before_min,
        }
    }

    /// Runs a section while there is room for it.
    pub(crate) async fn watch<T>(
        &self,
        section: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.has(self.before_min)?;
        let ran = tokio::select! {
            biased; // What has ended has ended.
            ran = section => ran,
            full = self.until_full() => return Err(full),
        };
        // The failure may be the disk's, in other words.
        ran.map_err(|error| match self.has(FREE_MIN) {
            Ok(()) => error,
            Err(full) => error.context(full),
        })
    }

    async fn until_full(&self) -> anyhow::Error {
        loop {
            if let Err(full) = self.has(FREE_MIN) {
                return full;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn has(&self, wanted: u64) -> anyhow::Result<()> {
        enough(&self.folder, free(&self.folder)?, wanted)
    }
}

fn free(folder: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(folder);
    let disk = disk.with_context(|| format!("look at the disk of {}", folder.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn enough(folder: &Path, free: u64, wanted: u64) -> anyhow::Result<()> {
    let gb = |bytes: u64| bytes as f64 / GB as f64;
    let (left, needed, at) = (gb(free), gb(wanted), folder.display());
    ensure!(
        free >= wanted,
        "the disk of {at} is full or nearly so: {left:.1} GB are free, and the bench needs {needed:.0} GB; \
         make room there, or set TMPDIR to a folder on a disk that has it"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_named_with_what_is_left_and_what_to_do() {
        let folder = Path::new("/scratch");
        assert!(enough(folder, GB, GB).is_ok());
        let said = enough(folder, GB / 2, 8 * GB).unwrap_err().to_string();
        for part in ["/scratch", "full", "0.5 GB", "needs 8 GB", "TMPDIR"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

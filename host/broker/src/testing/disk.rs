//! A small disk of its own for a nats-server: it can be filled and freed.
//!
//! A mount in a namespace that ends with its holder: nothing of it is seen outside,
//! and nothing stays. Needs root, or user namespaces; a root that was changed
//! (`chroot`) has no user namespaces.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::{Setup, StartError, find_program};

/// Size of the disk: enough for a stream, and soon full.
const SIZE: &str = "48m";
/// Bytes of a large and of a small piece of ballast.
const PIECES: [usize; 2] = [64 * 1024, 64];
/// Patience with the mount.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at.
const MOUNT_POLL: Duration = Duration::from_millis(10);

/// A small disk. Gone when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    holder: Child,
}

impl Disk {
    /// Mounts one.
    pub async fn mount() -> Result<Self, StartError> {
        let folder = TempDir::with_prefix("qx-disk-")?;
        std::fs::create_dir(folder.path().join("store"))?;
        let store = folder.path().join("store");
        let script = format!(
            "mount -t tmpfs -o size={SIZE} tmpfs '{0}' && touch '{0}/mounted' && exec sleep infinity",
            store.display()
        );
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.arg("--map-root-user");
        }
        if !root_is_a_mount() {
            // What is no mount cannot be made private. `drop` unmounts what is seen outside.
            unshare.args(["--propagation", "unchanged"]);
        }
        let holder = unshare
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::null())
            .spawn()?;
        let disk = Self { folder, holder };
        disk.mounted().await?;
        Ok(disk)
    }

    async fn mounted(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + MOUNT_TIMEOUT;
        while !self.inside("mounted").exists() {
            if Instant::now() > deadline {
                let said =
                    "no disk could be mounted: run as root, or where user namespaces are allowed";
                return Err(StartError::Failed(said.to_owned()));
            }
            tokio::time::sleep(MOUNT_POLL).await;
        }
        Ok(())
    }

    /// A server that keeps its streams on this disk.
    pub fn setup(&self) -> Result<Setup, StartError> {
        let folder = self.folder.path();
        // By this name the server is found again.
        let program = folder.join("nats-server");
        let user = if is_root() {
            ""
        } else {
            "--user --preserve-credentials"
        };
        let (holder, real) = (self.holder.id(), find_program()?);
        let script = format!(
            "#!/bin/sh\nexec nsenter --target {holder} {user} --mount --root -- '{}' \"$@\"\n",
            real.display()
        );
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok(Setup {
            jetstream: false,
            extra: format!(
                "jetstream {{ store_dir: \"{}/store\", max_file_store: 1GB }}",
                folder.display()
            ),
            program: Some(program),
            ..Setup::default()
        })
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> Result<(), StartError> {
        let mut ballast = File::create(self.inside("ballast"))?;
        for size in PIECES {
            let piece = vec![b'x'; size];
            while ballast.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Takes the ballast away again.
    pub fn free(&self) -> Result<(), StartError> {
        Ok(std::fs::remove_file(self.inside("ballast"))?)
    }

    /// A file on the disk, by way of its holder.
    fn inside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let store = self.folder.path().join("store");
        let store = store.strip_prefix("/").unwrap_or(&store);
        root.join(store).join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !root_is_a_mount() {
            let mut unmount = Command::new("umount");
            unmount.arg("--lazy").arg(self.folder.path().join("store"));
            // An error means that it was not seen here.
            drop(unmount.stderr(Stdio::null()).status());
        }
        // An error means that it is dead already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Not so after a `chroot` into a folder.
fn root_is_a_mount() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    places.any(|place| place == "/")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|own| own.uid() == 0)
}

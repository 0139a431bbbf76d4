//! Builds that were in service, kept by digest, so that an earlier one can be put
//! back without its old file at hand.
//!
//! The folder is its owner's alone, and a build is compared with its digest when it
//! is read. So many of each component are kept, for so long; the one in service and
//! the one that is tried always.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use qx_events::{ComponentName, Digest};

use super::parts::{Parts, replace};

/// How long a build is kept that is no longer in service: nobody goes back further.
const AGE_MAX: Duration = Duration::from_hours(90 * 24);
/// Its files, in a folder of its own.
const STEM: &str = "component";
/// Rights of others in a folder's mode.
const OPEN_TO_OTHERS: u32 = 0o077;

/// The folder of kept builds.
#[derive(Debug, Clone)]
pub struct Builds {
    dir: PathBuf,
    max: usize,
}

/// A build cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoBuild {
    /// It is not there.
    #[error(
        "build {digest} of {component} is not kept in {dir}: `qx-host handlers history` shows those that are; put its file into the folder of components instead"
    )]
    NotKept {
        /// Whose.
        component: ComponentName,
        /// Which.
        digest: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// What is there is something else.
    #[error(
        "what is kept in {dir} as build {digest} of {component} is another one, and is not used: remove it"
    )]
    Forged {
        /// Whose.
        component: ComponentName,
        /// Which.
        digest: String,
        /// Where it lies.
        dir: PathBuf,
    },
    /// The folder is not its owner's alone.
    #[error("others can get at {dir}, where builds are kept: run `chmod 700` on it")]
    Open {
        /// The folder.
        dir: PathBuf,
    },
    /// The system says no.
    #[error("builds in {dir} cannot be read or written: do it as the user of the host")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Builds {
    /// In this folder, so many of each component.
    pub fn new(dir: PathBuf, max: usize) -> Self {
        Self { dir, max }
    }

    /// Keeps a build, as the newest. `needed` are not dropped for it.
    pub fn keep(
        &self,
        name: &ComponentName,
        parts: &Parts,
        needed: &[Digest],
    ) -> Result<(), NoBuild> {
        let digest = parts.digest();
        self.write(name, digest, parts)
            .and_then(|()| self.drop_old(name, digest, needed))
            .map_err(|source| self.io(source))
    }

    /// The build of this digest, compared with it.
    pub fn read(&self, name: &ComponentName, digest: Digest) -> Result<Parts, NoBuild> {
        self.check()?;
        let parts = match Parts::read(&self.place(name, digest), STEM) {
            Ok(parts) => parts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NoBuild::NotKept {
                    component: name.clone(),
                    digest: digest.short(),
                    dir: self.dir.clone(),
                });
            }
            Err(source) => return Err(self.io(source)),
        };
        if parts.digest() != digest {
            return Err(NoBuild::Forged {
                component: name.clone(),
                digest: digest.short(),
                dir: self.dir.clone(),
            });
        }
        Ok(parts)
    }

    /// Whether a build is kept. What is not known is not kept.
    pub fn has(&self, name: &ComponentName, digest: Digest) -> bool {
        self.place(name, digest).is_dir()
    }

    fn write(&self, name: &ComponentName, digest: Digest, parts: &Parts) -> io::Result<()> {
        let place = self.place(name, digest);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)?;
        // A component's own bytes are not written twice: its digest is its place.
        let wasm = place.join(format!("{STEM}.wasm"));
        if !wasm.is_file() {
            replace(&place, &wasm, &parts.wasm)?;
        }
        for (end, bytes) in [("toml", &parts.sidecar), ("wasm.minisig", &parts.signature)] {
            let to = place.join(format!("{STEM}.{end}"));
            match (fs::read(&to).ok(), bytes) {
                (old, new) if old == *new => {}
                (_, Some(bytes)) => replace(&place, &to, bytes)?,
                (_, None) => fs::remove_file(&to)?,
            }
        }
        // The newest: the age of a folder is that of its last name.
        let mark = place.join(".used");
        fs::File::create(&mark)?;
        fs::remove_file(mark)
    }

    /// Drops what is too old, or too many.
    fn drop_old(&self, name: &ComponentName, newest: Digest, needed: &[Digest]) -> io::Result<()> {
        let mut others = Vec::new();
        for entry in fs::read_dir(self.dir.join(name.as_str()))? {
            let entry = entry?;
            let Some(digest) = parse(&entry.file_name().to_string_lossy()) else {
                continue; // Not ours.
            };
            if digest != newest && !needed.contains(&digest) {
                others.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        others.sort();
        let kept = needed.iter().filter(|digest| **digest != newest).count() + 1;
        let too_many = (others.len() + kept).saturating_sub(self.max);
        for (at, (used, path)) in others.iter().enumerate() {
            if at < too_many || age(*used) > AGE_MAX {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    fn place(&self, name: &ComponentName, digest: Digest) -> PathBuf {
        self.dir.join(name.as_str()).join(digest.to_string())
    }

    fn check(&self) -> Result<(), NoBuild> {
        match fs::symlink_metadata(&self.dir) {
            Ok(found) if !found.is_dir() || found.mode() & OPEN_TO_OTHERS != 0 => {
                Err(NoBuild::Open {
                    dir: self.dir.clone(),
                })
            }
            Ok(_) | Err(_) => Ok(()), // Not there: then nothing is found in it.
        }
    }

    fn io(&self, source: io::Error) -> NoBuild {
        NoBuild::Io {
            dir: self.dir.clone(),
            source,
        }
    }
}

/// How long ago; a time to come is now. Files have the system's clock.
fn age(used: SystemTime) -> Duration {
    used.elapsed().unwrap_or_default()
}

/// A digest in hex.
fn parse(hex: &str) -> Option<Digest> {
    let bytes = hex::decode(hex).ok()?;
    Some(Digest::new(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn build(wasm: &str) -> Parts {
        Parts {
            wasm: wasm.into(),
            sidecar: Some(wasm.to_uppercase().into()),
            signature: None,
        }
    }

    fn stars() -> ComponentName {
        ComponentName::parse("stars").unwrap()
    }

    #[test]
    fn builds_come_back_as_they_were_and_the_oldest_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let builds = Builds::new(dir.path().join("builds"), 3);
        let first = build("0");
        let begun = fs::metadata(dir.path()).unwrap().modified().unwrap();
        for n in 0..6 {
            let own = build(&n.to_string());
            builds.keep(&stars(), &own, &[first.digest()]).unwrap();
            assert_eq!(builds.read(&stars(), own.digest()).unwrap(), own);
            // The system's clock for files stands still for milliseconds: two builds can
            // have one time, and neither is the older.
            let place = fs::File::open(builds.place(&stars(), own.digest())).unwrap();
            place.set_modified(begun + Duration::from_secs(n)).unwrap();
        }
        let kept = |n: &u64| builds.has(&stars(), build(&n.to_string()).digest());
        let kept: Vec<u64> = (0..6).filter(kept).collect();
        assert_eq!(kept, [0, 4, 5], "what is needed stays");
        let gone = builds.read(&stars(), build("1").digest()).unwrap_err();
        assert!(matches!(gone, NoBuild::NotKept { .. }), "{gone}");
        let mode = fs::metadata(dir.path().join("builds")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_is_not_the_build_it_says_or_lies_open_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let builds = Builds::new(dir.path().join("builds"), 3);
        let own = build("a");
        builds.keep(&stars(), &own, &[]).unwrap();
        let place = builds.place(&stars(), own.digest());
        fs::write(place.join("component.wasm"), "b").unwrap();
        let forged = builds.read(&stars(), own.digest()).unwrap_err();
        assert!(matches!(forged, NoBuild::Forged { .. }), "{forged}");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path().join("builds"), open).unwrap();
        let open = builds.read(&stars(), own.digest()).unwrap_err();
        assert!(matches!(open, NoBuild::Open { .. }), "{open}");
    }
}

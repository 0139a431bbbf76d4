//! The files of one component, together: as they lie in the folder, and as they
//! are put back there. A file of the folder is replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use qx_events::{ComponentName, Digest};
use qx_pipeline::crash;
use sha2::{Digest as _, Sha256};

use super::read;

/// How the files of a component end, beside its stem.
const WASM: &str = "wasm";
const SIDECAR: &str = "toml";
const SIGNATURE: &str = "wasm.minisig";

/// The bytes of a component, and of what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// `<name>.wasm`.
    pub wasm: Vec<u8>,
    /// `<name>.toml`.
    pub sidecar: Option<Vec<u8>>,
    /// `<name>.wasm.minisig`.
    pub signature: Option<Vec<u8>>,
}

/// SHA-256 of a component's bytes: which build it is.
pub fn digest_of(wasm: &[u8]) -> Digest {
    Digest::new(Sha256::digest(wasm).into())
}

impl Parts {
    /// Which build this is.
    pub fn digest(&self) -> Digest {
        digest_of(&self.wasm)
    }

    /// Reads what lies in a folder under this stem.
    pub fn read(dir: &Path, stem: &str) -> io::Result<Self> {
        Ok(Self {
            wasm: fs::read(path(dir, stem, WASM))?,
            sidecar: read_if_there(&path(dir, stem, SIDECAR))?,
            signature: read_if_there(&path(dir, stem, SIGNATURE))?,
        })
    }

    /// Puts them into a folder under this name, in place of those that are there.
    ///
    /// All is written first, and then renamed, the component last. A host looks at what
    /// has stayed the same for a moment, or at what was announced to it by its digest, so
    /// it does not see the new settings beside the old build unless this process ends in
    /// between.
    pub fn put(&self, dir: &Path, name: &ComponentName) -> io::Result<()> {
        let at = |end| path(dir, name.as_str(), end);
        let wasm = Half::write(dir, at(WASM), &self.wasm)?;
        let mut beside = Vec::new();
        for (end, bytes) in [(SIDECAR, &self.sidecar), (SIGNATURE, &self.signature)] {
            match bytes {
                Some(bytes) if !holds(&at(end), bytes) => {
                    beside.push(Half::write(dir, at(end), bytes)?);
                }
                Some(_) => {}
                None => remove(&at(end))?,
            }
        }
        for half in beside {
            half.rename()?;
        }
        // CRASH WINDOW deploy-1: the settings and the signature are those of the build that
        // is meant, the component is not yet. The old build goes on in service; the same
        // command again puts the rest there.
        crash::point(crash::Window::Deploy1);
        wasm.rename()?;
        File::open(dir)?.sync_all() // The new names, too.
    }
}

/// A file that is written whole, under a name that no catalog looks at. Removed again
/// unless it gets its own.
struct Half {
    half: PathBuf,
    to: PathBuf,
}

impl Half {
    fn write(dir: &Path, to: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let half = dir.join(format!(".{}.new", uuid::Uuid::new_v4()));
        let own = Self { half, to };
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(&own.half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(own)
    }

    /// What is at the place, a link for instance, is replaced and not followed.
    fn rename(self) -> io::Result<()> {
        fs::rename(&self.half, &self.to)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.half)); // Renamed, it is not there.
    }
}

/// Replaces one file, whole or not at all.
pub(super) fn replace(dir: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    Half::write(dir, to.to_owned(), bytes)?.rename()?;
    File::open(dir)?.sync_all()
}

fn path(dir: &Path, stem: &str, end: &str) -> PathBuf {
    dir.join(format!("{stem}.{end}"))
}

/// Whether a file of the folder has just these bytes. A link or a pipe has none: anybody
/// who can write there may have put it there, and it is replaced.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let old = read::read_now(path, bytes.len() as u64, "it is replaced");
    old.is_ok_and(|old| old == bytes)
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(wasm: &str, sidecar: Option<&str>) -> Parts {
        Parts {
            wasm: wasm.into(),
            sidecar: sidecar.map(Into::into),
            signature: None,
        }
    }

    #[test]
    fn what_is_put_into_a_folder_is_there_whole_with_what_belongs_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let name = ComponentName::parse("stars").unwrap();
        let read = || Parts::read(dir.path(), "stars").unwrap();
        for own in [
            parts("one", Some("a = 1")),
            parts("two", None),
            parts("three", Some("")),
        ] {
            own.put(dir.path(), &name).unwrap();
            assert_eq!(read(), own);
        }
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 2, "nothing else is left");
    }

    #[test]
    fn a_pipe_or_an_endless_file_in_the_place_is_replaced_and_not_read() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let name = ComponentName::parse("stars").unwrap();
        let pipe = dir.path().join("stars.toml");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let endless = dir.path().join("stars.wasm.minisig");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        let own = Parts {
            signature: Some("signed".into()),
            ..parts("one", Some("a = 1"))
        };
        own.put(dir.path(), &name).unwrap();
        assert_eq!(Parts::read(dir.path(), "stars").unwrap(), own);
    }

    #[test]
    fn a_link_in_the_place_is_replaced_and_not_followed() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().join("passwd");
        fs::write(&target, "secret").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("stars.wasm")).unwrap();
        let name = ComponentName::parse("stars").unwrap();
        parts("one", None).put(dir.path(), &name).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "secret");
        assert!(!dir.path().join("stars.wasm").is_symlink());
    }
}

//! What lies in the folder, and what of it is new. Reads names and stamps, never
//! contents; follows no symbolic link.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use qx_events::ComponentName;

/// The files of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `<name>.wasm`.
    pub wasm: PathBuf,
    /// `<name>.toml`, when there is one.
    pub sidecar: Option<PathBuf>,
    stamps: [Option<Stamp>; 2],
}

/// Changes whenever a file was written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that can be no component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub file: String,
    /// Why, with what to do.
    pub reason: String,
}

/// One look at the folder.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    components: BTreeMap<String, Files>,
    strangers: Vec<Stranger>,
}

/// The folder, and what was made of it last.
pub struct Folder {
    dir: PathBuf,
    last_look: Seen,
    remembered: Seen,
}

impl Folder {
    /// A folder nothing is known of yet.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            last_look: Seen::default(),
            remembered: Seen::default(),
        }
    }

    /// Looks.
    pub fn look(&self) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let mut sidecars = BTreeMap::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let (path, file) = (
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            );
            let Some((stem, kind)) = file.rsplit_once('.') else {
                continue;
            };
            if file.starts_with('.') || !matches!(kind, "wasm" | "toml") {
                continue; // Temporary files, notes: not ours.
            }
            // A file that is gone by now is seen as gone at the next look.
            let Ok(meta) = entry.metadata() else { continue };
            if let Some(reason) = refusal(stem, kind, &meta) {
                seen.strangers.push(Stranger { file, reason });
            } else if kind == "wasm" {
                let files = Files {
                    wasm: path,
                    sidecar: None,
                    stamps: [Some(stamp(&meta)), None],
                };
                seen.components.insert(stem.to_owned(), files);
            } else {
                sidecars.insert(stem.to_owned(), (path, stamp(&meta)));
            }
        }
        for (stem, (path, stamp)) in sidecars {
            if let Some(files) = seen.components.get_mut(&stem) {
                files.sidecar = Some(path);
                files.stamps = [files.stamps[0], Some(stamp)];
            }
        }
        seen.strangers.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(seen)
    }

    /// Whether two looks in a row saw the same, or there is nothing new to settle.
    pub fn is_settled(&mut self, seen: &Seen) -> bool {
        let settled = *seen == self.last_look || *seen == self.remembered;
        self.last_look = seen.clone();
        settled
    }

    /// Components that are new or have changed.
    pub fn changed(&self, seen: &Seen) -> Vec<(String, Files)> {
        let known = &self.remembered.components;
        seen.components
            .iter()
            .filter(|(stem, files)| known.get(*stem) != Some(files))
            .map(|(stem, files)| (stem.clone(), files.clone()))
            .collect()
    }

    /// Names that are no longer there.
    pub fn gone(&self, seen: &Seen) -> Vec<String> {
        let components = self.remembered.components.keys();
        let lost = components
            .filter(|stem| !seen.components.contains_key(*stem))
            .cloned();
        let strangers = self.remembered.strangers.iter();
        let left = strangers
            .filter(|old| !seen.strangers.iter().any(|new| new.file == old.file))
            .map(|old| old.file.clone());
        lost.chain(left).collect()
    }

    /// Strangers that were not there before.
    pub fn new_strangers<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a Stranger> {
        let known = &self.remembered.strangers;
        seen.strangers
            .iter()
            .filter(move |stranger| !known.contains(stranger))
    }

    /// What was seen is now in service.
    pub fn remember(&mut self, seen: Seen) {
        self.remembered = seen;
    }
}

fn refusal(stem: &str, kind: &str, meta: &Metadata) -> Option<String> {
    if meta.is_symlink() {
        return Some("symbolic links are not followed: copy the file into the folder".to_owned());
    }
    if !meta.is_file() {
        return Some("not a file: remove it from the folder".to_owned());
    }
    // An odd sidecar belongs to nothing; only a component must have a legal name.
    if kind == "wasm" {
        return ComponentName::parse(stem)
            .err()
            .map(|error| error.to_string());
    }
    None
}

fn stamp(meta: &Metadata) -> Stamp {
    Stamp {
        inode: meta.ino(),
        bytes: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        (dir, folder)
    }

    fn names(changed: &[(String, Files)]) -> Vec<&str> {
        changed.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_file_is_new_until_it_is_remembered_and_again_when_it_changes() {
        let (dir, mut folder) = folder();
        std::fs::write(dir.path().join("stars.wasm"), "1").unwrap();
        let seen = folder.look().unwrap();
        assert!(!folder.is_settled(&seen), "one look is not enough");
        let seen = folder.look().unwrap();
        assert!(folder.is_settled(&seen));
        assert_eq!(names(&folder.changed(&seen)), ["stars"]);
        folder.remember(seen);

        assert!(folder.changed(&folder.look().unwrap()).is_empty());
        std::fs::write(dir.path().join("stars.toml"), "").unwrap();
        assert_eq!(names(&folder.changed(&folder.look().unwrap())), ["stars"]);

        std::fs::remove_file(dir.path().join("stars.wasm")).unwrap();
        assert_eq!(folder.gone(&folder.look().unwrap()), ["stars"]);
    }

    #[test]
    fn names_and_links_that_could_escape_are_strangers_and_notes_are_ignored() {
        let (dir, folder) = folder();
        std::fs::write(dir.path().join("Bad Name.wasm"), "").unwrap();
        std::fs::write(dir.path().join(".tmp.wasm"), "").unwrap();
        std::fs::write(dir.path().join("README"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.wasm")).unwrap();
        let seen = folder.look().unwrap();
        let strangers: Vec<&str> = seen.strangers.iter().map(|s| s.file.as_str()).collect();
        assert_eq!(strangers, ["Bad Name.wasm", "link.wasm"]);
        assert!(folder.changed(&seen).is_empty());
    }
}

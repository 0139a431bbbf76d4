//! What lies in the folder, and what of it is new. Reads names and stamps, never
//! contents; follows no symbolic link.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use qx_events::ComponentName;

use super::read;

/// The files of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `<name>.wasm`.
    pub wasm: PathBuf,
    /// `<name>.toml`, when there is one.
    pub sidecar: Option<PathBuf>,
    /// `<name>.wasm.minisig`, when there is one.
    pub signature: Option<PathBuf>,
    /// Why one of the last two cannot be taken: without it the component would be
    /// another one than was meant.
    pub refused: Option<String>,
    stamps: [Option<Stamp>; 3],
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
        let mut beside = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some((stem, kind)) = kind_of(&file) else {
                continue; // Temporary files, notes: not ours.
            };
            // A file that is gone by now is seen as gone at the next look.
            let Ok(meta) = entry.metadata() else { continue };
            let refused = refusal(stem, kind, &meta);
            let (stem, path, stamp) = (stem.to_owned(), entry.path(), stamp(&meta));
            match (kind, refused) {
                (Kind::Component, Some(reason)) => seen.strangers.push(Stranger { file, reason }),
                (Kind::Component, None) => {
                    let files = Files {
                        wasm: path,
                        sidecar: None,
                        signature: None,
                        refused: None,
                        stamps: [Some(stamp), None, None],
                    };
                    seen.components.insert(stem, files);
                }
                (Kind::Sidecar | Kind::Signature, refused) => {
                    beside.push((stem, kind, file, path, stamp, refused));
                }
            }
        }
        for (stem, kind, file, path, stamp, refused) in beside {
            match (seen.components.get_mut(&stem), refused) {
                (Some(files), refused) => {
                    let refused = refused.map(|reason| format!("{file} is {reason}"));
                    files.take(kind, path, stamp, refused);
                }
                (None, Some(reason)) => seen.strangers.push(Stranger { file, reason }),
                (None, None) => {} // Its component may come yet.
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

impl Files {
    fn take(&mut self, kind: Kind, path: PathBuf, stamp: Stamp, refused: Option<String>) {
        let [wasm, sidecar, signature] = self.stamps;
        self.stamps = match kind {
            Kind::Component => [Some(stamp), sidecar, signature],
            Kind::Sidecar => [wasm, Some(stamp), signature],
            Kind::Signature => [wasm, sidecar, Some(stamp)],
        };
        match kind {
            Kind::Component => self.wasm = path,
            Kind::Sidecar => self.sidecar = Some(path),
            Kind::Signature => self.signature = Some(path),
        }
        self.refused = self.refused.take().or(refused);
    }
}

/// What a file of the folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Component,
    Sidecar,
    Signature,
}

/// The component that a file belongs to, and as what.
fn kind_of(file: &str) -> Option<(&str, Kind)> {
    let kinds = [
        (".wasm", Kind::Component),
        (".toml", Kind::Sidecar),
        (".wasm.minisig", Kind::Signature),
    ];
    let of = |(end, kind): &(&str, Kind)| Some((file.strip_suffix(*end)?, *kind));
    let found = kinds.iter().find_map(of);
    found.filter(|_| !file.starts_with('.'))
}

fn refusal(stem: &str, kind: Kind, meta: &Metadata) -> Option<String> {
    if let Some(what) = read::refusal(meta.file_type()) {
        return Some(what.to_owned());
    }
    match kind {
        Kind::Component => ComponentName::parse(stem)
            .err()
            .map(|error| error.to_string()),
        // An odd name belongs to nothing.
        Kind::Sidecar | Kind::Signature => None,
    }
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
    fn a_signature_belongs_to_its_component_and_may_come_later() {
        let (dir, mut folder) = folder();
        let signature = dir.path().join("stars.wasm.minisig");
        std::fs::write(&signature, "").unwrap();
        let alone = folder.look().unwrap();
        assert_eq!((alone.components.len(), alone.strangers.len()), (0, 0));
        std::fs::remove_file(&signature).unwrap();
        std::fs::write(dir.path().join("stars.wasm"), "").unwrap();
        folder.remember(folder.look().unwrap());
        std::fs::write(&signature, "").unwrap();
        let changed = folder.changed(&folder.look().unwrap());
        assert_eq!(names(&changed), ["stars"]);
        assert_eq!(changed[0].1.signature.as_ref(), Some(&signature));
    }

    #[test]
    fn a_component_whose_other_files_are_links_is_refused_and_not_taken_without_them() {
        for file in ["stars.toml", "stars.wasm.minisig"] {
            let (dir, folder) = folder();
            std::fs::write(dir.path().join("stars.wasm"), "").unwrap();
            std::os::unix::fs::symlink("/etc/passwd", dir.path().join(file)).unwrap();
            let seen = folder.look().unwrap();
            let refused = seen.components["stars"].refused.as_deref().unwrap();
            assert!(
                refused.starts_with(&format!("{file} is a symbolic link")),
                "{refused}"
            );
            assert!(seen.strangers.is_empty());
        }
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

//! What lies in the folder. Reads names and stamps, never contents; follows no
//! symbolic link.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use qx_events::ComponentName;

use super::read;

/// The files of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
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
pub(super) struct Stranger {
    /// Its name.
    pub file: String,
    /// Why, with what to do.
    pub reason: String,
}

/// One look at the folder.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    components: BTreeMap<String, Files>,
    strangers: Vec<Stranger>,
}

/// The folder.
pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// The folder at this path.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Looks.
    pub(super) fn look(&self) -> io::Result<Seen> {
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
}

impl Seen {
    /// The components, by their files' stem.
    pub(super) fn components(&self) -> &BTreeMap<String, Files> {
        &self.components
    }

    /// The files that can be no component.
    pub(super) fn strangers(&self) -> &[Stranger] {
        &self.strangers
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

    #[test]
    fn a_signature_belongs_to_its_component_and_may_come_later() {
        let (dir, folder) = folder();
        let signature = dir.path().join("stars.wasm.minisig");
        std::fs::write(&signature, "").unwrap();
        let alone = folder.look().unwrap();
        assert_eq!((alone.components.len(), alone.strangers.len()), (0, 0));
        std::fs::remove_file(&signature).unwrap();
        std::fs::write(dir.path().join("stars.wasm"), "").unwrap();
        let before = folder.look().unwrap();
        std::fs::write(&signature, "").unwrap();
        let seen = folder.look().unwrap();
        assert_ne!(seen.components, before.components);
        assert_eq!(
            seen.components["stars"].signature.as_ref(),
            Some(&signature)
        );
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
        assert!(seen.components.is_empty());
    }
}

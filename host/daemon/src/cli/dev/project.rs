//! The handlers' projects, and whether their sources have changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cli::exit::Failure;
use crate::guest::project;

/// One handler's project.
pub(super) struct Project {
    dir: PathBuf,
    newest: Option<SystemTime>,
}

/// The projects in these folders: each one itself, or those right below it.
pub(super) fn find(dirs: &[PathBuf]) -> Result<Vec<Project>, Failure> {
    let mut projects = Vec::new();
    for dir in dirs {
        let found = project::below(dir)
            .map_err(|error| Failure::failed(&format!("read {}", dir.display()), error))?;
        if found.is_empty() {
            return Err(Failure::usage(format!(
                "{} holds no handler: make one with `qx-host new hello`, or name the folder of one",
                dir.display()
            )));
        }
        projects.extend(found.into_iter().map(|dir| Project { dir, newest: None }));
    }
    Ok(projects)
}

impl Project {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What to watch.
    pub(super) fn sources(&self) -> Vec<PathBuf> {
        project::sources(&self.dir)
    }

    /// Looks at the sources; whether they are newer than at the last look.
    pub(super) fn note_sources(&mut self) -> bool {
        let newest = self.sources().iter().filter_map(|path| newest(path)).max();
        let changed = newest != self.newest;
        self.newest = newest;
        changed
    }
}

/// The latest change of a file, or of anything below a folder.
fn newest(path: &Path) -> Option<SystemTime> {
    let meta = path.symlink_metadata().ok()?;
    let own = meta.modified().ok();
    if !meta.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).ok()?;
    let below = entries.filter_map(|entry| newest(&entry.ok()?.path()));
    below.chain(own).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_handlers_is_searched_one_level_down() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "crate-type = [\"cdylib\"]"), ("b", "[lib]")] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("Cargo.toml"), text).unwrap();
        }
        let found = find(&[dir.path().to_owned()]).unwrap();
        let dirs: Vec<&Path> = found.iter().map(Project::dir).collect();
        assert_eq!(dirs, [dir.path().join("a")]);
        assert!(
            find(&[dir.path().join("b")]).is_err(),
            "a folder without handlers says so"
        );
    }

    #[test]
    fn a_changed_source_is_noticed_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "cdylib").unwrap();
        let mut project = find(&[dir.path().to_owned()]).unwrap().remove(0);
        assert!(project.note_sources());
        assert!(!project.note_sources());
        let file = std::fs::File::create(dir.path().join("src/lib.rs")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000))
            .unwrap();
        assert!(project.note_sources());
    }
}

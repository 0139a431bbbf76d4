//! A crate: cargo, for the target that this machine has.
//!
//! Its dependencies and their versions are cargo's business.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};

use qx_events::ComponentName;
use serde::Deserialize;

use super::{BuildError, encoded, failed};
use crate::guest::toolchain::{self, Toolchain};

/// The crate's name, with hyphens, and its component.
pub(super) fn component(
    project: &Path,
    cache: Option<&Path>,
) -> Result<(ComponentName, Vec<u8>), BuildError> {
    let toolchain = toolchain::find_in(project)?;
    let (name, wasm) = run_cargo(&toolchain, project, cache)?;
    let name = ComponentName::parse(&name).map_err(BuildError::Name)?;
    let wasm = fs::read(&wasm).map_err(failed("reading", &wasm))?;
    let component = encoded(&name, wasm)?;
    Ok((name, component))
}

/// What cargo made of one crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
    pub(super) wasm: Option<PathBuf>,
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
        return Err(BuildError::Compile {
            tool: "cargo",
            code,
        });
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
pub(super) fn the_one(
    mut found: Vec<Artifact>,
    project: &Path,
) -> Result<(String, PathBuf), BuildError> {
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

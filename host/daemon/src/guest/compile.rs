//! From a handler's project to `<name>.wasm`: the language's compiler, the encoder,
//! one rename.
//!
//! Compilers speak to the terminal themselves. A component that is there is replaced
//! whole or not at all, so that a host watching the folder never sees half of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use include_dir::Dir;
use qx_events::{ComponentName, InvalidComponentName};

use super::encode::{self, EncodeError};
use super::project::{self, Project, ProjectError};
use super::toolchain::NoToolchain;
use super::tools::ToolError;
use crate::cli::screen;

mod alone;
mod c;
mod debug_info;
mod python;
mod rust;
mod typescript;
mod world;

pub(super) use c::SDK as C_SDK;
pub(super) use python::SDK as PYTHON_SDK;
pub(super) use typescript::SDK as TYPESCRIPT_SDK;

/// A component that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Its name: the crate's, with hyphens, or that of `handler.toml`.
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
    /// The folder holds no project, or its file is wrong.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A tool is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The project's world is not there, or is no WIT.
    #[error(
        "the world {name} cannot be read: handler.toml names it as `package:name/world`, in the folder `wit`"
    )]
    World {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// The contract cannot be written into what was compiled: a fault of this binary.
    #[error("the module could not be marked as a handler; please report it")]
    Contract(#[source] anyhow::Error),
    /// A tool was found and did not run.
    #[error("{tool} could not be run")]
    NotRun {
        /// The tool.
        tool: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The module could not be imported; its traceback.
    #[error("it did not become a component; Python says:\n{words}")]
    Python {
        /// What it wrote to standard error.
        words: String,
    },
    /// No event leads to it.
    #[error("it takes no event: {0}")]
    NoRoutes(&'static str),
    /// There is nothing to compile.
    #[error("there is no {kind} file below {folder}")]
    NoSources {
        /// What was looked for.
        kind: &'static str,
        /// Where.
        folder: PathBuf,
    },
    /// cargo did not run.
    #[error("cargo could not be run: install it with Rust, from https://rustup.rs")]
    NoCargo(#[source] io::Error),
    /// The compiler's own messages were shown.
    #[error("it did not compile ({tool}'s exit code {code}); see the messages above")]
    Compile {
        /// Who said so.
        tool: &'static str,
        /// Its exit code; -1 when a signal ended it.
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
    let described = project::read(project)?;
    // Two builds at once would write the same files below `target`. cargo sees to its own.
    let _alone = match described {
        Project::Crate => None,
        Project::TypeScript(_) | Project::Python(_) | Project::C(_) => {
            Some(alone::in_folder(&build_folder(project)?, |waiting| {
                screen::complain(&waiting.to_string());
            })?)
        }
    };
    let (name, component) = match described {
        Project::Crate => rust::component(project, cache)?,
        Project::TypeScript(module) => typescript::component(project, module)?,
        Project::Python(module) => python::component(project, module)?,
        Project::C(described) => c::component(project, described)?,
    };
    let path = put(out, &name, &component)?;
    Ok(Built {
        name,
        path,
        bytes: component.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Where a build that has no tool for it keeps what it makes on the way.
const BUILD_FOLDER: &str = "target/qx";

/// Where a project keeps a copy of the SDK of its own. Without one, the binary's is
/// used.
pub(super) const SDK_FOLDER: &str = "vendor/qx-guest";

/// The section in which the host looks for the events that a component takes.
const ROUTES_SECTION: &str = "qx:routes";

fn build_folder(project: &Path) -> Result<PathBuf, BuildError> {
    let folder = project.join(BUILD_FOLDER);
    fs::create_dir_all(&folder).map_err(failed("making", &folder))?;
    fs::canonicalize(&folder).map_err(failed("finding", &folder))
}

/// The project's own copy of the SDK, known by one of its files, else the binary's,
/// written for this build.
fn sdk(
    project: &Path,
    folder: &Path,
    file: &str,
    of_the_binary: &Dir<'_>,
) -> Result<PathBuf, BuildError> {
    let own = project.join(SDK_FOLDER);
    if own.join(file).is_file() {
        return fs::canonicalize(&own).map_err(failed("finding", &own));
    }
    let sdk = folder.join("qx-guest");
    fs::create_dir_all(&sdk).map_err(failed("making", &sdk))?;
    of_the_binary
        .extract(&sdk)
        .map_err(failed("writing", &sdk))?;
    Ok(sdk)
}

/// A file of the build, written.
fn put_file(path: &Path, text: &str) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("making", folder))?;
    fs::write(path, text).map_err(failed("writing", path))
}

/// Writes into a component which events it takes.
fn with_routes(component: &mut Vec<u8>, routes: &str) {
    let mut section = Vec::new();
    length(&mut section, ROUTES_SECTION.len());
    section.extend(ROUTES_SECTION.bytes());
    section.extend(routes.bytes());
    component.push(0); // A custom section.
    length(component, section.len());
    component.extend(section);
}

/// A number as WebAssembly writes it: seven bits a byte, the lowest first.
fn length(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn encoded(name: &ComponentName, wasm: Vec<u8>) -> Result<Vec<u8>, BuildError> {
    encode::component(wasm).map_err(|source| BuildError::Encode {
        name: name.to_string(),
        source,
    })
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

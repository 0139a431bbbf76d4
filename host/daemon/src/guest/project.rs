//! A handler's project: which language it is in, and what its component is called.
//!
//! A crate says so itself. Projects in other languages say it in `handler.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qx_events::{ComponentName, InvalidComponentName};
use toml_edit::{DocumentMut, Item};

/// The file of a project that is no crate.
pub const FILE_NAME: &str = "handler.toml";

/// What a handler can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust, with the crate `qx-guest`.
    Rust,
    /// TypeScript or JavaScript, on `QuickJS`.
    #[value(name = "ts", alias = "typescript", alias = "js")]
    TypeScript,
    /// Python.
    #[value(name = "py", alias = "python")]
    Python,
    /// C, with `qx.h`.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::TypeScript, Self::Python, Self::C];

    /// The word for it in `handler.toml`, and what people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::C => "c",
        }
    }
}

/// A project, as its own file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    /// A crate: cargo knows the rest.
    Crate,
    /// A module of TypeScript or JavaScript.
    TypeScript(Module),
    /// A module of Python.
    Python(Module),
    /// Sources in C.
    C(Sources),
}

/// A component that is one module, and whatever it imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The component's name.
    pub name: ComponentName,
    /// The module's file, relative to the project.
    pub entry: PathBuf,
    /// A world of its own in the place of the SDK's.
    pub world: Option<OwnWorld>,
}

/// A world that the project brings: for handlers with types of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWorld {
    /// Its name, with its package: `acme:orders/orders`.
    pub name: String,
    /// The folder with its WIT, relative to the project. The contract is at hand.
    pub wit: PathBuf,
}

/// A component that is several sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The component's name.
    pub name: ComponentName,
    /// Files, and folders of files, to be compiled; relative to the project.
    pub sources: Vec<PathBuf>,
    /// What the compiler is given beside them.
    pub flags: Vec<String>,
    /// A world of its own in the place of the SDK's.
    pub world: Option<OwnWorld>,
}

/// The folder is no project, or its file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Neither a crate nor described.
    #[error(
        "{0} has neither Cargo.toml nor {FILE_NAME}: name the folder of a handler, or make one with \
            `qx-host new <name>`"
    )]
    None(PathBuf),
    /// The file could not be read.
    #[error("reading {path} did not work")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{FILE_NAME} is no TOML")]
    Syntax(#[source] toml_edit::TomlError),
    /// A key is missing, unknown or of another type.
    #[error("{FILE_NAME}: {0}")]
    Key(String),
    /// The name cannot be a component's.
    #[error("{FILE_NAME}: name")]
    Name(#[source] InvalidComponentName),
}

/// Whether a folder holds a handler, as far as one can tell at a glance.
pub fn is_handler(dir: &Path) -> bool {
    let is_crate = |text: String| text.contains("cdylib");
    dir.join(FILE_NAME).is_file() || fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(is_crate)
}

/// The handlers in a folder: the folder itself, or those right below it.
pub fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if is_handler(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_handler(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a build reads, for whoever watches it change.
pub fn sources(dir: &Path) -> Vec<PathBuf> {
    let usual = [
        "src",
        "wit",
        "Cargo.toml",
        "build.rs",
        "package.json",
        FILE_NAME,
    ];
    let mut found: BTreeSet<PathBuf> = usual.map(|name| dir.join(name)).into();
    // Those that the project's file names. One that is wrong is told by the build.
    match read(dir) {
        Ok(Project::TypeScript(module) | Project::Python(module)) => {
            found.extend(module.entry.parent().map(|folder| dir.join(folder)));
            found.extend(module.world.map(|own| dir.join(own.wit)));
        }
        Ok(Project::C(described)) => {
            found.extend(described.sources.iter().map(|path| dir.join(path)));
            found.extend(described.world.map(|own| dir.join(own.wit)));
        }
        Ok(Project::Crate) | Err(_) => {}
    }
    found.into_iter().collect()
}

/// Reads what the project in `dir` is.
pub fn read(dir: &Path) -> Result<Project, ProjectError> {
    let path = dir.join(FILE_NAME);
    if !path.is_file() {
        if dir.join("Cargo.toml").is_file() {
            return Ok(Project::Crate);
        }
        return Err(ProjectError::None(dir.to_owned()));
    }
    let text = fs::read_to_string(&path).map_err(|source| ProjectError::Read { path, source })?;
    parse(&text)
}

/// Keys of the file that are for every language.
const SHARED: [&str; 2] = ["name", "language"];

fn parse(text: &str) -> Result<Project, ProjectError> {
    let document: DocumentMut = text.parse().map_err(ProjectError::Syntax)?;
    let name = required(&document, "name")?;
    let name = ComponentName::parse(name).map_err(ProjectError::Name)?;
    let language = required(&document, "language")?;
    match Language::ALL
        .into_iter()
        .find(|own| own.as_str() == language)
    {
        Some(Language::TypeScript) => {
            only(&document, &["entry", "world", "wit"])?;
            let entry = entry(&document, "src/handler.ts")?;
            let world = own_world(&document)?;
            Ok(Project::TypeScript(Module { name, entry, world }))
        }
        Some(Language::Python) => {
            only(&document, &["entry", "world", "wit"])?;
            let entry = entry(&document, "src/handler.py")?;
            let world = own_world(&document)?;
            Ok(Project::Python(Module { name, entry, world }))
        }
        Some(Language::C) => {
            only(&document, &["sources", "flags", "world", "wit"])?;
            let sources = texts(&document, "sources")?.unwrap_or_else(|| vec!["src".to_owned()]);
            Ok(Project::C(Sources {
                name,
                sources: sources.into_iter().map(PathBuf::from).collect(),
                flags: texts(&document, "flags")?.unwrap_or_default(),
                world: own_world(&document)?,
            }))
        }
        Some(Language::Rust) => Err(ProjectError::Key(
            "a handler in Rust is a crate: it has a Cargo.toml instead".to_owned(),
        )),
        None => Err(ProjectError::Key(format!(
            "language: `{language}` is unknown; one of {}",
            described_languages()
        ))),
    }
}

fn described_languages() -> String {
    let others = Language::ALL
        .into_iter()
        .filter(|own| *own != Language::Rust);
    let quoted: Vec<String> = others.map(|own| format!("\"{}\"", own.as_str())).collect();
    quoted.join(", ")
}

fn required<'a>(document: &'a DocumentMut, key: &str) -> Result<&'a str, ProjectError> {
    match document.get(key) {
        None => Err(ProjectError::Key(format!("{key}: missing"))),
        Some(item) => item
            .as_str()
            .ok_or_else(|| ProjectError::Key(format!("{key}: expected text"))),
    }
}

/// The module's file, or where it usually lies.
fn entry(document: &DocumentMut, usual: &str) -> Result<PathBuf, ProjectError> {
    if document.contains_key("entry") {
        return required(document, "entry").map(PathBuf::from);
    }
    Ok(PathBuf::from(usual))
}

/// The world that the project brings, if it does.
fn own_world(document: &DocumentMut) -> Result<Option<OwnWorld>, ProjectError> {
    if !document.contains_key("world") {
        if document.contains_key("wit") {
            let text = "wit: says where a world stands; add world = \"package:name/world\"";
            return Err(ProjectError::Key(text.to_owned()));
        }
        return Ok(None);
    }
    let name = required(document, "world")?.to_owned();
    let wit = if document.contains_key("wit") {
        required(document, "wit")?
    } else {
        "wit"
    };
    Ok(Some(OwnWorld {
        name,
        wit: PathBuf::from(wit),
    }))
}

fn texts(document: &DocumentMut, key: &str) -> Result<Option<Vec<String>>, ProjectError> {
    let wrong = || ProjectError::Key(format!("{key}: expected a list of texts"));
    let Some(item) = document.get(key) else {
        return Ok(None);
    };
    let list = item.as_array().ok_or_else(wrong)?;
    let text = |value: &toml_edit::Value| value.as_str().map(ToOwned::to_owned);
    let texts: Option<Vec<String>> = list.iter().map(text).collect();
    texts.map(Some).ok_or_else(wrong)
}

fn only(document: &DocumentMut, keys: &[&str]) -> Result<(), ProjectError> {
    let known = |key: &str| SHARED.contains(&key) || keys.contains(&key);
    let all: Vec<&str> = SHARED.iter().chain(keys).copied().collect();
    let mut unknown = document
        .iter()
        .filter(|(key, _): &(&str, &Item)| !known(key));
    match unknown.next() {
        None => Ok(()),
        Some((key, _)) => Err(ProjectError::Key(format!(
            "{key}: unknown key; known are {}",
            all.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests;

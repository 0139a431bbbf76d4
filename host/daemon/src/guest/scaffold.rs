//! The project of a new handler: it builds, passes its test, and brings the SDK
//! along, so that it needs nothing of this repository.
//!
//! Never: writes into a folder that has something in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, DirEntry, include_dir};
use qx_events::{ComponentName, InvalidComponentName};

use super::compile::{C_SDK, PYTHON_SDK, SDK_FOLDER, TYPESCRIPT_SDK};
use super::project::Language;

/// The SDK for Rust as it was when this binary was compiled.
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk");

/// A project's own files; `{name}` stands for its name, `{crate}` for the same
/// with underscores.
type Files = &'static [(&'static str, &'static str)];

const RUST_FILES: Files = &[
    ("Cargo.toml", include_str!("scaffold/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("scaffold/rust/lib.rs.in")),
    ("README.md", include_str!("scaffold/rust/README.md.in")),
    (".gitignore", include_str!("scaffold/gitignore.in")),
];

const C_FILES: Files = &[
    ("handler.toml", include_str!("scaffold/c/handler.toml.in")),
    ("src/handler.c", include_str!("scaffold/c/handler.c.in")),
    ("README.md", include_str!("scaffold/c/README.md.in")),
    (
        "compile_flags.txt",
        include_str!("scaffold/c/compile_flags.txt.in"),
    ),
    (".gitignore", include_str!("scaffold/gitignore.in")),
];

const TYPESCRIPT_FILES: Files = &[
    (
        "handler.toml",
        include_str!("scaffold/typescript/handler.toml.in"),
    ),
    (
        "src/handler.ts",
        include_str!("scaffold/typescript/handler.ts.in"),
    ),
    (
        "test/handler.test.mjs",
        include_str!("scaffold/typescript/handler.test.mjs.in"),
    ),
    (
        "package.json",
        include_str!("scaffold/typescript/package.json.in"),
    ),
    (
        "tsconfig.json",
        include_str!("scaffold/typescript/tsconfig.json.in"),
    ),
    (
        "README.md",
        include_str!("scaffold/typescript/README.md.in"),
    ),
    (".gitignore", include_str!("scaffold/gitignore.in")),
];

const PYTHON_FILES: Files = &[
    (
        "handler.toml",
        include_str!("scaffold/python/handler.toml.in"),
    ),
    (
        "src/handler.py",
        include_str!("scaffold/python/handler.py.in"),
    ),
    (
        "test_handler.py",
        include_str!("scaffold/python/test_handler.py.in"),
    ),
    ("README.md", include_str!("scaffold/python/README.md.in")),
    (".gitignore", include_str!("scaffold/gitignore.in")),
];

/// A scenario for `qx-host test`: the handlers of all languages do the same.
const CASES: Files = &[(
    "cases/order-counted.json",
    include_str!("scaffold/cases/order-counted.json.in"),
)];

/// What a new project is made of.
struct Template {
    files: Files,
    sdk: &'static Dir<'static>,
}

const fn template(language: Language) -> Template {
    match language {
        Language::Rust => Template {
            files: RUST_FILES,
            sdk: &RUST_SDK,
        },
        Language::TypeScript => Template {
            files: TYPESCRIPT_FILES,
            sdk: &TYPESCRIPT_SDK,
        },
        Language::Python => Template {
            files: PYTHON_FILES,
            sdk: &PYTHON_SDK,
        },
        Language::C => Template {
            files: C_FILES,
            sdk: &C_SDK,
        },
    }
}

/// The licence that the SDK is under.
const LICENCES: [(&str, &str); 2] = [
    ("LICENSE-MIT", include_str!("../../../../LICENSE-MIT")),
    ("LICENSE-APACHE", include_str!("../../../../LICENSE-APACHE")),
];

/// What a build leaves in the SDK's folder, and the SDKs of other languages.
const NOT_THE_SDK: [&str; 6] = [
    "target",
    "Cargo.lock",
    "c",
    "python",
    "typescript",
    "__pycache__",
];

/// Names that cargo or the compiler takes to be something else.
const RESERVED: [&str; 52] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "qx-guest",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "use",
    "yield",
];

/// There is no new project.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Not a component's name.
    #[error(transparent)]
    Name(#[from] InvalidComponentName),
    /// A component's name, but not a crate's.
    #[error(
        "`{0}` cannot be the name of a crate: begin with a letter, and take no word of Rust \
            or of its libraries; `{0}-handler` would do"
    )]
    CrateName(String),
    /// Something is there.
    #[error(
        "{0} is there already and not empty: choose another name, or another folder with --path"
    )]
    NotEmpty(PathBuf),
    /// A file could not be written.
    #[error("writing {path} did not work: check the folder's rights and the disk's space")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes the project of a handler called `name` into `dir`, which is made.
pub fn new(name: &str, language: Language, dir: &Path) -> Result<ComponentName, ScaffoldError> {
    let name = match language {
        Language::Rust => check_name(name)?,
        Language::TypeScript | Language::Python | Language::C => ComponentName::parse(name)?,
    };
    if dir.exists() && !fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(ScaffoldError::NotEmpty(dir.to_owned()));
    }
    let crate_name = name.as_str().replace('-', "_");
    let Template { files, sdk } = template(language);
    for (path, text) in files.iter().chain(CASES) {
        let text = text.replace("{name}", name.as_str());
        write(
            &dir.join(path),
            text.replace("{crate}", &crate_name).as_bytes(),
        )?;
    }
    let vendored = dir.join(SDK_FOLDER);
    write_all(sdk, &vendored)?;
    for (path, text) in LICENCES {
        write(&vendored.join(path), text.as_bytes())?;
    }
    Ok(name)
}

fn check_name(raw: &str) -> Result<ComponentName, ScaffoldError> {
    let name = ComponentName::parse(raw)?;
    if raw.starts_with(|c: char| c.is_ascii_digit()) || RESERVED.contains(&raw) {
        return Err(ScaffoldError::CrateName(raw.to_owned()));
    }
    Ok(name)
}

fn write_all(folder: &Dir<'_>, to: &Path) -> Result<(), ScaffoldError> {
    for entry in folder.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        if NOT_THE_SDK.iter().any(|other| name == *other) {
            continue;
        }
        match entry {
            DirEntry::Dir(folder) => write_all(folder, &to.join(name))?,
            DirEntry::File(file) => write(&to.join(name), file.contents())?,
        }
    }
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<(), ScaffoldError> {
    let parent = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, contents))
        .map_err(|source| ScaffoldError::Write {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;

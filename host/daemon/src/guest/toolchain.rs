//! Finds what can compile Rust to WebAssembly on this machine, in the order of
//! `tools/guest-toolchain.sh`, and says what would help when nothing can.
//!
//! Looking changes nothing: only [`install`] does, and only when it was asked for.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// The rustup toolchain that `tools/guest-toolchain.sh` makes where rustup has no
/// target to add.
const LINKED: &str = "wasm-guest";

/// The script, so that the binary alone can run it.
const INSTALL_SCRIPT: &str = include_str!("../../../../tools/guest-toolchain.sh");

/// What the script calls itself when it says what to run again.
const INSTALL_COMMAND: &str = "qx-host build --install-toolchain";

/// What an outer cargo, or a shell, may have left in the environment and would
/// steer a build for another machine.
const STEERING: [&str; 7] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
];

/// A target that a handler can be compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// No import but the contract's: what a handler should be.
    Unknown,
    /// Brings WASI's imports along; a last resort.
    Wasip2,
    /// Its output needs an adapter that this host does not bring.
    Wasip1,
}

impl Target {
    const ALL: [Self; 3] = [Self::Unknown, Self::Wasip2, Self::Wasip1];

    /// Its name for cargo.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::Wasip2 => "wasm32-wasip2",
            Self::Wasip1 => "wasm32-wasip1",
        }
    }
}

/// Which of the machine's toolchains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    /// The one that is active in the project's folder.
    Active,
    /// The one that the script made.
    Linked,
}

/// What compiles handlers here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    channel: Channel,
    rustc: String,
    target: Target,
}

impl Toolchain {
    /// The target it has.
    pub fn target(&self) -> Target {
        self.target
    }

    /// A command of this toolchain, to be run in a folder.
    pub(super) fn command(&self, program: &str, folder: &Path) -> Command {
        command(self.channel, program, folder)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self.channel {
            Channel::Active => "the active toolchain",
            Channel::Linked => "the toolchain wasm-guest",
        };
        write!(f, "{} for {} ({which})", self.rustc, self.target.as_str())
    }
}

/// Nothing here compiles handlers, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToolchain {
    /// Not even Rust.
    #[error(
        "there is no Rust here: install it from https://rustup.rs, then run\n    rustup \
            target add wasm32-unknown-unknown"
    )]
    NoRust,
    /// Rust, but no target that serves.
    #[error(
        "{rustc} has no target for handlers{wasip1}; one of these helps:\n    rustup target \
            add wasm32-unknown-unknown\n    {INSTALL_COMMAND}    (tries that, and on Debian \
            builds the target from its packages; in a checkout: tools/guest-toolchain.sh)"
    )]
    NoTarget {
        /// The active toolchain's compiler.
        rustc: String,
        /// A remark about a target that is there and does not serve.
        wasip1: &'static str,
    },
}

/// The script did not leave a toolchain behind.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It did not run.
    #[error(
        "the script could not be run: install bash, or run tools/guest-toolchain.sh of the source by hand"
    )]
    NotRun(#[source] io::Error),
    /// It ran, and said why it failed.
    #[error("no toolchain was installed; the lines above say why, and which commands would help")]
    Failed,
}

/// What one toolchain turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Absent,
    Present { rustc: String, targets: Vec<Target> },
}

/// What compiles handlers in the working directory.
pub fn find() -> Result<Toolchain, NoToolchain> {
    find_in(Path::new("."))
}

/// What compiles handlers in a project's folder, which may name a toolchain.
pub fn find_in(folder: &Path) -> Result<Toolchain, NoToolchain> {
    let active = probe(Channel::Active, folder);
    if let Some(found) = chosen(&[(Channel::Active, &active)], Target::Unknown) {
        return Ok(found); // The usual case: no need to look further.
    }
    decide(&active, &probe(Channel::Linked, folder))
}

/// Runs the script that finds, adds or builds a toolchain. Its progress goes to
/// the terminal.
pub fn install() -> Result<(), InstallError> {
    let status = Command::new("bash")
        .args(["-c", INSTALL_SCRIPT, INSTALL_COMMAND])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(InstallError::NotRun)?;
    if status.success() {
        Ok(())
    } else {
        Err(InstallError::Failed)
    }
}

/// The rule: the best target first, and of two toolchains that have it the
/// active one.
fn decide(active: &Seen, linked: &Seen) -> Result<Toolchain, NoToolchain> {
    let both = [(Channel::Active, active), (Channel::Linked, linked)];
    let serving = [Target::Unknown, Target::Wasip2];
    let found = serving.into_iter().find_map(|target| chosen(&both, target));
    found.ok_or_else(|| match active {
        Seen::Absent => NoToolchain::NoRust,
        Seen::Present { rustc, targets } => NoToolchain::NoTarget {
            rustc: rustc.clone(),
            wasip1: if targets.contains(&Target::Wasip1) {
                " (wasm32-wasip1 is there, but its modules need an adapter that brings in \
                    imports no handler uses)"
            } else {
                ""
            },
        },
    })
}

fn chosen(toolchains: &[(Channel, &Seen)], target: Target) -> Option<Toolchain> {
    toolchains.iter().find_map(|(channel, seen)| match seen {
        Seen::Present { rustc, targets } if targets.contains(&target) => Some(Toolchain {
            channel: *channel,
            rustc: rustc.clone(),
            target,
        }),
        Seen::Present { .. } | Seen::Absent => None,
    })
}

fn command(channel: Channel, program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for name in STEERING {
        command.env_remove(name);
    }
    match channel {
        Channel::Active => {}
        Channel::Linked => {
            command.env("RUSTUP_TOOLCHAIN", LINKED);
        }
    }
    command
}

/// Asks a toolchain for its version and for the targets whose std is there.
fn probe(channel: Channel, folder: &Path) -> Seen {
    let answer = |args: &[&str]| {
        let mut rustc = command(channel, "rustc", folder);
        // A look must not make rustup download anything.
        rustc.args(args).env("RUSTUP_AUTO_INSTALL", "0");
        let output = rustc.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(rustc) = answer(&["--version"]) else {
        return Seen::Absent;
    };
    let has_std = |target: &Target| {
        let args = ["--print", "target-libdir", "--target", target.as_str()];
        answer(&args).is_some_and(|folder| holds_std(Path::new(&folder)))
    };
    let targets = Target::ALL.into_iter().filter(has_std).collect();
    Seen::Present { rustc, targets }
}

fn holds_std(folder: &Path) -> bool {
    let is_std = |entry: io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(is_std))
}

#[cfg(test)]
mod tests;

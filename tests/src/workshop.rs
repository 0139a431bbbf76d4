//! A copy of the sources in which something is made wrong on purpose, and the test
//! that has to notice.
//!
//! The copy lies in `target/mutants` and shares the target folder, so that nothing
//! is compiled twice that was not touched. Never: a change in the sources themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::repository;

/// Patience with a test that was made wrong: it may wait for ever.
const PATIENCE: Duration = Duration::from_mins(2);

/// Folders that are no sources.
const NOT_COPIED: [&str; 5] = ["target", ".git", ".tools", ".qx", "node_modules"];

/// A test that must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Killer {
    /// Package and test target.
    pub target: (&'static str, &'static str),
    /// Part of its name that no other has.
    pub test: &'static str,
}

/// Something made wrong: a text in a file, and what stands in its place.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// What is wrong with it, in words.
    pub name: &'static str,
    /// The file.
    pub file: &'static str,
    /// Stands in it exactly once.
    pub from: &'static str,
    /// What it is replaced by.
    pub to: &'static str,
    /// What must notice.
    pub killer: Killer,
}

/// What became of a run.
#[derive(Debug)]
pub enum Ran {
    /// It did not compile; with the compiler's words.
    NotCompiled(String),
    /// The test, or one of them, failed or waited for ever.
    Failed,
    /// So many tests passed.
    Passed(usize),
}

/// The copy.
pub struct Workshop {
    tree: PathBuf,
}

impl Workshop {
    /// Brings the copy up to date. What did not change is not touched: cargo goes by
    /// the time of a file.
    pub fn open() -> Self {
        let tree = repository().join("target/mutants");
        update(&repository(), &tree);
        let tools = repository().join(".tools");
        if tools.exists() && !tree.join(".tools").exists() {
            let link = std::os::unix::fs::symlink(tools, tree.join(".tools"));
            link.expect("a link");
        }
        Self { tree }
    }

    /// Makes it wrong, runs the killer, and puts it right again.
    pub async fn try_mutant(&self, mutant: &Mutant) -> Result<Ran, String> {
        let path = self.tree.join(mutant.file);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", mutant.file))?;
        let times = text.matches(mutant.from).count();
        if times != 1 {
            return Err(format!(
                "the text stands {times} times in {}; write the mutant for the code as it is now",
                mutant.file
            ));
        }
        fs::write(&path, text.replace(mutant.from, mutant.to)).expect("a file");
        let ran = self.run(mutant.killer.target, &[mutant.killer.test]).await;
        fs::write(&path, text).expect("a file");
        Ok(ran)
    }

    /// Runs tests of the copy.
    pub async fn run(&self, (package, target): (&str, &str), tests: &[&str]) -> Ran {
        let built = self.build(target).output().await.expect("cargo runs");
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr).into_owned();
            return Ran::NotCompiled(format!("{package}: {said}"));
        }
        let (binary, folder) = artifact(&built.stdout, target).expect("cargo names the binary");
        let mut running = tokio::process::Command::new(binary);
        running
            .args(tests)
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match tokio::time::timeout(PATIENCE, running.output()).await {
            Ok(ran) => {
                let ran = ran.expect("a test runs");
                let said = String::from_utf8_lossy(&ran.stdout).into_owned();
                if ran.status.success() {
                    Ran::Passed(passed(&said))
                } else {
                    Ran::Failed
                }
            }
            Err(_elapsed) => Ran::Failed,
        }
    }

    /// With the features of the whole workspace: then its dependencies are those that
    /// `make test` has compiled. What is compiled again for each mutant is that faster without
    /// lines, and from what was there before.
    fn build(&self, target: &str) -> tokio::process::Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = tokio::process::Command::new(cargo);
        command
            .args(["test", "--offline", "--workspace", "--test", target])
            .args(["--no-run", "--message-format", "json-render-diagnostics"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", repository().join("target"))
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// The binary of the tests, and the folder of its package, by cargo's words.
fn artifact(said: &[u8], target: &str) -> Option<(PathBuf, PathBuf)> {
    let messages = serde_json::Deserializer::from_slice(said).into_iter::<serde_json::Value>();
    let mut artifacts = messages
        .map_while(Result::ok)
        .filter(|message| message["target"]["name"] == target);
    let artifact = artifacts.find(|message| message["executable"].is_string())?;
    let binary = artifact["executable"].as_str()?.into();
    let manifest = Path::new(artifact["manifest_path"].as_str()?);
    Some((binary, manifest.parent()?.to_owned()))
}

/// How many tests passed, by cargo's words.
fn passed(said: &str) -> usize {
    let counts = said.split("test result: ok. ").skip(1);
    let count = |text: &str| {
        text.split(' ')
            .next()
            .and_then(|word| word.parse::<usize>().ok())
    };
    counts.filter_map(count).sum()
}

/// Copies what differs, and removes what is gone.
fn update(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    let mut names = Vec::new();
    for entry in fs::read_dir(from).expect("a folder of sources") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|not| name == *not) {
            continue;
        }
        let (source, copy) = (entry.path(), to.join(&name));
        if source.is_dir() {
            update(&source, &copy);
        } else {
            let bytes = fs::read(&source).expect("a source");
            if fs::read(&copy).ok().as_deref() != Some(&bytes) {
                fs::write(&copy, bytes).expect("a copy");
            }
        }
        names.push(name);
    }
    for entry in fs::read_dir(to).expect("a folder of copies") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if names.contains(&name) || NOT_COPIED.iter().any(|not| name == *not) {
            continue;
        }
        let gone = if entry.path().is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        gone.expect("what is gone can be removed");
    }
}

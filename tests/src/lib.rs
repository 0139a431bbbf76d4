//! The harness of the acceptance tests: real servers, the real binary, real
//! components, in a temporary folder on ports of their own.
//!
//! Facts, not time: a test waits for what must become true, with one deadline,
//! and says on failure what it saw instead. Nothing is skipped: what is missing
//! is named with the line that installs it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking"
)]

pub mod account;
pub mod checker;
pub mod collector;
mod database;
mod gather;
pub mod history;
mod host;
pub mod load;
pub mod proxy;
pub mod soak;
pub mod trial;
pub mod web;
pub mod workshop;
mod world;

pub use database::Database;
pub use host::{Host, Ran};
pub use world::{Way, World, free_port};

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("tests lie in the repository")
        .to_owned()
}

/// The binary under test: built by `make test`, or by `cargo build -p qx-host`.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let binary = profile.join("qx-host");
    assert!(
        binary.is_file(),
        "{} is not there: cargo build -p qx-host",
        binary.display()
    );
    binary
}

/// An example's component: built by `make components`.
pub fn component(name: &str) -> PathBuf {
    let path = repository()
        .join("target/components")
        .join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is not there: make components",
        path.display()
    );
    path
}

/// An example's component as another build of it: the same in everything but its
/// bytes, and so its digest.
pub fn rebuilt(name: &str, mark: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(component(name)).expect("a component");
    let short = |length: usize| u8::try_from(length).ok().filter(|length| *length < 0x80);
    let length = short(mark.len() + 2).expect("a mark of less than 126 bytes");
    // A custom section: its id, its length, and a name of one letter.
    bytes.extend([0, length, 1, b'm']);
    bytes.extend(mark.as_bytes());
    bytes
}

/// What the host lists as a build's digest.
pub fn digest(bytes: &[u8]) -> String {
    qx_events::Digest::new(Sha256::digest(bytes).into()).to_string()
}

/// The recorded webhooks, as `(event name, payload)`.
pub fn webhooks() -> Vec<(String, serde_json::Value)> {
    let path = webhooks_file();
    let text = std::fs::read_to_string(&path).expect("the recorded webhooks");
    let line = |line: &str| -> (String, serde_json::Value) {
        let mut value: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let name = value["event_name"].as_str().expect("a name").to_owned();
        (name, value["payload"].take())
    };
    text.lines().map(line).collect()
}

/// Where they lie.
pub fn webhooks_file() -> PathBuf {
    repository().join("examples/github/webhooks.jsonl")
}

//! What is given to the doors of the host by strangers, as functions of any bytes.
//!
//! A target reads the bytes through one door and panics if what comes out is not as it
//! must be. Two drive them: `tests/short.rs` with bytes made from the corpus by dice, in
//! every `make test`; and a fuzzer that follows the branches (`make fuzz`), by hand. No
//! target opens a file or a connection, or reads a clock.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a target tells what it found by panicking"
)]

mod component;
mod host;
mod settings;
mod signing;
mod wire;

pub use component::{component, names};
pub use host::imports;
pub use settings::{config, sidecar};
pub use signing::{keys, signature};
pub use wire::{envelope, headers};

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the name of its folder in the corpus.
    pub name: &'static str,
    /// Its function.
    pub run: fn(&[u8]),
    /// How often the short run calls it: what compiles, seldom.
    pub rounds: u32,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    target("envelope", envelope, 4_000),
    target("headers", headers, 4_000),
    target("config", config, 1_000),
    target("sidecar", sidecar, 1_000),
    target("signature", signature, 1_000),
    target("keys", keys, 2_000),
    target("names", names, 2_000),
    target("component", component, 40),
    target("imports", imports, 400),
];

const fn target(name: &'static str, run: fn(&[u8]), rounds: u32) -> Target {
    Target { name, run, rounds }
}

/// Text that is printed must not be able to write to a terminal.
fn printable(text: &str) {
    let escapes = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(
        !text.chars().any(escapes),
        "a control character in {text:?}"
    );
}

//! A short run of every target: what lies in the corpus, and what dice make of it. With
//! a seed, so that what is found is found again; no coverage is followed here, that is
//! what `make fuzz` is for.
#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use qx_fuzz::{TARGETS, Target};

/// Of the dice, unless `QX_SEED` says another one.
const SEED: u64 = 20_261_128;

/// Longest input that is made, in bytes.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// Pieces that mean something at one of the doors.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b"\\u0000",
    b"{",
    b"[",
    b"null",
    b"\n",
    b"\t",
    b"\0",
    b"\x1b[31m",
    b"\xff\xfe",
    b"${env:PW}",
    b"file:",
    b"= \"\"",
    b"99999999999999999999",
    b"..",
    "\u{202e}\u{fffd}".as_bytes(),
];

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name)
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = corpus(target.name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Another input, made of one or two.
fn changed(seeds: &[Vec<u8>], dice: &mut fastrand::Rng) -> Vec<u8> {
    let pick = |dice: &mut fastrand::Rng| seeds[dice.usize(..seeds.len())].clone();
    let mut bytes = pick(dice);
    for _ in 0..dice.usize(1..6) {
        let at = dice.usize(..=bytes.len());
        let to = (at + dice.usize(..16)).min(bytes.len());
        match dice.u8(..8) {
            0 => drop(bytes.drain(at..to)),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, bytes[at..to].to_vec().repeat(dice.usize(1..20)))),
            3 => drop(bytes.splice(at..to, WORDS[dice.usize(..WORDS.len())].iter().copied())),
            4 => {
                let other = pick(dice);
                let from = dice.usize(..=other.len());
                bytes
                    .splice(at.., other[from..].iter().copied())
                    .for_each(drop);
            }
            _ if at == bytes.len() => bytes.push(dice.u8(..)),
            5 => bytes[at] = dice.u8(..),
            6 => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes[at] ^= 1 << dice.u8(..8),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

/// Gives one input to a target; of one that makes it panic, says where it lies.
fn give(target: &Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let name = format!("qx-fuzz-{}-found", target.name);
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, input).unwrap();
        panic!(
            "{} panics with {what}: it is kept in {}",
            target.name,
            path.display()
        );
    }
}

fn short(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seed = std::env::var("QX_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut dice = fastrand::Rng::with_seed(seed.unwrap_or(SEED));
    let seeds = seeds(target);
    give(target, b"", "nothing");
    for (at, seed) in seeds.iter().enumerate() {
        give(target, seed, &format!("file {at} of its corpus"));
    }
    for round in 0..target.rounds {
        give(
            target,
            &changed(&seeds, &mut dice),
            &format!("what round {round} made"),
        );
    }
}

macro_rules! short {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { short($name); })*

        #[test]
        fn every_target_has_its_short_run() {
            let run = [$($name),*];
            assert_eq!(TARGETS.map(|target| target.name), run);
        }
    };
}

short! {
    whatever_a_message_holds_is_an_envelope_or_an_error: "envelope",
    whatever_the_headers_of_a_message_hold_makes_no_panic: "headers",
    whatever_a_hosts_file_holds_is_a_configuration_or_faults_without_secrets: "config",
    whatever_a_components_file_holds_never_widens_what_is_granted: "sidecar",
    whatever_a_signature_holds_is_refused_when_nobody_signed: "signature",
    whatever_a_key_holds_makes_no_panic: "keys",
    whatever_a_component_holds_is_read_or_refused: "names",
    whatever_is_loaded_is_called_or_refused: "component",
    whatever_a_guest_gives_to_the_host_ends_in_an_outcome: "imports",
}

/// Components are bytes, and reviewed as text: `QX_BLESS=1 cargo test -p qx-fuzz corpus`
/// makes them of it.
#[test]
fn the_corpus_has_components_of_every_kind() {
    use qx_sandbox::testing::{component, ping};
    let routes = r#"(@custom "qx:routes" "on-ping\tgithub.star.*\t1,2\non-ping\ta\t*\n")"#;
    let interface = "include qx:events/imports@1.0.0; export qx:events/handler@1.0.0;";
    let handle =
        r#"(func (export "qx:events/handler@1.0.0#handle") (param i32) (result i32) (call $ok))"#;
    let made = [
        ("least", ping("(call $ok)", "")),
        ("routed", ping("(call $ok)", routes)),
        (
            "speaks",
            ping(
                "(call $say (i32.const 4096) (i32.const 2)) (call $ok)",
                r#"(data (i32.const 4096) "hi")"#,
            ),
        ),
        ("interface", component(interface, handle)),
        (
            "nested",
            wat::parse_str("(component (component (core module (memory 1))) (core module))")
                .unwrap(),
        ),
    ];
    for (name, bytes) in made {
        for target in ["names", "component"] {
            let path = corpus(target).join(name);
            if std::env::var_os("QX_BLESS").is_some() {
                std::fs::create_dir_all(corpus(target)).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            assert!(path.is_file(), "{}: bless it", path.display());
        }
    }
}

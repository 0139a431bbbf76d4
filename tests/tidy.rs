//! Keeps the house as its README says it is: the arrows between crates, the
//! headers, the sizes, the crash windows, the words.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a source file, tests apart. People admire half of it.
const LINES_MAX: usize = 450;

/// Words that stand for nothing in particular, or for something that has another
/// name here.
const WORDS_NOT_USED: [&str; 5] = ["manager", "processor", "utils", "common", "helper"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file that is ours, tests included.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["host", "guest-sdk", "tests", "examples", "bench", "fuzz"]
        .map(|name| root().join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "vendor" {
                folders.push(path);
            } else if is_rust(&path) {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found.sort();
    found
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "rs")
}

/// The rows of a table of `host/README.md`, as cells without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = read(&root().join("host/README.md"));
    let after = readme
        .split(heading)
        .nth(1)
        .unwrap_or_else(|| panic!("no table {heading}"));
    after
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

#[test]
fn crates_use_each_other_as_the_readme_says() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !package["manifest_path"]
            .as_str()
            .unwrap()
            .contains("/host/")
        {
            continue;
        }
        let uses: BTreeSet<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("qx-"))
            .map(ToOwned::to_owned)
            .collect();
        found.insert(name.to_owned(), uses);
    }
    let said: BTreeMap<String, BTreeSet<String>> = table("| crate | folder")
        .into_iter()
        .map(|row| {
            let uses = row[3].split(", ").filter(|name| !name.is_empty());
            (row[0].clone(), uses.map(ToOwned::to_owned).collect())
        })
        .collect();
    assert_eq!(found, said, "left: cargo metadata, right: host/README.md");
}

#[test]
fn the_readme_names_files_that_exist() {
    for row in table("| | file |") {
        for word in row[1]
            .split([' ', ',', ':'])
            .filter(|word| is_rust(Path::new(word)))
        {
            assert!(
                root().join("host").join(word).is_file(),
                "host/README.md: {word}"
            );
        }
    }
}

#[test]
fn every_file_begins_with_a_header() {
    let without: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !read(path).starts_with("//!"))
        .collect();
    assert!(without.is_empty(), "no `//!` at the top: {without:#?}");
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_go() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX}: {long:#?}");
}

#[test]
fn every_crash_window_is_in_the_readme_and_has_a_test() {
    let said: BTreeSet<String> = table("| window | between")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let mut found = BTreeSet::new();
    for path in sources().iter().filter(|path| !path.ends_with("tidy.rs")) {
        for line in read(path).lines() {
            if let Some(rest) = line.split("// CRASH WINDOW ").nth(1) {
                found.insert(rest.split([':', ' ']).next().unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, said, "left: the sources, right: host/README.md");
    let tests = read(&root().join("tests/crash.rs"));
    for window in said {
        let name = window.replace('-', "_");
        assert!(
            tests.contains(&name),
            "tests/crash.rs has no test named for {window}"
        );
    }
}

/// Suites whose every test is about a fault.
const FAULT_SUITES: [&str; 10] = [
    "amnesia", "brokers", "crash", "mutants", "paused", "relays", "soak", "swaps", "upgrade",
    "wires",
];

/// The tables of the page on promises: the cells of each line, and the tests in it.
fn promises() -> Vec<(Vec<String>, Vec<String>)> {
    let page = read(&root().join("docs/promises.md"));
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| what would");
    let rows = page
        .lines()
        .filter(is_row)
        .filter(|line| !line.starts_with("| fault |"));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|').map(str::trim);
        let cells: Vec<String> = cells.map(ToOwned::to_owned).collect();
        let tests = cells.last().map_or("", String::as_str).split('`');
        let names = tests.skip(1).step_by(2).map(ToOwned::to_owned).collect();
        (cells, names)
    })
    .collect()
}

#[test]
fn every_line_of_the_promises_names_promises_that_are_made_and_tests_that_exist() {
    let code: String = sources().iter().map(|path| read(path)).collect();
    let made: BTreeSet<String> = table("| | promise | by |")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let rows = promises();
    assert!(rows.len() > 40, "the page was not read");
    for (cells, names) in &rows {
        assert!(!names.is_empty(), "docs/promises.md: no test for {cells:?}");
        for name in names {
            let defined = [format!("fn {name}("), format!("{name}: \"")];
            let found = defined.iter().any(|text| code.contains(text.as_str()));
            assert!(
                found,
                "docs/promises.md names the test {name}, which is not there"
            );
        }
        // Of the table about the tests themselves there are two cells only.
        let promised = if cells.len() == 3 {
            cells[1].as_str()
        } else {
            ""
        };
        let words = promised.split(|c: char| !c.is_ascii_alphanumeric());
        let is_promise = |word: &&str| word.len() == 2 && word.starts_with('I');
        for promise in words.filter(is_promise) {
            assert!(
                made.contains(promise),
                "docs/promises.md: no promise {promise}"
            );
        }
    }
}

#[test]
fn every_test_of_a_fault_is_on_the_page_of_the_promises() {
    let named: BTreeSet<String> = promises()
        .into_iter()
        .flat_map(|(_, names)| names)
        .collect();
    for suite in FAULT_SUITES {
        let text = read(&root().join(format!("tests/{suite}.rs")));
        let mut tests = 0;
        let mut lines = text.lines().map(str::trim_start);
        while lines.any(|line| line.starts_with("#[tokio::test") || line == "#[test]") {
            let signature = lines.next().unwrap_or_default();
            let after = signature.split("fn ").nth(1).unwrap_or_default();
            let name = after.split('(').next();
            // `$name` stands in the macro that makes one test for each crash window.
            if let Some(name) = name.filter(|name| !name.starts_with('$')) {
                assert!(
                    named.contains(name),
                    "tests/{suite}.rs: {name} is not in docs/promises.md"
                );
                tests += 1;
            }
        }
        assert!(tests > 0, "tests/{suite}.rs was not read");
    }
}

#[test]
fn files_and_types_are_called_by_the_words_of_the_glossary() {
    for path in sources() {
        let text = read(&path);
        let name = path.file_stem().unwrap().to_string_lossy().to_lowercase();
        for word in WORDS_NOT_USED {
            assert!(!name.contains(word), "{} is named `{word}`", path.display());
            for line in text.lines().map(str::trim_start) {
                let declares = [
                    "pub struct ",
                    "struct ",
                    "pub enum ",
                    "enum ",
                    "pub trait ",
                    "mod ",
                ]
                .iter()
                .any(|start| line.starts_with(start));
                let says = declares && line.to_lowercase().contains(word);
                assert!(!says, "{}: {line}", path.display());
            }
        }
    }
}

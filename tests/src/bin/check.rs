//! Judges a saved history: `cargo run -p acceptance --bin check -- history.jsonl`.
//!
//! Exit code 0 when nothing is wrong, 1 when something is, 2 when there is no
//! history to judge.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of one screen"
)]

use std::process::ExitCode;

use acceptance::{checker, history};

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [path] = paths.as_slice() else {
        eprintln!("usage: check history.jsonl");
        return ExitCode::from(2);
    };
    let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let entries = match read.and_then(|text| history::parse(&text)) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    };
    let judgement = checker::judge(&entries);
    println!("{judgement}");
    if judgement.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! `qx-host`: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use qx_host::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => cli::report(&failure).into(),
    }
}

//! `qx-host`: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use qx_host::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(compiled) = cli::compile_component(&cli) {
        return compiled;
    }
    match cli::run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => cli::report(&failure).into(),
    }
}

//! `qx-host`: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use qx_host::cli::{self, Cli};

/// Made for many threads: that of the C library took a fifth of a busy host's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

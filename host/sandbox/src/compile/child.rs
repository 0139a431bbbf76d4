//! The process that compiles one component: caps itself, reads, compiles, writes.
//!
//! Opens no file and no connection, starts nothing of the host, and reads no
//! environment.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Exit code for a component that is at fault: the reason is on standard error.
pub(crate) const REFUSED: i32 = 3;

/// Exit code for everything that is not the component's fault.
const FAILED: u8 = 1;

/// How much lower the priority is than the host's.
const NICER_BY: i32 = 10;

/// Files that a compile has open: three, and what the runtime needs.
const FILES_MAX: u64 = 64;

/// Compiles what comes on standard input, with at most so many bytes of addresses
/// and so many seconds on each processor, and writes the native code to standard
/// output.
pub fn compile(memory_bytes_max: u64, seconds_max: u64) -> ExitCode {
    match cap(memory_bytes_max, seconds_max).and_then(|()| run()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(refused)) => complain(&refused, REFUSED.to_le_bytes()[0]),
        Err(error) => complain(&error.to_string(), FAILED),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    // Who does not listen sees the code.
    drop(io::stderr().write_all(text.as_bytes()));
    ExitCode::from(code)
}

fn cap(memory_bytes_max: u64, seconds_max: u64) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    for (resource, max) in [
        (Resource::As, memory_bytes_max),
        // All threads together.
        (Resource::Cpu, seconds_max.saturating_mul(threads)),
        (Resource::Core, 0),
        // Pipes are no files: nothing is written to a disk.
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES_MAX),
    ] {
        // Nobody may raise what he was given.
        let given = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let max = Some(max.min(given));
        let limit = Rlimit {
            current: max,
            maximum: max,
        };
        setrlimit(resource, limit)?;
    }
    nice(NICER_BY)?;
    Ok(())
}

fn run() -> io::Result<Result<(), String>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let engine = match crate::engine::for_compiling() {
        Ok(engine) => engine,
        Err(error) => return Err(io::Error::other(error)),
    };
    let code = match engine.precompile_component(&bytes) {
        Ok(code) => code,
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    let mut out = io::stdout().lock();
    out.write_all(&code)?;
    out.flush()?;
    Ok(Ok(()))
}

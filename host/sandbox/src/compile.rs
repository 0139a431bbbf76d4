//! From a stranger's bytes to native code: in a process of its own, or in this one.
//!
//! Compiling is work that an attacker can make long, large or fatal. The process it
//! is given gets the bytes on its standard input, has caps on time and memory, an
//! empty environment and a low priority, and answers on its standard output. What
//! happens to it is a load error here, and nothing else.
//!
//! It does not protect from a compiler that is made to produce wrong code: that code
//! would run in the host. It has the host's user and its files, and no more.

mod child;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::call::text::visible;
use crate::error::LoadError;
pub use child::compile as compile_as_child;

/// Time of one compile by default. Python's components take seconds.
const TIME_MAX: Duration = Duration::from_mins(2);

/// Addresses of a compiling process by default: what it maps, not what it uses.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Most native code for one byte of a component. Some 10 were seen.
const CODE_FACTOR: u64 = 64;

/// Native code that even a tiny component may have.
const CODE_BYTES_MIN: u64 = 16 << 20;

/// What is kept of a compiler's complaint.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;

/// What is shown of it.
const COMPLAINT_SHOWN_BYTES: usize = 1_000;

/// Where components are compiled.
#[derive(Debug, Clone)]
pub enum Compilation {
    /// In this process, without caps: for components of one's own.
    InProcess,
    /// In a process for each.
    Child(ChildCompiler),
}

/// A program that compiles: it hands its standard input and output to
/// [`compile_as_child`].
#[derive(Debug, Clone)]
pub struct ChildCompiler {
    /// The program.
    pub program: PathBuf,
    /// What it is told; followed by the memory in bytes, and the time in seconds.
    pub args: Vec<OsString>,
    /// It is ended when it takes longer than this.
    pub time_max: Duration,
    /// Most that it can map, in bytes.
    pub memory_bytes_max: u64,
}

impl ChildCompiler {
    /// A program with the default caps.
    pub fn new(program: PathBuf, args: Vec<OsString>) -> Self {
        Self {
            program,
            args,
            time_max: TIME_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
        }
    }

    /// Compiles, or says what became of it.
    pub(crate) async fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        match tokio::time::timeout(self.time_max, self.run(bytes)).await {
            Ok(ended) => self.read(ended.map_err(LoadError::CompilerNotStarted)?),
            // The process ends with what was waiting for it.
            Err(_elapsed) => Err(self.too_slow()),
        }
    }

    async fn run(&self, bytes: &[u8]) -> std::io::Result<Ended> {
        let seconds = self.time_max.as_secs().max(1);
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(self.memory_bytes_max.to_string())
            .arg(seconds.to_string())
            .env_clear()
            // Each arena of the allocator reserves addresses, which are capped.
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut code, mut complaint) = (Vec::new(), Vec::new());
        let code_max = CODE_FACTOR
            .saturating_mul(bytes.len() as u64)
            .max(CODE_BYTES_MIN);
        let write = async {
            if let Some(mut input) = input {
                // One that ends before it has read everything says why elsewhere.
                drop(input.write_all(bytes).await);
            }
        };
        let read = async {
            match output {
                Some(output) => output.take(code_max + 1).read_to_end(&mut code).await,
                None => Ok(0),
            }
        };
        let listen = async {
            match errors {
                Some(errors) => {
                    let mut errors = errors.take(COMPLAINT_BYTES_MAX);
                    errors.read_to_end(&mut complaint).await
                }
                None => Ok(0),
            }
        };
        let ((), read, listened) = tokio::join!(write, read, listen);
        read?;
        listened?;
        if code.len() as u64 > code_max {
            // It would wait for somebody who reads the rest.
            child.start_kill()?;
        }
        Ok(Ended {
            status: child.wait().await?,
            is_too_large: code.len() as u64 > code_max,
            code,
            complaint: String::from_utf8_lossy(&complaint).into_owned(),
        })
    }

    fn read(&self, ended: Ended) -> Result<Vec<u8>, LoadError> {
        if ended.is_too_large {
            let how = "wrote more native code than any component has".to_owned();
            return Err(LoadError::CompilerEnded { how });
        }
        let said = visible(ended.complaint.trim(), COMPLAINT_SHOWN_BYTES);
        match ended.status.code() {
            Some(0) => Ok(ended.code),
            Some(child::REFUSED) => Err(refused(said)),
            Some(_) | None if OUT_OF_MEMORY.iter().any(|text| said.contains(text)) => {
                Err(LoadError::CompileMemory {
                    megabytes: self.memory_bytes_max >> 20,
                })
            }
            None if ended.status.signal() == Some(SIGXCPU) => Err(self.too_slow()),
            Some(_) | None => Err(LoadError::CompilerEnded {
                how: ended_how(ended.status, &said),
            }),
        }
    }

    fn too_slow(&self) -> LoadError {
        LoadError::CompileTime {
            seconds: self.time_max.as_secs_f64(),
        }
    }
}

/// Processor time is used up.
const SIGXCPU: i32 = 24;

/// What a process says last that got no more memory.
const OUT_OF_MEMORY: [&str; 5] = [
    "out of memory",
    "memory allocation of",
    "annot allocate memory",
    "Resource temporarily unavailable",
    "failed to spawn thread",
];

/// How a compiling process ended.
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    is_too_large: bool,
    complaint: String,
}

fn ended_how(status: ExitStatus, said: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    };
    if said.is_empty() {
        return how;
    }
    format!("{how} ({said})")
}

/// What the engine says against a component: that it is not valid, or too large for
/// the pool of instances.
pub(crate) fn refused(said: String) -> LoadError {
    if is_over_the_pool(&said) {
        return LoadError::TooComplex { what: said };
    }
    LoadError::Invalid(wasmtime::Error::msg(said))
}

fn is_over_the_pool(said: &str) -> bool {
    OVER_THE_POOL.iter().any(|text| said.contains(text))
}

/// What the engine says of a component that no slot of the pool can hold.
const OVER_THE_POOL: [&str; 3] = [
    "pooling allocator",
    "which exceeds the ",
    "exceeds the per-instance limit",
];

/// Compiles in this process.
pub(crate) fn in_process(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let code = engine.precompile_component(bytes);
    code.map_err(|error| refused(format!("{error:#}")))
}

/// Takes native code into this process.
pub(crate) fn take(engine: &Engine, code: &[u8]) -> Result<Component, LoadError> {
    #[expect(unsafe_code, reason = "the engine cannot know who made the code")]
    // SAFETY: it was made by this process, or came from the pipe of a process that
    // this one started from a program that its operator named, a moment ago. No
    // component and no file has a say in where it comes from.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| {
        let what = format!("{error:#}");
        if is_over_the_pool(&what) {
            return LoadError::TooComplex { what };
        }
        LoadError::CompilerEnded {
            how: format!("what is no native code for this host: {what}"),
        }
    })
}

#[cfg(test)]
mod tests;

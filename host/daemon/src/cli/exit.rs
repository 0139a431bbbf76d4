//! How a command ends: documented exit codes, and failures with what to do.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::config::ConfigFaults;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it is done.
    Done,
    /// 1: it could not be done, and the message says why.
    Failed,
    /// 2: the command line or the configuration is wrong.
    Misconfigured,
    /// 3: a server that is needed does not answer.
    Unreachable,
    /// 4: the host stopped with deliveries unfinished; they come again.
    Abandoned,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Misconfigured => 2,
            Exit::Unreachable => 3,
            Exit::Abandoned => 4,
        })
    }
}

/// A command that could not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// The general case.
    pub fn failed(doing: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit: Exit::Failed,
            text: sentence(doing, error.into().as_ref()),
        }
    }

    /// Something that is needed does not answer.
    pub fn unreachable(doing: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit: Exit::Unreachable,
            text: sentence(doing, error.into().as_ref()),
        }
    }

    /// The command line asks for something that cannot be.
    pub fn usage(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Misconfigured,
            text: text.into(),
        }
    }
}

impl From<ConfigFaults> for Failure {
    fn from(faults: ConfigFaults) -> Self {
        Self {
            exit: Exit::Misconfigured,
            text: faults.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Says on stderr what went wrong.
pub fn report(failure: &Failure) -> Exit {
    super::screen::complain(&format!("error: {failure}"));
    failure.exit
}

fn sentence(doing: &str, error: &(dyn Error + 'static)) -> String {
    format!("failed to {doing}: {}", chain(error))
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

//! How an adapter says that it could not do what a port asks.

use std::error::Error;
use std::fmt;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A connection, a lock, a timeout: the same request may succeed later.
    /// What was asked may have happened all the same.
    Transient,
    /// The request itself is refused and will be refused again.
    Permanent,
}

/// An adapter's failure: what was being done, whether it lasts, and the cause.
///
/// A fault is the host's, never a handler's: it does not use up an attempt.
#[derive(Debug)]
pub struct Fault {
    doing: Box<str>,
    lasting: Lasting,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// Trying again can help.
    pub fn transient(
        doing: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            lasting: Lasting::Transient,
            source: Some(source.into()),
        }
    }

    /// Trying again cannot help.
    pub fn permanent(
        doing: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            lasting: Lasting::Permanent,
            source: Some(source.into()),
        }
    }

    /// Trying again cannot help, and there is no deeper cause than this text.
    pub fn refusal(what: impl Into<Box<str>>) -> Self {
        Self {
            doing: what.into(),
            lasting: Lasting::Permanent,
            source: None,
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        self.lasting == Lasting::Transient
    }

    /// The whole chain of causes on one line, for a log or a dead letter.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

//! The words for what a component may be allowed to import.

use std::fmt;

/// One capability. Denied unless granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// Lines for the component's log.
    Log,
    /// Settings from the component's file.
    Config,
    /// Values that outlive the call.
    State,
    /// Events that leave with the commit.
    Emit,
    /// WASI's clocks.
    Clock,
    /// WASI's randomness.
    Random,
}

impl Grant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Log,
        Self::Config,
        Self::State,
        Self::Emit,
        Self::Clock,
        Self::Random,
    ];

    /// The word for it in files and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::State => "state",
            Self::Emit => "emit",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    /// The capability with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == word)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

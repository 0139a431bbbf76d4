//! What a handler did with an event. Every way of failing is a value here: no
//! guest can make a loop of the host end.

use std::fmt;
use std::time::Duration;

use crate::effects::Effects;
use crate::fault::Fault;

/// What a handler did.
#[derive(Debug)]
pub enum Outcome {
    /// It returned `ok`; this is what it wants to change.
    Done(Effects),
    /// It asked to be called again.
    Retry {
        /// The handler's words.
        reason: String,
        /// Not sooner than this.
        after: Option<Duration>,
    },
    /// It said that the event will never work.
    Rejected {
        /// The handler's words.
        reason: String,
    },
    /// It trapped or broke a limit.
    Failed {
        /// Which limit, or a trap.
        breach: Breach,
        /// What the sandbox saw.
        detail: String,
    },
    /// The host could not serve the call: not the handler's doing, and no
    /// attempt of the event.
    HostFault(Fault),
}

/// How a call was ended by the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breach {
    /// A trap: a panic, a failed assertion, an illegal access.
    Trap,
    /// It ran past its deadline.
    Deadline,
    /// It used more processor time than its budget.
    Cpu,
    /// It asked for more memory than its budget.
    Memory,
    /// It asked for larger tables than an instance has.
    Tables,
    /// Its calls were nested deeper than the stack holds.
    Stack,
    /// It called the host more often than its budget allows.
    HostCalls,
    /// It handed the host, or asked of it, more bytes than its budget.
    HostData,
    /// It had more handles open than an instance may have.
    Handles,
    /// It asked for more random bytes than a call gets.
    Random,
}

impl Breach {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Trap,
        Self::Deadline,
        Self::Cpu,
        Self::Memory,
        Self::Tables,
        Self::Stack,
        Self::HostCalls,
        Self::HostData,
        Self::Handles,
        Self::Random,
    ];

    /// The word for it in metrics and dead letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Tables => "tables",
            Self::Stack => "stack",
            Self::HostCalls => "host_calls",
            Self::HostData => "host_data",
            Self::Handles => "handles",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outcome {
    /// The word for it in metrics, logs and listings.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Retry { .. } => "retry",
            Self::Rejected { .. } => "rejected",
            Self::Failed { breach, .. } => breach.as_str(),
            Self::HostFault(_) => "host_fault",
        }
    }
}

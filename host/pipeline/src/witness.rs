//! What the loops tell the outside: one sight for each decision. Logs, metrics
//! and the live view of `dev` are made from it; the loops know none of them.

use std::time::Duration;

use crate::gates::PausedBy;
use qx_events::ports::StreamState;
use qx_events::{ComponentName, DeadReason, Digest, Envelope, Fault, StateLimit};

/// One decision, as it was made.
#[derive(Debug)]
pub enum Sight<'a> {
    /// A pass of the relay stored this many messages, of which some were on the
    /// stream already.
    Published {
        /// Messages stored.
        rows: usize,
        /// Of them, duplicates.
        duplicates: usize,
        /// From the read to the mark.
        took: Duration,
    },
    /// A row that can never be published was set aside.
    SetAside {
        /// Column `event_name`.
        event_name: &'a str,
        /// Position in the outbox.
        seq: i64,
        /// Why.
        reason: &'a str,
    },
    /// The relay cannot publish for now; rows wait.
    RelayBlocked {
        /// What the stream or the database says.
        reason: &'a str,
    },
    /// Rows wait for a transaction that may still bring one that belongs before them.
    HeldBack {
        /// Its session in the database; none of one that was prepared for a commit in
        /// two phases.
        pid: Option<i32>,
        /// How long it has been seen.
        waited: Duration,
    },
    /// They do no more.
    LetGo,
    /// The stream has lost messages that it had confirmed, or was made anew: their
    /// rows wait again.
    StreamRegressed {
        /// The stream as it is now.
        stream: &'a StreamState,
        /// Rows that wait again.
        rows: u64,
    },
    /// This process became the relay in charge, or ceased to be it.
    RelayLeads(bool),
    /// This process consumes a component whose events follow each other, alone among
    /// all hosts; or it does no more.
    InCharge {
        /// Which.
        component: &'a ComponentName,
        /// Whether it does.
        here: bool,
    },
    /// A handler's effects are committed.
    Done {
        /// Which event, by whom.
        attempt: Attempt<'a>,
        /// Events that left with the commit.
        emitted: usize,
    },
    /// The event was handled before; the handler was not called, or its effects
    /// were dropped.
    Duplicate {
        /// By whom.
        component: &'a ComponentName,
        /// The event.
        envelope: &'a Envelope,
    },
    /// The message comes again.
    Redelivered {
        /// Which event, by whom.
        attempt: Attempt<'a>,
        /// After this pause.
        after: Duration,
        /// The outcome, in a word.
        outcome: &'static str,
        /// In words.
        reason: &'a str,
    },
    /// A dead letter was written.
    Buried {
        /// Whose.
        component: &'a ComponentName,
        /// Name of the event, as on the message.
        event_name: &'a str,
        /// Attempts made.
        attempts: u32,
        /// Why.
        reason: &'a DeadReason,
    },
    /// A component is given no messages for now; they wait at the broker.
    Paused {
        /// Which.
        component: &'a ComponentName,
        /// By whom.
        by: PausedBy,
        /// Why.
        reason: &'a str,
    },
    /// It is given messages again, as far as this one is concerned.
    Unpaused {
        /// Which.
        component: &'a ComponentName,
        /// Who had paused it.
        by: PausedBy,
    },
    /// A call was not committed: the component would have more state than it may.
    Overfull {
        /// Whose.
        component: &'a ComponentName,
        /// Keys, or bytes.
        limit: StateLimit,
    },
    /// Something the component needs is not there for now; its messages wait.
    Held {
        /// Whose.
        component: &'a ComponentName,
        /// What failed.
        fault: &'a Fault,
    },
    /// What was missing is there again.
    Resumed {
        /// Whose.
        component: &'a ComponentName,
    },
}

/// One call of a handler that came to an end.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Whose.
    pub component: &'a ComponentName,
    /// Which build.
    pub digest: Digest,
    /// The event.
    pub envelope: &'a Envelope,
    /// From 1.
    pub number: u32,
    /// From the call to the commit.
    pub took: Duration,
}

/// Watches. Called on the hot path: must not block.
pub trait Witness: Send + Sync {
    /// Something was decided.
    fn saw(&self, sight: &Sight<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blind;

impl Witness for Blind {
    fn saw(&self, _: &Sight<'_>) {}
}

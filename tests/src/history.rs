//! What producers asked for, and what came of it: an append-only history, one JSON
//! object a line.
//!
//! Plain values. Written as it happens, so that what led to a failure is there even
//! when the process that wrote it is not.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a producer knows of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The database confirmed the commit.
    Ok,
    /// Rolled back, or refused before the commit was sent.
    Failed,
    /// The commit was sent, and no answer came.
    Unknown,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// It waits.
    Pending,
    /// It went out.
    Published,
    /// It can never go out.
    SetAside,
}

/// A number that the host shows somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Rows in this state.
    Rows(RowState),
    /// Dead letters that are kept.
    Letters,
    /// Messages that a component was not given yet. Zero when everything is done.
    Lag(String),
    /// Messages that a component was given and has not settled. Zero likewise.
    InFlight(String),
    /// Attempts of a component that committed, since the first event.
    Done(String),
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Entry {
    /// A component takes the events of a pattern.
    Takes {
        /// Which.
        component: String,
        /// As in its routes.
        pattern: String,
        /// Whether the events of a key are promised to come in the outbox's order.
        ordered: bool,
        /// Whether it leaves a [`Entry::Counted`] for each event it has handled.
        counts: bool,
    },
    /// A producer asked for an event to be recorded.
    Produced {
        /// The event.
        event: Uuid,
        /// Its name.
        name: String,
        /// Its ordering key.
        key: String,
        /// Which of the key's it is, to whoever recorded it.
        n: u64,
        /// What came of the transaction.
        outcome: Outcome,
    },
    /// A row of the outbox, in the end. They come in the order of the outbox.
    Row {
        /// The event in its body.
        event: Uuid,
        /// Its name.
        name: String,
        /// Where it is.
        state: RowState,
        /// The event whose handler emitted it.
        cause: Option<Uuid>,
    },
    /// An inbox mark, in the end.
    Handled {
        /// Whose.
        component: String,
        /// Of which event.
        event: Uuid,
    },
    /// What a component that counts has told of an event.
    Counted {
        /// Which.
        component: String,
        /// The event that was counted.
        event: Uuid,
        /// Its key.
        key: String,
        /// Its number.
        n: u64,
        /// How many of the key there were with it.
        nth: u64,
        /// The number of the one before.
        after: Option<u64>,
    },
    /// The state that a component has of a key, in the end.
    Held {
        /// Whose.
        component: String,
        /// The key.
        key: String,
        /// How many were counted.
        nth: u64,
    },
    /// A dead letter, in the end.
    Dead {
        /// Whose.
        component: String,
        /// Of which event; a malformed message has none.
        event: Option<Uuid>,
    },
    /// A number that somebody shows, in the end.
    Shown {
        /// Who.
        by: String,
        /// Of what.
        what: Quantity,
        /// How many.
        value: u64,
    },
    /// Something that happened meanwhile: a fault, say.
    Note {
        /// What.
        text: String,
    },
}

/// A history in the making. Its clones are one.
#[derive(Clone)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
}

struct Inner {
    entries: Vec<Entry>,
    file: File,
}

impl History {
    /// An empty one, kept in this file too.
    pub fn create(path: &Path) -> Self {
        let file = File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let entries = Vec::new();
        Self {
            inner: Arc::new(Mutex::new(Inner { entries, file })),
            path: path.to_owned(),
        }
    }

    /// Adds what happened.
    pub fn push(&self, entry: Entry) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&entry).expect("an entry is JSON");
        let written = writeln!(inner.file, "{line}");
        written.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        inner.entries.push(entry);
    }

    /// Adds a remark.
    pub fn note(&self, text: impl Into<String>) {
        self.push(Entry::Note { text: text.into() });
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.clone()
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a saved history; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines = text.lines().enumerate();
    let filled = lines.filter(|(_, line)| !line.trim().is_empty());
    let entry = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))
    };
    filled.map(entry).collect()
}

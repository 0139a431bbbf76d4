//! A message that a component could not take, kept where a person sees it.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::digest::Digest;
use crate::name::{ComponentName, EventName};
use crate::pattern::Pattern;
use crate::wire::Headers;

mod edit;

pub use edit::{EDITED_BYTES_MAX, InvalidEdit};

/// One (component, event) that is not going on by itself.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Derived from component and event, so that writing it twice is one row.
    pub id: Uuid,
    /// Who could not take it; a retry goes to this component alone.
    pub component: ComponentName,
    /// Digest of the build that failed, when one was called.
    pub digest: Option<Digest>,
    /// As on the message: possibly not a legal name.
    pub event_name: String,
    /// From the envelope; 1 when the envelope could not be read.
    pub event_version: u32,
    /// From the envelope, when it could be read.
    pub event_id: Option<Uuid>,
    /// From the envelope.
    pub correlation_id: Option<Uuid>,
    /// From the envelope.
    pub tenant_id: Option<Uuid>,
    /// The message's subject.
    pub subject: String,
    /// The message's headers.
    pub headers: Headers,
    /// What a retry gives to the component: the message's body, byte for byte, or
    /// what a person made of it.
    pub body: Bytes,
    /// Set when a person changed the body.
    pub edited: Option<Edited>,
    /// Attempts made, 0 when the handler was never called.
    pub attempts: u32,
    /// Why.
    pub reason: DeadReason,
    /// When it was given up.
    pub failed_at: DateTime<Utc>,
    /// Since when a retry is asked for, or under way.
    pub retry_requested_at: Option<DateTime<Utc>>,
}

/// A body that a person has put in the place of the message's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The message's body, byte for byte, however often it was edited.
    pub original: Bytes,
    /// When it was edited last.
    pub at: DateTime<Utc>,
}

impl DeadLetter {
    /// The id of the letter for this component and this event, or for this
    /// position of the stream when the event has no readable id.
    pub fn id_for(component: &ComponentName, event_id: Option<Uuid>, stream_seq: u64) -> Uuid {
        let name = match event_id {
            Some(id) => format!("{component}/{id}"),
            None => format!("{component}/#{stream_seq}"),
        };
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

/// Why a message became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// The class, for filters and metrics.
    pub kind: DeadReasonKind,
    /// The words, for a person.
    pub text: String,
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.text)
    }
}

/// The classes of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReasonKind {
    /// The handler said that it will never work.
    Rejected,
    /// The last attempt failed too.
    Exhausted,
    /// The component handles the event, but not this version of it.
    UnknownVersion,
    /// The message is no envelope.
    Malformed,
    /// It was delivered again and again without an outcome: the host died, or was
    /// stopped, each time.
    CrashLoop,
    /// The ledger refuses what the handler wants to commit.
    Unsettleable,
}

impl DeadReasonKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rejected,
        Self::Exhausted,
        Self::UnknownVersion,
        Self::Malformed,
        Self::CrashLoop,
        Self::Unsettleable,
    ];

    /// The word for it in tables, metrics and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::UnknownVersion => "unknown_version",
            Self::Malformed => "malformed",
            Self::CrashLoop => "crash_loop",
            Self::Unsettleable => "unsettleable",
        }
    }

    /// The class with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which event names are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFilter {
    /// Those of a pattern; a name is one, too.
    Pattern(Pattern),
    /// Exactly this text, which is no legal name: messages carry anything.
    Text(String),
}

impl NameFilter {
    /// Any text is one or the other.
    pub fn parse(raw: &str) -> Self {
        match Pattern::parse(raw) {
            Ok(pattern) => Self::Pattern(pattern),
            Err(_illegal) => Self::Text(raw.to_owned()),
        }
    }

    /// Whether the name on a message is meant.
    pub fn matches(&self, name_on_message: &str) -> bool {
        match self {
            Self::Pattern(pattern) => {
                EventName::parse(name_on_message).is_ok_and(|name| pattern.matches(&name))
            }
            Self::Text(text) => text == name_on_message,
        }
    }
}

/// Which dead letters are meant: those for which everything given here is true.
/// Empty: all of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LetterFilter {
    /// These ids only.
    pub ids: Vec<Uuid>,
    /// Of this component only.
    pub component: Option<ComponentName>,
    /// Of these event names only.
    pub event_name: Option<NameFilter>,
    /// Of this class of reasons only.
    pub kind: Option<DeadReasonKind>,
    /// Of this tenant only.
    pub tenant_id: Option<Uuid>,
    /// Given up before this time only.
    pub failed_before: Option<DateTime<Utc>>,
    /// Given up at this time or later only.
    pub failed_since: Option<DateTime<Utc>>,
    /// With this text in the words of the reason only, whatever the case of its
    /// letters (beyond ASCII as far as the database knows them).
    pub reason_text: Option<String>,
}

impl LetterFilter {
    /// The letter with this id.
    pub fn only(id: Uuid) -> Self {
        Self {
            ids: vec![id],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_by_a_pattern_or_by_its_very_text() {
        for (filter, name, meant) in [
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed.late", false),
            ("order.*", "order.placed", true),
            ("order.*", "order.placed.late", false),
            ("order.>", "order.placed.late", true),
            (">", "order", true),
            ("*.placed", "order.placed", true),
            ("*", "Not A Name", false),
            ("Not A Name", "Not A Name", true),
            ("Not A Name", "not a name", false),
        ] {
            assert_eq!(
                NameFilter::parse(filter).matches(name),
                meant,
                "{filter} {name}"
            );
        }
    }
}

//! The outbox in parts, each with a relay of its own: all events of a key are in one
//! part, so that their order is one relay's business.
//!
//! Never: a part by row or by chance. Into how many parts, and by which key, is one
//! decision for all hosts; the database keeps it.

use std::fmt;

use crate::order::KeyField;

/// Most parts that an outbox can have: each is a relay with its own lease, and asks the
/// database for itself.
pub const SHARDS_MAX: u16 = 64;

/// How the outbox is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// Not at all: one relay for everything.
    #[default]
    Whole,
    /// Into so many parts, at least two, by this key of the events. Those that have none
    /// are spread.
    By(KeyField, u16),
}

impl Split {
    /// So many parts; one is the whole.
    pub fn new(shards: u16, by: KeyField) -> Self {
        if shards <= 1 {
            Self::Whole
        } else {
            Self::By(by, shards.min(SHARDS_MAX))
        }
    }

    /// How many parts there are.
    pub const fn shards(self) -> u16 {
        match self {
            Self::Whole => 1,
            Self::By(_, shards) => shards,
        }
    }

    /// All parts.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.shards()).map(move |number| Shard { number, of: self })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("one part"),
            Self::By(by, shards) => write!(f, "{shards} parts by {}", by.as_str()),
        }
    }
}

/// One part of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shard {
    /// From 0.
    pub number: u16,
    /// Of what.
    pub of: Split,
}

impl Shard {
    /// Under which lease its relay works. That of the whole has no number.
    pub fn lease(self) -> String {
        match self.of {
            Split::Whole => RELAY_LEASE.to_owned(),
            Split::By(_, shards) => format!("{RELAY_LEASE}:{}/{shards}", self.number),
        }
    }
}

/// The lease of the relay, or how those of its parts begin.
pub const RELAY_LEASE: &str = "relay";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_lease_and_the_whole_is_called_as_ever() {
        let leases = |split: Split| split.all().map(Shard::lease).collect::<Vec<_>>();
        assert_eq!(leases(Split::Whole), ["relay"]);
        assert_eq!(leases(Split::new(1, KeyField::Tenant)), ["relay"]);
        let two = Split::new(2, KeyField::Tenant);
        assert_eq!(leases(two), ["relay:0/2", "relay:1/2"]);
        assert_eq!(two.to_string(), "2 parts by tenant");
        assert_eq!(Split::new(900, KeyField::Tenant).shards(), SHARDS_MAX);
    }
}

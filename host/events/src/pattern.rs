//! What a handler subscribes to: an exact event name, or one with wildcards.
//!
//! The wildcards are those of the broker, so that a pattern is also a filter
//! subject: `*` stands for one token, `>` for one or more at the end.

use std::fmt;
use std::sync::Arc;

use crate::name::{EventName, is_token, shortened};

/// An exact name, or a pattern such as `order.*` or `order.>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One event name.
    Exact(EventName),
    /// Tokens with wildcards, in the broker's notation.
    Wild(Arc<str>),
}

/// The text is no legal pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither an event name nor a pattern: use dot-separated tokens, `*` for one token, `>` for the rest and only at the end"
)]
pub struct InvalidPattern(String);

impl Pattern {
    /// Reads an event name or a pattern.
    pub fn parse(raw: &str) -> Result<Self, InvalidPattern> {
        if let Ok(name) = EventName::parse(raw) {
            return Ok(Self::Exact(name));
        }
        let mut tokens = raw.split('.').peekable();
        while let Some(token) = tokens.next() {
            let last = tokens.peek().is_none();
            let legal = is_token(token) || token == "*" || (token == ">" && last);
            if !legal || raw.len() > 255 {
                return Err(InvalidPattern(shortened(raw)));
            }
        }
        Ok(Self::Wild(raw.into()))
    }

    /// The pattern in the broker's notation.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(name) => name.as_str(),
            Self::Wild(text) => text,
        }
    }

    /// Whether the event belongs to this pattern.
    pub fn matches(&self, name: &EventName) -> bool {
        match self {
            Self::Exact(own) => own == name,
            Self::Wild(text) => overlap(text, name.as_str()),
        }
    }

    /// Whether every event name of the other belongs to this one.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut own, mut other) = (self.as_str().split('.'), other.as_str().split('.'));
        loop {
            match (own.next(), other.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(token)) if token != ">" => {}
                (Some(a), Some(b)) if a == b => {}
                (Some(_) | None, Some(_)) | (Some(_), None) => return false,
            }
        }
    }

    /// Whether some event name belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(self.as_str(), other.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether two token sequences, either of them with wildcards, share a name.
fn overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(raw: &str) -> Pattern {
        Pattern::parse(raw).unwrap()
    }

    #[test]
    fn a_pattern_matches_as_the_broker_would() {
        let table = [
            ("order.*", "order.placed", true),
            ("order.*", "order.item.added", false),
            ("order.*", "order", false),
            ("order.>", "order.item.added", true),
            ("order.>", "order", false),
            ("*.placed", "order.placed", true),
            (">", "ping", true),
            ("order.placed", "order.placed", true),
            ("order.placed", "order.place", false),
        ];
        for (raw, name, expected) in table {
            let name = EventName::parse(name).unwrap();
            assert_eq!(pattern(raw).matches(&name), expected, "{raw} {name}");
        }
    }

    #[test]
    fn patterns_that_share_a_name_overlap() {
        assert!(pattern("a.*").overlaps(&pattern("*.b")));
        assert!(pattern("a.>").overlaps(&pattern("a.b.c")));
        assert!(!pattern("a.*").overlaps(&pattern("b.*")));
        assert!(!pattern("a.*").overlaps(&pattern("a.*.c")));
    }

    #[test]
    fn a_pattern_covers_what_cannot_name_anything_else() {
        for (own, other) in [
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("a.>", "a.*"),
            ("a.>", "a.b.>"),
            (">", "a.>"),
            ("a.b", "a.b"),
        ] {
            assert!(pattern(own).covers(&pattern(other)), "{own} {other}");
        }
        for (own, other) in [
            ("a.*", "a.>"),
            ("a.b", "a.*"),
            ("a.>", ">"),
            ("a.*", "a.b.c"),
            ("a.>", "a"),
        ] {
            assert!(!pattern(own).covers(&pattern(other)), "{own} {other}");
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_token_and_the_rest_comes_last() {
        for bad in ["", "a.>.b", "a*", "a.b>", "a..*", "a b.*"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}

//! The key that a producer gives an event so that its order counts: events of one
//! key are handled one after the other, where a component asks for it.
//!
//! Past `parse` a key is a legal header value. Never: looked into.

use std::fmt;
use std::sync::Arc;

/// Longest key in bytes: as long as an event name, and small beside any payload.
pub const ORDERING_KEY_BYTES_MAX: usize = 255;

/// An ordering key: any text without control characters that neither begins nor
/// ends with a space, from 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderingKey(Arc<str>);

/// The text is no legal ordering key. It may be anything, so it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ordering key is not legal: use from 1 to 255 bytes without control characters, and no space at either end"
)]
pub struct InvalidOrderingKey;

impl OrderingKey {
    /// The only way in: past this line a key is a legal header value.
    pub fn parse(raw: &str) -> Result<Self, InvalidOrderingKey> {
        let legal = !raw.is_empty()
            && raw.len() <= ORDERING_KEY_BYTES_MAX
            && raw.trim() == raw
            && !raw.chars().any(char::is_control);
        if legal {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidOrderingKey)
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrderingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_any_text_that_a_header_can_carry() {
        for legal in ["7", "order 7", "\u{fc}/\u{1f980}", "a:b", &"x".repeat(255)] {
            assert_eq!(OrderingKey::parse(legal).unwrap().as_str(), legal);
        }
        for illegal in ["", " a", "a ", "a\nb", "a\r", "\0", &"x".repeat(256)] {
            assert_eq!(OrderingKey::parse(illegal), Err(InvalidOrderingKey));
        }
    }
}

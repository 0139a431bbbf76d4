//! Names that came through the door: past `parse` a name is a legal subject,
//! or a legal file stem.

use std::fmt;
use std::sync::Arc;

/// Longest event name in bytes: the width of the column `event_name`.
const EVENT_NAME_BYTES_MAX: usize = 255;

/// Longest component name in bytes. It becomes part of a durable consumer's
/// name and of file names, so it stays short.
const COMPONENT_NAME_BYTES_MAX: usize = 63;

/// A dotted event name, for instance `github.star.created`.
///
/// Tokens are separated by dots and are not empty. A token is printable ASCII
/// without the broker's wildcards `*` and `>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);

/// The text is no legal event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "event name `{0}` is not legal: use dot-separated tokens of printable ASCII without spaces, `*` and `>`, at most 255 bytes"
)]
pub struct InvalidEventName(String);

impl EventName {
    /// The only way in: past this line a name is a legal subject.
    pub fn parse(raw: &str) -> Result<Self, InvalidEventName> {
        let legal = raw.len() <= EVENT_NAME_BYTES_MAX && raw.split('.').all(is_token);
        if legal {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidEventName(shortened(raw)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A component's name: its file's stem.
///
/// Lower-case letters, digits and hyphens, beginning with a letter or digit, at
/// most 63 bytes: safe as a path segment and as part of a consumer's name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentName(Arc<str>);

/// The text is no legal component name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "component name `{0}` is not legal: use lower-case letters, digits and hyphens, beginning with a letter or digit, at most 63 bytes; rename the file"
)]
pub struct InvalidComponentName(String);

impl ComponentName {
    /// The only way in: past this line a name is safe in paths and consumers.
    pub fn parse(raw: &str) -> Result<Self, InvalidComponentName> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ok = !raw.is_empty()
            && raw.len() <= COMPONENT_NAME_BYTES_MAX
            && !raw.starts_with('-')
            && raw.chars().all(legal);
        if ok {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidComponentName(shortened(raw)))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One token of a subject: not empty, printable ASCII, no wildcard.
pub(crate) fn is_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '*' && c != '>')
}

/// Enough of a bad name to recognise it, with control characters made visible.
pub(crate) fn shortened(raw: &str) -> String {
    raw.escape_debug().take(80).collect()
}

macro_rules! text_impls {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}
text_impls!(EventName, ComponentName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_name_is_a_legal_subject() {
        for good in ["ping", "github.star.created", "a.b_c-d.E", "x.$y", "1.2"] {
            assert!(EventName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", ".", "a..b", "a.", ".a", "a b", "a.*", "a.>", "a\n", "ü", &long,
        ] {
            assert!(EventName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_component_name_is_a_safe_path_segment() {
        for good in ["a", "ci-watch", "0x"] {
            assert!(ComponentName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "A", "a_b", "a.b", "../a", "a/b", "a\0", &long] {
            assert!(ComponentName::parse(bad).is_err(), "{bad}");
        }
    }
}

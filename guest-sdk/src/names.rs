//! What a legal event name and a legal pattern look like: the host's rules, so
//! that a typo fails the build and not the load.
//!
//! One source for two crates: the macro checks patterns with it, the test double
//! checks emitted names.
#![cfg_attr(
    not(test),
    expect(dead_code, reason = "each of the two crates needs half of it")
)]

/// Longest event name, pattern or ordering key, in bytes: the width of the host's columns.
const NAME_BYTES_MAX: usize = 255;

/// Whether an event can have this name: dot-separated tokens of printable ASCII.
pub(crate) fn is_event_name(raw: &str) -> bool {
    raw.len() <= NAME_BYTES_MAX && raw.split('.').all(is_token)
}

/// Whether a text can be an ordering key.
pub(crate) fn is_ordering_key(raw: &str) -> bool {
    let legal = |key: &str| key.trim() == key && !key.chars().any(char::is_control);
    (1..=NAME_BYTES_MAX).contains(&raw.len()) && legal(raw)
}

/// Whether a handler can subscribe to this: a name, or tokens with `*` for one
/// token and `>` for the rest, which is why it comes last.
pub(crate) fn is_pattern(raw: &str) -> bool {
    let mut tokens = raw.split('.').peekable();
    raw.len() <= NAME_BYTES_MAX
        && std::iter::from_fn(|| tokens.next().map(|token| (token, tokens.peek().is_none())))
            .all(|(token, last)| is_token(token) || token == "*" || (token == ">" && last))
}

fn is_token(token: &str) -> bool {
    let legal = |c: char| c.is_ascii_graphic() && c != '*' && c != '>';
    !token.is_empty() && token.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_dotted_tokens_without_wildcards() {
        for good in ["ping", "github.star.created", "a.b_c-d.E"] {
            assert!(is_event_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", "a.", "a b", "a.*", "a.>", "ü"] {
            assert!(!is_event_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_ordering_key_is_any_text_that_a_header_can_carry() {
        for good in ["7", "order 7", "ü/🦀", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(is_ordering_key(good), "{good}");
        }
        for bad in ["", " a", "a ", "a\nb", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_ordering_key(bad), "{bad}");
        }
    }

    #[test]
    fn in_a_pattern_a_wildcard_is_a_whole_token_and_the_rest_comes_last() {
        for good in ["ping", "order.*", "order.>", "*.placed", ">", "a.*.c"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "a.>.b", "a*", "a.b>", "a..*", "a b.*"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_fits_the_hosts_column() {
        assert!(is_event_name(&"a".repeat(NAME_BYTES_MAX)));
        assert!(!is_event_name(&"a".repeat(NAME_BYTES_MAX + 1)));
        assert!(!is_pattern(&"a".repeat(NAME_BYTES_MAX + 1)));
    }
}

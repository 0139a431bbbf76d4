//! Text from guests, messages and databases, made fit for a log and a terminal:
//! it can write nothing there but text, on one line, and not too much of it.

use std::borrow::Cow;

/// The first `chars_max` characters, with those that steer a terminal or hide
/// text written out.
pub(super) fn visible(text: &str, chars_max: usize) -> Cow<'_, str> {
    let harmless = !text.contains(is_hidden) && text.chars().nth(chars_max).is_none();
    if harmless {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(chars_max));
    let mut rest = text.chars();
    for c in rest.by_ref().take(chars_max) {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Control characters, and those that reorder text around them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(visible("plain ü", 99), "plain ü");
        assert_eq!(
            visible("a\n\u{1b}[31mb\u{202e}", 99),
            "a\\n\\u{1b}[31mb\\u{202e}"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(visible("abcdef", 6), "abcdef");
        assert_eq!(visible("abcdefg", 6), "abcdef…");
        assert_eq!(visible("ab\ncdefg", 4), "ab\\nc…");
    }
}

//! Text of a guest on its way to a person, a terminal or a database column: cut to
//! a bound, and with control characters made visible.

/// At most `bytes` bytes of the text, with a mark where it was cut. A terminal
/// escape, a line break and U+0000 are shown, not passed on.
pub(crate) fn visible(text: &str, bytes: usize) -> String {
    let (kept, mark) = if text.len() > bytes {
        let end = text.floor_char_boundary(bytes);
        (text.get(..end).unwrap_or_default(), "…")
    } else {
        (text, "")
    };
    let mut out = String::with_capacity(kept.len() + mark.len());
    for c in kept.chars() {
        if c.is_control() || is_direction(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out + mark
}

/// Characters that turn the reading direction: they can make a line lie.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_everything_else_is_kept() {
        assert_eq!(visible("a\tb\u{1b}[31m\0ü", 100), "a\\tb\\u{1b}[31m\\u{0}ü");
        assert_eq!(visible("a\u{202e}b", 100), "a\\u{202e}b");
    }

    #[test]
    fn a_cut_is_marked_and_never_splits_a_character() {
        assert_eq!(visible("üü", 3), "ü…");
        assert_eq!(visible("abc", 3), "abc");
        assert_eq!(visible("abc", 0), "…");
    }
}

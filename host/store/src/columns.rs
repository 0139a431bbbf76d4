//! What a column can hold, and how a value is cut to it: no text of a stranger
//! may be the reason that a dead letter cannot be written.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use qx_events::Digest;
use uuid::Uuid;

use crate::fault::Unreadable;

/// Width of the column `last_error`, in characters.
pub(crate) const LAST_ERROR_CHARS_MAX: usize = 2048;
/// Width of the column `event_name`, in characters.
pub(crate) const EVENT_NAME_CHARS_MAX: usize = 255;
/// Longest name and reason of a pause that are kept, in characters.
pub(crate) const PAUSE_CHARS_MAX: usize = 500;
/// Longest name, place and reason in the history of builds, in characters.
pub(crate) const DEPLOYMENT_CHARS_MAX: usize = 1_000;
/// Width of the column `subject`, in characters.
pub(crate) const SUBJECT_CHARS_MAX: usize = 512;

/// Deepest nesting given to jsonb or to SQLite as JSON: the latter's limit.
const JSON_DEPTH_MAX: usize = 1000;
/// Longest run of digits given to jsonb as a number: far below its limit of
/// 16,383 digits behind the point, far above what anybody measures.
const JSON_DIGITS_MAX: usize = 1000;
/// Most digits in an exponent given to jsonb; `1e9999` still fits.
const JSON_EXPONENT_DIGITS_MAX: usize = 4;

/// The text, cut to the column, with U+FFFD for NUL, which PostgreSQL refuses.
pub(crate) fn fit(text: &str, chars_max: usize) -> Cow<'_, str> {
    // Bytes are at least as many as characters: most texts end here.
    if text.len() <= chars_max && !text.contains('\0') {
        return Cow::Borrowed(text);
    }
    let visible = |c| if c == '\0' { '\u{fffd}' } else { c };
    text.chars().take(chars_max).map(visible).collect()
}

/// Whether jsonb is sure to take this text, which is JSON. Where it says no,
/// jsonb might still have: the text is then kept as text, which is never wrong.
///
/// jsonb refuses `\u0000`, halves of surrogate pairs and huge numbers, all of
/// which JSON allows.
pub(crate) fn jsonb_takes(json: &str) -> bool {
    let (mut depth, mut digits, mut exponent) = (0_usize, 0_usize, None::<usize>);
    let mut bytes = json.bytes().peekable();
    let (mut in_string, mut last) = (false, 0_u8);
    while let Some(byte) = bytes.next() {
        if in_string {
            match byte {
                b'"' => in_string = false,
                b'\\' => {
                    // `\u0…` may be NUL, `\ud…` half a pair: not looked at closer.
                    let escaped = bytes.next();
                    if escaped == Some(b'u') && matches!(bytes.peek(), Some(b'0' | b'd' | b'D')) {
                        let rest: Vec<u8> = bytes.by_ref().take(4).collect();
                        let surrogate =
                            matches!(rest.get(1), Some(b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
                                && matches!(rest.first(), Some(b'd' | b'D'));
                        if surrogate || rest == b"0000" {
                            return false;
                        }
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'0'..=b'9' => match &mut exponent {
                Some(count) => *count += 1,
                None => digits += 1,
            },
            b'e' | b'E' if last.is_ascii_digit() => exponent = Some(0),
            b'+' | b'-' if matches!(last, b'e' | b'E') => {}
            b'.' => {}
            _ => (digits, exponent) = (0, None),
        }
        last = byte;
        if depth > JSON_DEPTH_MAX
            || digits > JSON_DIGITS_MAX
            || exponent.is_some_and(|count| count > JSON_EXPONENT_DIGITS_MAX)
        {
            return false;
        }
    }
    true
}

/// A time as SQLite keeps it: text that sorts.
pub(crate) fn sqlite_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads a time that SQLite keeps.
pub(crate) fn parse_time(column: &'static str, text: &str) -> Result<DateTime<Utc>, sqlx::Error> {
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    parsed.map_err(|_not_rfc3339| {
        let value = text.to_owned();
        Unreadable {
            column,
            value,
            expected: "a time in ISO 8601 with its offset",
        }
        .into_sqlx()
    })
}

/// Reads a UUID that SQLite keeps, with or without hyphens.
pub(crate) fn parse_uuid(column: &'static str, text: &str) -> Result<Uuid, sqlx::Error> {
    Uuid::parse_str(text).map_err(|_not_a_uuid| {
        let value = text.to_owned();
        Unreadable {
            column,
            value,
            expected: "a UUID",
        }
        .into_sqlx()
    })
}

/// Reads a digest. One of another length is none of ours, and only shown.
pub(crate) fn digest(bytes: Option<Vec<u8>>) -> Option<Digest> {
    bytes?.try_into().ok().map(Digest::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_jsonb_refuses_is_kept_as_text() {
        let digits = "1".repeat(JSON_DIGITS_MAX + 1);
        let deep = "[".repeat(JSON_DEPTH_MAX + 1);
        for refused in [
            r#""\u0000""#,
            r#"{"a": ["x\\\u0000"]}"#,
            r#""\ud800""#,
            r#""\uDFFF""#,
            "1e10000",
            "[1E+99999]",
            &digits,
            &deep,
        ] {
            assert!(!jsonb_takes(refused), "{refused}");
        }
        for taken in [
            "",
            r#""\\u0000 \u0001 \u00e9 \ud7ff \ue000 \"e99999""#,
            r#"{"true": true, "n": [-1.5e-300, 12345678901234567890123, 0.1]}"#,
            r#""1e99999""#,
        ] {
            assert!(jsonb_takes(taken), "{taken}");
        }
        let many = format!("[{}]", "1234567890,[],".repeat(2 * JSON_DIGITS_MAX));
        assert!(jsonb_takes(&many));
    }

    #[test]
    fn a_text_is_cut_by_characters_and_has_no_nul() {
        assert_eq!(fit("\u{fc}\u{fc}\u{fc}", 2), "\u{fc}\u{fc}");
        assert_eq!(fit("a\0b", 9), "a\u{fffd}b");
        assert!(matches!(fit("as it is", 8), Cow::Borrowed(_)));
    }

    #[test]
    fn a_time_is_read_back_as_it_was_written() {
        let time = DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap();
        assert_eq!(parse_time("x", &sqlite_time(time)).unwrap(), time);
        let error = parse_time("failed_at", "yesterday")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("failed_at") && error.contains("yesterday"),
            "{error}"
        );
    }
}

//! What may be said of a guest's statement by its text alone, and the texts that the
//! host makes of it. Plain functions of values.
//!
//! The wall is not here: it is the role, see [`super`]. The words below keep a guest
//! from what every role may do in PostgreSQL and no call should: hold locks of the
//! host's, speak to listeners, change settings.

use std::borrow::Cow;
use std::collections::HashMap;

use qx_events::ports::{SqlRefusal, SqlValue};

/// Statements of which the form is remembered. A component has a few dozen; what a
/// guest makes up anew each time only costs itself.
const FORMS_MAX: usize = 1_024;

/// Functions that no statement may name, whole or by their beginning.
const REFUSED: [(&str, Match, &str); 10] = [
    ("pg_advisory_", Match::Start, LOCKS),
    ("pg_try_advisory_", Match::Start, LOCKS),
    ("set_config", Match::Whole, "settings are the host's"),
    (
        "pg_notify",
        Match::Whole,
        "what is to be told leaves with `emit`",
    ),
    ("dblink", Match::Start, "another connection knows no commit"),
    (
        "lo_",
        Match::Start,
        "large objects are nobody's in particular",
    ),
    ("query_to_xml", Match::Start, HIDDEN),
    ("cursor_to_xml", Match::Start, HIDDEN),
    ("ts_stat", Match::Whole, HIDDEN),
    ("ts_rewrite", Match::Whole, HIDDEN),
];

/// Why a lock is refused that has only a number.
const LOCKS: &str = "lock a row, with SELECT … FOR UPDATE";
/// Why a statement within a text is refused.
const HIDDEN: &str = "it runs a statement that is a text";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Whole,
    Start,
}

/// What a statement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows.
    Rows,
    /// Rows that it changed, which can be counted when it is told to return them.
    Changes,
    /// Nothing that can be counted: MERGE, before PostgreSQL 17.
    Nothing,
}

impl Form {
    /// The statement as it is run.
    pub(super) fn text(self, statement: &str) -> String {
        match self {
            Self::Rows | Self::Nothing => statement.to_owned(),
            Self::Changes => returning(statement),
        }
    }
}

/// The statement without what may stand at its end and say nothing.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_whitespace() || c == ';')
}

/// Whether it is a MERGE and nothing else: of what gives no rows and changes none, such
/// as SELECT INTO, only that is run.
pub(super) fn is_merge(text: &str) -> bool {
    let first = text.split_whitespace().next();
    first.is_some_and(|word| word.eq_ignore_ascii_case("merge"))
}

/// The same, told to return what it changed. On a line of its own: the last one may
/// end in a comment.
pub(super) fn returning(statement: &str) -> String {
    format!("{statement}\nRETURNING 1")
}

/// Insufficient privilege.
const NOT_ALLOWED: &str = "42501";

/// What a guest is told whose statement is refused before the database sees it.
pub fn refused_by_its_text(text: &str) -> Option<SqlRefusal> {
    let message = refused(text)?;
    let code = NOT_ALLOWED.to_owned();
    Some(SqlRefusal::Database { code, message })
}

/// Why a statement is refused before the database sees it; `None`: it is not.
fn refused(text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("a statement must not contain U+0000".to_owned());
    }
    let lower = text.to_lowercase();
    // An identifier with escapes can be spelled in any way.
    if lower.contains("u&\"") {
        return Some("identifiers with Unicode escapes (U&\"…\") are not taken".to_owned());
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let names = lower.split(|c| !is_name(c));
    for name in names {
        for (word, how, why) in REFUSED {
            let found = match how {
                Match::Whole => name == word,
                Match::Start => name.starts_with(word),
            };
            if found {
                return Some(format!(
                    "`{name}` is not taken in a statement: {why}; a text that is data goes into a parameter"
                ));
            }
        }
    }
    None
}

/// A parameter as the text that the database reads. Quoted by the database itself.
pub(super) fn text(value: &SqlValue) -> Option<Cow<'_, str>> {
    Some(match value {
        SqlValue::Null => return None,
        SqlValue::Boolean(true) => "true".into(),
        SqlValue::Boolean(false) => "false".into(),
        SqlValue::Integer(number) => number.to_string().into(),
        SqlValue::Number(number) => match *number {
            number if number.is_nan() => "NaN".into(),
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            number => number.to_string().into(),
        },
        SqlValue::Text(text) => text.as_str().into(),
        SqlValue::Bytes(bytes) => hex(bytes).into(),
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]);
    "\\x".chars().chain(digits).collect()
}

/// Forms of statements that were looked at.
#[derive(Debug, Default)]
pub(super) struct Forms(HashMap<String, Form>);

impl Forms {
    pub(super) fn get(&self, statement: &str) -> Option<Form> {
        self.0.get(statement).copied()
    }

    pub(super) fn put(&mut self, statement: &str, form: Form) {
        if self.0.len() >= FORMS_MAX {
            self.0.clear();
        }
        self.0.insert(statement.to_owned(), form);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_reach_beyond_the_call_are_refused_however_they_are_written() {
        for text in [
            "SELECT pg_advisory_lock(1)",
            "SELECT PG_TRY_ADVISORY_XACT_LOCK(1, 2)",
            "SELECT pg_catalog.\"pg_advisory_unlock_all\"()",
            "SELECT pg_catalog . set_config('a', 'b', false)",
            "SELECT/**/pg_notify($1, $2)",
            "SELECT query_to_xml('SELECT 1', true, true, '')",
            "SELECT lo_create(0)",
            "SELECT * FROM dblink('x', 'y') AS t (a int)",
            "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
            "SELECT u&\"!0073et_config\" UESCAPE '!'",
            "SELECT 1\0",
        ] {
            assert!(refused(text).is_some(), "{text}");
        }
    }

    #[test]
    fn ordinary_statements_pass() {
        for text in [
            "SELECT advisory, set_config_at, lock FROM notices WHERE id = $1",
            "INSERT INTO hello (login, notify) VALUES ($1, 'pg') ON CONFLICT DO NOTHING",
            "WITH gone AS (DELETE FROM t RETURNING *) SELECT count(*) FROM gone",
            "SELECT u & 1, 'u&' FROM t",
            "SELECT to_tsvector('ü'), allo_1 FROM t",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn what_ends_a_statement_is_cut_and_a_comment_swallows_nothing() {
        assert_eq!(trimmed("SELECT 1 ; \n;"), "SELECT 1");
        assert_eq!(trimmed("SELECT ';'"), "SELECT ';'");
        assert_eq!(
            returning("DELETE FROM t -- all"),
            "DELETE FROM t -- all\nRETURNING 1"
        );
    }

    #[test]
    fn parameters_are_written_as_the_database_reads_them() {
        for (value, expected) in [
            (SqlValue::Null, None),
            (SqlValue::Boolean(true), Some("true")),
            (SqlValue::Integer(i64::MIN), Some("-9223372036854775808")),
            (SqlValue::Number(1.5e-7), Some("0.00000015")),
            (SqlValue::Number(f64::NAN), Some("NaN")),
            (SqlValue::Number(f64::NEG_INFINITY), Some("-Infinity")),
            (SqlValue::Text("it's".to_owned()), Some("it's")),
            (SqlValue::Bytes(vec![0, 0xab]), Some("\\x00ab")),
        ] {
            assert_eq!(text(&value).as_deref(), expected);
        }
    }

    #[test]
    fn forms_are_remembered_within_a_bound() {
        let mut forms = Forms::default();
        for number in 0..=FORMS_MAX {
            forms.put(&format!("SELECT {number}"), Form::Rows);
        }
        assert!(forms.0.len() <= FORMS_MAX);
        assert_eq!(forms.get(&format!("SELECT {FORMS_MAX}")), Some(Form::Rows));
    }
}

//! What is wrong with a scenario, with its place and what was probably meant.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::nearest;

/// What is wrong with a scenario, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct ScenarioFault {
    path: PathBuf,
    /// Line and column, from 1, where there is one place.
    place: Option<(usize, usize)>,
    text: String,
}

impl ScenarioFault {
    pub(super) fn new(path: &Path, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for ScenarioFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.text)
    }
}

impl std::error::Error for ScenarioFault {}

/// What the parser says, with its place first, and with the key that was probably
/// meant.
pub(super) fn fault(path: &Path, error: &serde_json::Error) -> ScenarioFault {
    let place = (error.line() > 0).then(|| (error.line(), error.column()));
    let whole = error.to_string();
    let text = match place {
        Some((line, column)) => whole
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(&whole),
        None => &whole,
    };
    match unknown_key(text) {
        Some((key, text)) => ScenarioFault {
            path: path.to_owned(),
            // The parser has read it to its end.
            place: place.map(|(line, end)| (line, end.saturating_sub(key.chars().count() + 1))),
            text,
        },
        None => ScenarioFault {
            path: path.to_owned(),
            place,
            text: text.to_owned(),
        },
    }
}

/// A key that is none, and what to say of it. serde writes: unknown field `x`,
/// expected one of `a`, `b`.
fn unknown_key(text: &str) -> Option<(&str, String)> {
    let rest = text.strip_prefix("unknown field ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.collect();
    let said = match nearest(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; known are {}", known.join(", ")),
    };
    Some((unknown, said))
}

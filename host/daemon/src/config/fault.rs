//! What is wrong with a configuration: all of it, each fault where it stands.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A position in a file; line and column count from 1.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// Nobody wrote it: it is the default.
    Default,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where.
    pub place: Place,
    /// The key with its section, for instance `nats.servers`; empty when the
    /// fault is the file's as a whole.
    pub key: String,
    /// What is wrong and what would be right. Never the value of a secret.
    pub text: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line, column } => {
                write!(f, "{}:{line}:{column}: ", path.display())?;
            }
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        // What stands in a file must not steer the terminal that shows what is wrong with it.
        for c in self.text.chars() {
            if c.is_control() && c != '\n' {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Everything that is wrong with one configuration, one fault a line. Not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<ConfigFault>);

impl ConfigFaults {
    /// `value`, unless something was wrong on the way to it.
    pub(super) fn check<T>(value: T, faults: Vec<ConfigFault>) -> Result<T, Self> {
        if faults.is_empty() {
            Ok(value)
        } else {
            Err(Self(faults))
        }
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigFault> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}

/// Line and column of a byte offset, from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(1, |rest| rest.chars().count() + 1);
    (line, column)
}

/// The word that was probably meant: near enough that guessing helps.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// One letter in three may be wrong; further away it is another word.
    const LETTERS_PER_SLIP: usize = 3;
    let slips_max = (word.chars().count() / LETTERS_PER_SLIP).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let text = "a\nüb = 1\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (2, 1));
        assert_eq!(position(text, 4), (2, 2));
        assert_eq!(position(text, 999), (3, 1));
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        let fault = ConfigFault {
            place: Place::Default,
            key: "database.url".to_owned(),
            text: "no database is called `\u{1b}[2Jpostgrés`".to_owned(),
        };
        let shown = "database.url: no database is called `\\u{1b}[2Jpostgrés`";
        assert_eq!(fault.to_string(), shown);
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let known = ["servers", "stream", "token"];
        assert_eq!(nearest("server", known), Some("servers"));
        assert_eq!(nearest("severs", known), Some("servers"));
        assert_eq!(nearest("tokne", known), Some("token"));
        assert_eq!(nearest("colour", known), None);
    }
}

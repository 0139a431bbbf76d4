//! How a name of WIT is written in JSON: producers have their own ways, and each of
//! the five usual ones is understood.
//!
//! `first-time-contributor` is also `first_time_contributor`, `firstTimeContributor`,
//! `FirstTimeContributor` and `FIRST_TIME_CONTRIBUTOR`; nothing else is.

use std::collections::HashMap;

/// Which name is meant by a text of JSON.
#[derive(Debug)]
pub(crate) struct Names {
    own: Vec<String>,
    spelled: HashMap<String, usize>,
}

/// Two names that a text of JSON could both mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    pub(crate) names: [String; 2],
    pub(crate) spelling: String,
}

impl Names {
    pub(crate) fn new(own: Vec<String>) -> Result<Self, Ambiguous> {
        let mut spelled: HashMap<String, usize> = HashMap::new();
        for (index, name) in own.iter().enumerate() {
            for spelling in spellings(name) {
                let before = spelled.insert(spelling.clone(), index);
                if let Some(other) = before.filter(|before| *before != index) {
                    let other = own.get(other).cloned().unwrap_or_default();
                    return Err(Ambiguous {
                        names: [other, name.clone()],
                        spelling,
                    });
                }
            }
        }
        Ok(Self { own, spelled })
    }

    /// The index of the name that is written like this.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        self.spelled.get(text).copied()
    }

    /// A name as WIT has it.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.own.get(index).map_or("", String::as_str)
    }

    pub(crate) fn all(&self) -> &[String] {
        &self.own
    }
}

/// The usual way: words with underscores between them.
pub(crate) fn snake(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}

/// How a name of WIT may be written in JSON: as it is, and in the five usual ways. Some
/// of them are the same for a name of one word.
pub fn spellings(name: &str) -> [String; 6] {
    let words: Vec<String> = name.split('-').map(str::to_lowercase).collect();
    let capital = |word: &String| {
        let mut chars = word.chars();
        let first = chars.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    let pascal: String = words.iter().map(capital).collect();
    let first = words.first().cloned().unwrap_or_default();
    let camel: String = first + &words.iter().skip(1).map(capital).collect::<String>();
    let snake = words.join("_");
    [
        name.to_owned(),
        words.join("-"),
        snake.to_uppercase(),
        snake,
        camel,
        pascal,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_in_five_ways_and_no_other() {
        let names = Names::new(vec!["full-name".to_owned(), "HTTP-url2".to_owned()]).unwrap();
        for text in [
            "full-name",
            "full_name",
            "fullName",
            "FullName",
            "FULL_NAME",
        ] {
            assert_eq!(names.find(text), Some(0), "{text}");
        }
        for text in [
            "HTTP-url2",
            "http-url2",
            "http_url2",
            "httpUrl2",
            "HttpUrl2",
            "HTTP_URL2",
        ] {
            assert_eq!(names.find(text), Some(1), "{text}");
        }
        for text in [
            "fullname",
            "Full_Name",
            "full name",
            "_full_name",
            "HTTPUrl2",
            "",
        ] {
            assert_eq!(names.find(text), None, "{text}");
        }
        assert_eq!(snake("HTTP-url2"), "http_url2");
    }

    #[test]
    fn names_that_a_text_could_both_mean_are_no_names() {
        let clash = Names::new(vec!["a-b".to_owned(), "aB".to_owned()]).unwrap_err();
        assert_eq!(clash.spelling, "aB");
        assert_eq!(clash.names, ["a-b".to_owned(), "aB".to_owned()]);
    }
}

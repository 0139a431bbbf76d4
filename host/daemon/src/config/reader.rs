//! Reads typed values out of the layers and collects what is wrong.
//!
//! A read that fails notes the fault and goes on with the default, so that one
//! pass finds everything. The owner asks at the end whether there was a fault.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{Item, Value};

use super::fault::{ConfigFault, Place, nearest};
use super::key::{Key, Kind, full_name, quoted};
use super::layers::{Given, Raw, Values};
use super::secret;

/// Values by key, and the faults found so far.
pub(super) struct Reader<'a> {
    /// One table of several: its name in faults, and where it stands.
    shown: Option<(String, Place)>,
    values: Values,
    /// Paths that nobody wrote are relative to this folder.
    folder: PathBuf,
    variables: &'a BTreeMap<String, String>,
    faults: RefCell<Vec<ConfigFault>>,
}

/// Nobody gave a value, or the one given is a fault that has been noted.
type Read<T> = Option<T>;

impl<'a> Reader<'a> {
    pub(super) fn new(
        values: Values,
        folder: &Path,
        variables: &'a BTreeMap<String, String>,
        faults: Vec<ConfigFault>,
    ) -> Self {
        Self {
            shown: None,
            values,
            folder: folder.to_owned(),
            variables,
            faults: RefCell::new(faults),
        }
    }

    /// The same reader under another name, for one table of several.
    pub(super) fn shown_as(self, name: String, place: Place) -> Self {
        Self {
            shown: Some((name, place)),
            ..self
        }
    }

    /// Everything that was wrong.
    pub(super) fn into_faults(self) -> Vec<ConfigFault> {
        self.faults.into_inner()
    }

    /// Notes a fault at the key's place.
    pub(super) fn fault(&self, key: &Key, text: impl Into<String>) {
        let (name, home) = match &self.shown {
            Some((shown, place)) => (full_name(shown, key.name), place.clone()),
            None => (key.full(), Place::Default),
        };
        self.note(ConfigFault {
            place: self.given(key).map_or(home, |given| given.place.clone()),
            key: name,
            text: text.into(),
        });
    }

    /// Notes that two keys disagree, at the first of them that somebody wrote.
    pub(super) fn disagreement(&self, one: (&Key, &str), other: (&Key, &str)) {
        let (key, text) = if self.is_given(one.0) { one } else { other };
        self.fault(key, text);
    }

    /// Notes a fault that was found elsewhere.
    pub(super) fn note(&self, fault: ConfigFault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Whether somebody wrote a value.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.given(key).is_some()
    }

    /// Where paths begin that nobody wrote.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A whole number, if somebody wrote one.
    pub(super) fn number_given(&self, key: &Key) -> Read<u64> {
        let given = self.given(key)?;
        let number = match &given.raw {
            Raw::Text(text) => text.trim().parse::<i128>().ok(),
            Raw::Toml(item) => item.as_integer().map(i128::from),
        };
        let Some(number) = number else {
            return self.wrong_kind(key, given);
        };
        let (min, max) = bounds(key);
        match u64::try_from(number) {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.fault(
                    key,
                    format!("{number} is out of range; expected {}", key.expected()),
                );
                None
            }
        }
    }

    /// A whole number.
    pub(super) fn number(&self, key: &Key) -> u64 {
        let default = || key.default.parse().unwrap_or_else(|_| bounds(key).0);
        self.number_given(key).unwrap_or_else(default)
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &Key) -> Read<String> {
        let text = self.text_given(key).or_else(|| default_text(key))?;
        if text.is_empty() && !matches!(key.kind, Kind::TextOrOff) {
            self.fault(key, format!("is empty; expected {}", key.expected()));
            return None;
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// Text whose references to variables and files have been followed.
    pub(super) fn secret(&self, key: &Key) -> Read<String> {
        let raw = self.text(key)?;
        let resolved = secret::resolve(&raw, &self.folder_of(key), self.variables);
        resolved.map_err(|text| self.fault(key, text)).ok()
    }

    /// A path, made relative to what the one who wrote it sees.
    pub(super) fn path(&self, key: &Key) -> Read<PathBuf> {
        let path = self.text(key)?;
        Some(self.folder_of(key).join(path))
    }

    /// The folder that a path in this key's value begins at: the file's, and for
    /// a variable the working directory.
    pub(super) fn folder_of(&self, key: &Key) -> PathBuf {
        match self.given(key).map(|given| &given.place) {
            Some(Place::Variable(_)) => PathBuf::new(),
            Some(Place::File { .. } | Place::Default) | None => self.folder.clone(),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &Key) -> bool {
        let read = |given: &Given| {
            let flag = match &given.raw {
                Raw::Text(text) => text.trim().parse().ok(),
                Raw::Toml(item) => item.as_bool(),
            };
            flag.or_else(|| self.wrong_kind(key, given))
        };
        self.given(key)
            .and_then(read)
            .unwrap_or(key.default == "true")
    }

    /// One of the key's words, if somebody wrote one.
    pub(super) fn word_given(&self, key: &Key) -> Read<&'static str> {
        let text = self.text_given(key)?;
        self.known_word(key, &text)
    }

    /// One of the key's words.
    pub(super) fn word(&self, key: &Key) -> Read<&'static str> {
        let default = || words(key).iter().copied().find(|word| *word == key.default);
        self.word_given(key).or_else(default)
    }

    /// Some of the key's words, if somebody wrote a list.
    pub(super) fn words_given(&self, key: &Key) -> Read<Vec<&'static str>> {
        let texts = self.list_given(key)?;
        Some(
            texts
                .iter()
                .filter_map(|text| self.known_word(key, text))
                .collect(),
        )
    }

    /// Some of the key's words.
    pub(super) fn words(&self, key: &Key) -> Vec<&'static str> {
        let default = |word: &&&str| key.default.split(',').any(|own| own == **word);
        let default = || words(key).iter().filter(default).copied().collect();
        self.words_given(key).unwrap_or_else(default)
    }

    /// Texts, none of them empty, if somebody wrote a list.
    pub(super) fn list_given(&self, key: &Key) -> Read<Vec<String>> {
        let given = self.given(key)?;
        let texts = match &given.raw {
            Raw::Text(text) => list_of_text(text),
            Raw::Toml(item) => item.as_array().and_then(|array| {
                let texts = array.iter().map(|value| value.as_str().map(str::to_owned));
                texts.collect()
            }),
        };
        let Some(texts) = texts else {
            return self.wrong_kind(key, given);
        };
        if texts.iter().any(String::is_empty) {
            self.fault(key, "has an empty text in it; leave it out");
        }
        Some(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// The value as it was written, for keys that are of several kinds.
    pub(super) fn item(&self, key: &Key) -> Option<&Item> {
        match &self.given(key)?.raw {
            Raw::Toml(item) => Some(item),
            Raw::Text(_) => None,
        }
    }

    fn given(&self, key: &Key) -> Option<&Given> {
        self.values.get(&key.full())
    }

    fn text_given(&self, key: &Key) -> Read<String> {
        let given = self.given(key)?;
        match &given.raw {
            Raw::Text(text) => Some(text.clone()),
            Raw::Toml(item) => match item.as_str() {
                Some(text) => Some(text.to_owned()),
                None => self.wrong_kind(key, given),
            },
        }
    }

    fn known_word(&self, key: &Key, text: &str) -> Read<&'static str> {
        let words = words(key);
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let text = text.escape_debug();
            self.fault(
                key,
                match nearest(&text.to_string(), words.iter().copied()) {
                    Some(meant) => format!("`{text}` is unknown; did you mean \"{meant}\"?"),
                    None => format!("`{text}` is unknown; there are {}", quoted(words)),
                },
            );
        }
        found
    }

    fn wrong_kind<T>(&self, key: &Key, given: &Given) -> Read<T> {
        let found = match &given.raw {
            // A secret that is no text is still a secret.
            Raw::Toml(_) if matches!(key.kind, Kind::Secret) => "something else".to_owned(),
            Raw::Toml(item) => kind_of(item),
            Raw::Text(text) => format!("`{}`", text.escape_debug()),
        };
        self.fault(key, format!("expected {}, found {found}", key.expected()));
        None
    }
}

fn bounds(key: &Key) -> (u64, u64) {
    let range = key.range();
    range.map_or((0, u64::MAX), |(min, max, _)| (min, max))
}

fn words(key: &Key) -> &'static [&'static str] {
    match &key.kind {
        Kind::Word(words) | Kind::Words(words) => words,
        Kind::Text
        | Kind::TextOrOff
        | Kind::Secret
        | Kind::Path
        | Kind::Flag
        | Kind::Number { .. }
        | Kind::List => &[],
    }
}

fn default_text(key: &Key) -> Option<String> {
    Some(key.default.to_owned()).filter(|text| !text.is_empty())
}

/// A variable's list: a JSON array, as the predecessor writes it, or texts
/// separated by commas.
fn list_of_text(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    Some(text.split(',').map(|part| part.trim().to_owned()).collect())
}

/// What was found instead, as a person would say it.
pub(super) fn kind_of(item: &Item) -> String {
    let Some(value) = item.as_value() else {
        return "a table".to_owned();
    };
    match value {
        Value::String(text) => format!("the text \"{}\"", text.value().escape_debug()),
        Value::Integer(number) => format!("the number {}", number.value()),
        Value::Float(number) => format!("the number {}", number.value()),
        Value::Boolean(flag) => format!("{}", flag.value()),
        Value::Datetime(date) => format!("the date {}", date.value()),
        Value::Array(_) => "a list".to_owned(),
        Value::InlineTable(_) => "a table".to_owned(),
    }
}

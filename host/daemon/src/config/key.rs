//! What a key is: its name, its kind with bounds, its default, and the sentence
//! that the reference prints.

/// One key of a section. A default is written as an environment variable would
/// write it; empty means that the key is not set.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text, not empty.
    Text,
    /// Text, where empty switches something off.
    TextOrOff,
    /// Text that is not shown, and may refer to a variable or a file.
    Secret,
    /// A path, relative to the file that names it.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number of `unit`.
    Number {
        min: u64,
        max: u64,
        unit: &'static str,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words.
    Words(&'static [&'static str]),
    /// Texts.
    List,
}

impl Key {
    pub(super) const fn new(section: &'static str, name: &'static str, kind: Kind) -> Self {
        Self {
            section,
            name,
            kind,
            default: "",
            doc: "",
        }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    pub(super) const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// The key as faults and the reference show it.
    pub(super) fn full(&self) -> String {
        full_name(self.section, self.name)
    }

    /// Its environment variable.
    pub(super) fn variable(&self) -> String {
        variable_name(self.section, self.name)
    }

    /// The smallest and the largest value, and their unit; `None`: it is no number.
    pub(super) fn range(&self) -> Option<(u64, u64, &'static str)> {
        let Kind::Number { min, max, unit } = &self.kind else {
            return None;
        };
        Some((*min, *max, unit))
    }

    /// What would be right, in words.
    pub(super) fn expected(&self) -> String {
        match &self.kind {
            Kind::Text | Kind::Secret => "text in quotes".to_owned(),
            Kind::TextOrOff => "text in quotes, or \"\" for off".to_owned(),
            Kind::Path => "a path in quotes".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Number { min, max, unit } => {
                format!("a whole number of {unit} from {min} to {max}")
            }
            Kind::Word(words) => format!("one of {}", quoted(words)),
            Kind::Words(words) => format!("a list of {}", quoted(words)),
            Kind::List => "a list of texts, such as [\"…\", \"…\"]".to_owned(),
        }
    }
}

/// `section.name`, or the name alone at the top of a file.
pub(super) fn full_name(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// `QX_SECTION__NAME`.
pub(super) fn variable_name(section: &str, name: &str) -> String {
    format!(
        "QX_{}__{}",
        section.to_ascii_uppercase(),
        name.to_ascii_uppercase()
    )
}

/// Words as a person lists them.
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

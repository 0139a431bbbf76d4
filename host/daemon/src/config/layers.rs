//! Where values come from: a TOML document and the environment, each value with
//! its place. What is in them and has no key is a fault right here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

use super::fault::{ConfigFault, Place, nearest, position};
use super::key::{Key, full_name, variable_name};

/// Largest file that is read, in bytes: written by hand, so far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Sections whose keys are names that the operator chooses.
const NAMED_SECTIONS: [&str; 2] = [super::grants::SECTION, super::secrets::SECTION];

/// A value as it was written.
#[derive(Debug)]
pub(super) enum Raw {
    Toml(Item),
    Text(String),
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) raw: Raw,
    pub(super) place: Place,
}

/// Values by their full key.
pub(super) type Values = BTreeMap<String, Given>;

/// A file that parsed.
pub(super) struct File {
    path: PathBuf,
    document: Document<String>,
}

impl File {
    /// Reads and parses a file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigFault> {
        let unreadable = |why: String| ConfigFault {
            place: Place::Default,
            key: String::new(),
            text: format!("{}: {why}", path.display()),
        };
        match std::fs::metadata(path) {
            Ok(data) if data.len() > FILE_BYTES_MAX => Err(unreadable(format!(
                "larger than {FILE_BYTES_MAX} bytes; is it the right file?"
            ))),
            Ok(_) => Ok(()),
            Err(error) => Err(unreadable(format!(
                "cannot be read ({error}); check the path, or leave it out to run on the defaults"
            ))),
        }?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            unreadable(format!(
                "cannot be read ({error}); save it as UTF-8 text, readable for this user"
            ))
        })?;
        Self::parse(path, &text)
    }

    /// Parses a text under the name of a file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigFault> {
        match Document::parse(text.to_owned()) {
            Ok(document) => Ok(Self {
                path: path.to_owned(),
                document,
            }),
            Err(error) => Err(ConfigFault {
                place: place_at(path, text, error.span()),
                key: String::new(),
                text: format!("not TOML: {}", error.message().trim().replace('\n', ", ")),
            }),
        }
    }

    /// The root.
    pub(super) fn root(&self) -> &dyn TableLike {
        self.document.as_table()
    }

    /// The place of a byte range.
    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        place_at(&self.path, self.document.raw(), span)
    }

    /// A fault at a byte range.
    pub(super) fn fault(
        &self,
        span: Option<Range<usize>>,
        key: impl Into<String>,
        text: impl Into<String>,
    ) -> ConfigFault {
        ConfigFault {
            place: self.place(span),
            key: key.into(),
            text: text.into(),
        }
    }

    /// Takes the values of one table whose keys are in `known`. `shown` is the
    /// table's name in faults, `skip` what is read otherwise.
    pub(super) fn take(
        &self,
        table: &dyn TableLike,
        (section, shown): (&str, &str),
        (known, skip): (&[&'static Key], &[&str]),
        (values, faults): (&mut Values, &mut Vec<ConfigFault>),
    ) {
        for (name, item) in table.iter() {
            let span = table.key(name).and_then(toml_edit::Key::span);
            let there = known.iter().any(|k| k.section == section && k.name == name);
            if there {
                let given = Given {
                    raw: Raw::Toml(item.clone()),
                    place: self.place(item.span().or(span)),
                };
                values.insert(full_name(section, name), given);
            } else if !skip.contains(&name) {
                let text = unknown_key(section, name, known, skip);
                faults.push(self.fault(span, full_name(shown, name), text));
            }
        }
    }

    /// Takes every section of a host's file.
    pub(super) fn take_sections(
        &self,
        known: &[&'static Key],
        values: &mut Values,
        faults: &mut Vec<ConfigFault>,
    ) {
        let mut sections: Vec<&'static str> = known.iter().map(|key| key.section).collect();
        sections.dedup();
        sections.extend(NAMED_SECTIONS);
        for (name, item) in self.root().iter() {
            if NAMED_SECTIONS.contains(&name) {
                continue; // Read by those who know what may stand there.
            }
            let span = self.root().key(name).and_then(toml_edit::Key::span);
            match item.as_table_like() {
                Some(table) if sections.contains(&name) => {
                    self.take(table, (name, name), (known, &[]), (values, faults));
                }
                Some(_) => {
                    let text = unknown_section(name, &sections);
                    faults.push(self.fault(span, name, text));
                }
                None if sections.contains(&name) => {
                    let text = format!("is a section; write `[{name}]` and its keys below it");
                    faults.push(self.fault(span, name, text));
                }
                None => {
                    let text = unknown_key("", name, known, &[]);
                    faults.push(self.fault(span, name, text));
                }
            }
        }
    }
}

fn place_at(path: &Path, text: &str, span: Option<Range<usize>>) -> Place {
    let (line, column) = position(text, span.map_or(0, |span| span.start));
    Place::File {
        path: path.to_owned(),
        line,
        column,
    }
}

fn unknown_section(name: &str, sections: &[&'static str]) -> String {
    match nearest(name, sections.iter().copied()) {
        Some(meant) => format!("unknown section; did you mean `[{meant}]`?"),
        None => format!("unknown section; there are [{}]", sections.join("], [")),
    }
}

fn unknown_key(section: &str, name: &str, known: &[&'static Key], skip: &[&str]) -> String {
    let here = known.iter().filter(|key| key.section == section);
    if let Some(meant) = nearest(
        name,
        here.clone().map(|key| key.name).chain(skip.iter().copied()),
    ) {
        return format!("unknown key; did you mean `{meant}`?");
    }
    if let Some(key) = known.iter().find(|key| key.name == name) {
        let place = if key.section.is_empty() {
            "at the top, before the first section".to_owned()
        } else {
            format!("in `[{}]`", key.section)
        };
        return format!("unknown key here; it belongs {place}");
    }
    let names: Vec<&str> = here.map(|key| key.name).collect();
    if names.is_empty() {
        "unknown key; every key stands in a section, see docs/configuration.md".to_owned()
    } else {
        format!("unknown key; there are {}", names.join(", "))
    }
}

/// A section and a key.
type Name<'a> = (&'a str, &'a str);

/// Names of the predecessor that mean a key of ours.
const SYNONYMS: &[(Name<'_>, Name<'_>)] = &[(("nats", "url"), ("nats", "servers"))];

/// Names of the predecessor's `NatsSettings` that have no meaning here: an
/// environment shared with it is not a fault. The host keeps reconnecting, and
/// has a consumer for each component.
const PREDECESSORS: &[Name<'_>] = &[
    ("nats", "consumer"),
    ("nats", "durable"),
    ("nats", "name"),
    ("nats", "max_reconnect_attempts"),
    ("nats", "reconnect_time_wait_seconds"),
    ("nats", "connect_timeout_seconds"),
];

/// Takes the variables `QX_<SECTION>__<KEY>`. An empty one counts as not set,
/// except where empty means off. A section that is not ours belongs to somebody
/// else, unless it is nearly one of ours.
pub(super) fn take_variables(
    variables: &BTreeMap<String, String>,
    known: &[&'static Key],
    values: &mut Values,
    faults: &mut Vec<ConfigFault>,
) {
    let mut own = Values::new();
    for (variable, text) in variables {
        let Some((section, name)) = split_variable(variable) else {
            continue;
        };
        let (section, name) = (section.as_str(), name.as_str());
        let synonym = SYNONYMS.iter().find(|(from, _)| *from == (section, name));
        let (section, name) = synonym.map_or((section, name), |(_, to)| *to);
        let place = Place::Variable(variable.clone());
        match known
            .iter()
            .find(|k| k.section == section && k.name == name)
        {
            Some(key) => {
                let full = key.full();
                let raw = Raw::Text(text.clone());
                let counts = !text.is_empty() || matches!(key.kind, super::key::Kind::TextOrOff);
                if counts && !(synonym.is_some() && own.contains_key(&full)) {
                    own.insert(full, Given { raw, place });
                }
            }
            None => {
                if let Some(text) = unknown_variable(section, name, known) {
                    let key = full_name(section, name);
                    faults.push(ConfigFault { place, key, text });
                }
            }
        }
    }
    values.extend(own);
}

fn split_variable(variable: &str) -> Option<(String, String)> {
    let (section, name) = variable.strip_prefix("QX_")?.split_once("__")?;
    Some((section.to_ascii_lowercase(), name.to_ascii_lowercase()))
}

fn unknown_variable(section: &str, name: &str, known: &[&'static Key]) -> Option<String> {
    if PREDECESSORS.contains(&(section, name)) {
        return None;
    }
    let mut names = known.iter().filter(|key| key.section == section).peekable();
    if names.peek().is_some() {
        if let Some(meant) = nearest(name, names.clone().map(|key| key.name)) {
            let meant = variable_name(section, meant);
            return Some(format!("unknown variable; did you mean `{meant}`?"));
        }
        let names: Vec<String> = names.map(|key| key.variable()).collect();
        return Some(format!("unknown variable; there are {}", names.join(", ")));
    }
    let meant = nearest(section, known.iter().map(|key| key.section))?;
    Some(format!(
        "unknown variable; did you mean `{}`?",
        variable_name(meant, name)
    ))
}

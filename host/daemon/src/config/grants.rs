//! The sections `[grants.<component>]`: what one component may do over and above
//! what all may, and `[grants."*"]` for every one.
//!
//! A component that is named and not there is no fault: it may come later.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use qx_events::web::HttpGrant;
use qx_events::{Capability, ComponentName, Pattern, Rights};
use toml_edit::{TableLike, Value};

use super::fault::{ConfigFault, nearest};
use super::key::{Key, Kind};
use super::keys::GRANT_WORDS;
use super::layers::{File, Values};
use super::load::capabilities;
use super::reader::{Reader, kind_of};

/// The name that stands for every component.
const ALL_COMPONENTS: &str = "*";

/// The section, and the first word of its tables.
pub(super) const SECTION: &str = "grants";

macro_rules! keys {
    ($($name:ident = $key:expr;)*) => {
        $(static $name: Key = $key;)*
        /// All of them, in the order of the reference.
        pub(super) static KEYS: &[&Key] = &[$(&$name),*];
    };
}

keys! {
    CAPABILITIES = Key::new(SECTION, "capabilities", Kind::Words(GRANT_WORDS))
        .doc("What it may import, beside `components.grants`.");
    EMIT = Key::new(SECTION, "emit", Kind::List)
        .doc("The events that it may emit: names, or patterns with `*` and `>`. Not set: every one.");
    SECRETS = Key::new(SECTION, "secrets", Kind::List)
        .doc("The secrets that it may read: names under `[secrets]`. Goes with the capability `secrets`.");
    HTTP = Key::new(SECTION, "http", Kind::List)
        .doc("Where it may send requests: `\"https://host\"`, with `:port` where it is another one, `\"https://*.host\"` for one label before it, an address for that address, or `{ url = \"…\", private = true }` where the name leads to this machine or to a network of one's own. Goes with the capability `http`.");
    SQL = Key::new(SECTION, "sql", Kind::Text)
        .doc("The role of the database that its statements run as. Goes with the capability `sql`.");
}

/// What is granted to one component, or to all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Granted {
    capabilities: BTreeSet<Capability>,
    emit: Option<Vec<Pattern>>,
    secrets: BTreeSet<String>,
    http: Vec<HttpGrant>,
    sql: Option<String>,
}

/// What becomes of a component whose own file asks for more than is granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Excess {
    /// That is a fault of its file.
    #[default]
    Fault,
    /// It gets it.
    Granted,
}

/// Everything that is granted, by component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantTable {
    all: Granted,
    of: BTreeMap<String, Granted>,
    excess: Excess,
}

/// The role of the database where every component has one.
const ANY_ROLE: &str = "any";

impl GrantTable {
    /// What `components.grants` says, and nothing beside it.
    pub fn of_all(capabilities: BTreeSet<Capability>) -> Self {
        Self {
            all: Granted {
                capabilities,
                ..Granted::default()
            },
            ..Self::default()
        }
    }

    /// Every capability to everybody, and what else a component's own file asks for: for
    /// tests, which reach nothing real.
    pub fn whatever_is_asked_for() -> Self {
        Self {
            all: Granted {
                capabilities: Capability::ALL.into(),
                sql: Some(ANY_ROLE.to_owned()),
                ..Granted::default()
            },
            of: BTreeMap::new(),
            excess: Excess::Granted,
        }
    }

    /// Whether this is [`GrantTable::whatever_is_asked_for`].
    pub fn is_whatever_is_asked_for(&self) -> bool {
        self.excess == Excess::Granted
    }

    pub(super) const fn excess(&self) -> Excess {
        self.excess
    }

    /// What the operator grants this component. Lists add up; of the two keys that
    /// narrow or name, its own table's counts.
    pub fn rights_of(&self, component: &str) -> Rights {
        let none = Granted::default();
        let own = self.of.get(component).unwrap_or(&none);
        let all = &self.all;
        Rights {
            capabilities: &all.capabilities | &own.capabilities,
            emit: own.emit.as_ref().or(all.emit.as_ref()).cloned(),
            secrets: &all.secrets | &own.secrets,
            http: own.http.iter().chain(&all.http).cloned().collect(),
            sql: own.sql.as_ref().or(all.sql.as_ref()).cloned(),
        }
    }

    /// The roles that components run SQL as.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.all).chain(self.of.values());
        all.filter_map(|granted| granted.sql.as_deref())
    }

    /// Whether any component may have this, whoever it is.
    pub fn is_granted(&self, capability: Capability) -> bool {
        let mut each = std::iter::once(&self.all).chain(self.of.values());
        each.any(|granted| granted.capabilities.contains(&capability))
    }

    /// The components that are named, whether they are there or not.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    /// Reads every table of the section.
    pub(super) fn read(
        mut self,
        file: &File,
        secrets: &BTreeSet<&str>,
        faults: &mut Vec<ConfigFault>,
    ) -> Self {
        let Some(item) = file.root().get(SECTION) else {
            return self;
        };
        let Some(tables) = item.as_table_like() else {
            let text = "is a section; write `[grants.<component>]` and its keys below it";
            faults.push(file.fault(item.span(), SECTION, text));
            return self;
        };
        let mut named = Vec::new();
        for (name, item) in tables.iter() {
            let span = tables.key(name).and_then(toml_edit::Key::span);
            let shown = format!("{SECTION}.{name}");
            match (item.as_table_like(), legal(name)) {
                (Some(table), Ok(())) => {
                    let granted = read_one(file, &shown, (table, span.clone()), secrets, faults);
                    if name == ALL_COMPONENTS {
                        self.all.add(granted);
                    } else {
                        self.of.insert(name.to_owned(), granted);
                        named.push((name.to_owned(), span));
                    }
                }
                (_, Err(text)) => faults.push(file.fault(span, shown, text)),
                (None, Ok(())) => {
                    let text = format!(
                        "expected a table, found {}; write `[grants.{name}]` and its keys below it",
                        kind_of(item)
                    );
                    faults.push(file.fault(span, shown, text));
                }
            }
        }
        // Once every table is read: a capability may be granted to all below.
        for (name, span) in named {
            faults.extend(self.without_capability(file, &name, span));
        }
        self
    }

    /// Details of something that the component cannot import are a slip.
    fn without_capability<'s>(
        &'s self,
        file: &'s File,
        name: &'s str,
        span: Option<Range<usize>>,
    ) -> impl Iterator<Item = ConfigFault> + 's {
        let rights = self.rights_of(name);
        let own = self.of.get(name);
        let given = own.map_or([false; 3], |own| {
            [
                !own.secrets.is_empty(),
                !own.http.is_empty(),
                own.sql.is_some(),
            ]
        });
        let needed = [Capability::Secrets, Capability::Http, Capability::Sql];
        needed
            .into_iter()
            .zip(given)
            .filter(move |(capability, given)| *given && !rights.allow(*capability))
            .map(move |(capability, _)| {
                let text = format!(
                    "says which and does not grant it; add capabilities = [\"{capability}\"] to \
                        [grants.{name}], or leave it out"
                );
                file.fault(span.clone(), format!("{SECTION}.{name}.{capability}"), text)
            })
    }
}

impl Granted {
    fn add(&mut self, more: Self) {
        self.capabilities.extend(more.capabilities);
        self.secrets.extend(more.secrets);
        self.http.extend(more.http);
        self.emit = more.emit;
        self.sql = more.sql;
    }
}

fn legal(name: &str) -> Result<(), String> {
    if name == ALL_COMPONENTS {
        return Ok(());
    }
    let parsed = ComponentName::parse(name).map(drop);
    parsed.map_err(|error| format!("{error}; or write [grants.\"*\"] for every component"))
}

fn read_one(
    file: &File,
    shown: &str,
    (table, span): (&dyn TableLike, Option<Range<usize>>),
    secrets: &BTreeSet<&str>,
    faults: &mut Vec<ConfigFault>,
) -> Granted {
    let mut values = Values::new();
    let found = (&mut values, &mut *faults);
    file.take(table, (SECTION, shown), (KEYS, &[]), found);
    let variables = BTreeMap::new();
    let reader = Reader::new(values, Path::new(""), &variables, Vec::new())
        .shown_as(shown.to_owned(), file.place(span));
    let granted = Granted {
        capabilities: capabilities(&reader.words_given(&CAPABILITIES).unwrap_or_default()),
        emit: patterns(&reader, &EMIT),
        secrets: known_secrets(&reader, secrets),
        http: places(&reader),
        sql: reader.text(&SQL),
    };
    faults.extend(reader.into_faults());
    granted
}

/// Event names and patterns, if somebody wrote a list.
pub(super) fn patterns(reader: &Reader<'_>, key: &Key) -> Option<Vec<Pattern>> {
    let parse = |text: String| {
        let refused = |error: qx_events::InvalidPattern| reader.fault(key, error.to_string());
        Pattern::parse(&text).map_err(refused).ok()
    };
    let texts = reader.list_given(key)?;
    Some(texts.into_iter().filter_map(parse).collect())
}

fn known_secrets(reader: &Reader<'_>, secrets: &BTreeSet<&str>) -> BTreeSet<String> {
    let names = reader.list_given(&SECRETS).unwrap_or_default();
    let is_known = |name: &String| {
        let known = secrets.contains(name.as_str());
        if !known {
            let name = name.escape_debug().to_string();
            let text = match nearest(&name, secrets.iter().copied()) {
                Some(meant) => format!("there is no secret `{name}`; did you mean \"{meant}\"?"),
                None => format!("there is no secret `{name}`; add it under [secrets]"),
            };
            reader.fault(&SECRETS, text);
        }
        known
    };
    names.into_iter().filter(is_known).collect()
}

/// Texts, and tables with `url` and `private`.
fn places(reader: &Reader<'_>) -> Vec<HttpGrant> {
    let Some(item) = reader.item(&HTTP) else {
        return Vec::new();
    };
    let Some(list) = item.as_array() else {
        let text = format!("expected {}, found {}", HTTP.expected(), kind_of(item));
        reader.fault(&HTTP, text);
        return Vec::new();
    };
    let place = |value: &Value| {
        let Some((url, private)) = url_and_reach(value) else {
            let text =
                "expected \"https://host\", or { url = \"http://host:8080\", private = true }";
            reader.fault(&HTTP, text);
            return None;
        };
        let refused = |error: qx_events::web::InvalidGrant| reader.fault(&HTTP, error.to_string());
        HttpGrant::parse(url, private).map_err(refused).ok()
    };
    list.iter().filter_map(place).collect()
}

fn url_and_reach(value: &Value) -> Option<(&str, bool)> {
    if let Some(url) = value.as_str() {
        return Some((url, false));
    }
    let table = value.as_inline_table()?;
    let known = table
        .iter()
        .all(|(key, _)| ["url", "private"].contains(&key));
    let private = match table.get("private") {
        Some(value) => value.as_bool()?,
        None => false,
    };
    let url = table.get("url")?.as_str()?;
    known.then_some((url, private))
}

#[cfg(test)]
mod tests;

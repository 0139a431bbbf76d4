//! What a component may do: the part of what its file asks for that the operator
//! grants.
//!
//! Plain data that is decided once, when the component is loaded. Never: files, and
//! the network beyond what is named here.

use std::collections::BTreeSet;
use std::fmt;

use crate::name::EventName;
use crate::pattern::Pattern;
use crate::web::HttpGrant;

/// Something a component can be allowed to import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `qx:events/log`.
    Log,
    /// `qx:events/config`.
    Config,
    /// `qx:events/state`.
    State,
    /// `qx:events/emit`.
    Emit,
    /// `wasi:clocks`.
    Clock,
    /// `wasi:random`.
    Random,
    /// `qx:events/secrets`.
    Secrets,
    /// `qx:events/http`.
    Http,
    /// `qx:events/sql`.
    Sql,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Log,
        Self::Config,
        Self::State,
        Self::Emit,
        Self::Clock,
        Self::Random,
        Self::Secrets,
        Self::Http,
        Self::Sql,
    ];

    /// The word for it in a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::State => "state",
            Self::Emit => "emit",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Secrets => "secrets",
            Self::Http => "http",
            Self::Sql => "sql",
        }
    }

    /// Reads the word of a file.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == word)
    }

    /// Whether what is done with it stays inside the host, or leaves with the
    /// commit. What does not is denied until an operator grants it.
    pub const fn stays_inside(self) -> bool {
        match self {
            Self::Log | Self::Config | Self::State | Self::Emit | Self::Clock | Self::Random => {
                true
            }
            Self::Secrets | Self::Http | Self::Sql => false,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What it may import.
    pub capabilities: BTreeSet<Capability>,
    /// The events that it may emit; `None` is every one.
    pub emit: Option<Vec<Pattern>>,
    /// The secrets that it may read, by name.
    pub secrets: BTreeSet<String>,
    /// Where it may send requests.
    pub http: Vec<HttpGrant>,
    /// The role of the database that its statements run as.
    pub sql: Option<String>,
}

impl Rights {
    /// Nothing.
    pub const fn none() -> Self {
        Self {
            capabilities: BTreeSet::new(),
            emit: None,
            secrets: BTreeSet::new(),
            http: Vec::new(),
            sql: None,
        }
    }

    /// These imports, and no detail of them.
    pub fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self {
            capabilities: capabilities.into_iter().collect(),
            ..Self::none()
        }
    }

    /// Whether it may import this.
    pub fn allow(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Whether it may emit an event of this name.
    pub fn may_emit(&self, name: &EventName) -> bool {
        let named = |patterns: &Vec<Pattern>| patterns.iter().any(|own| own.matches(name));
        self.emit.as_ref().is_none_or(named)
    }
}

/// What a component has whose operator said nothing: all that stays inside the host.
impl Default for Rights {
    fn default() -> Self {
        Self::of(Capability::ALL.into_iter().filter(|own| own.stays_inside()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capabilitys_word_names_it() {
        for capability in Capability::ALL {
            assert_eq!(Capability::parse(capability.as_str()), Some(capability));
        }
        assert_eq!(Capability::parse("network"), None);
    }

    #[test]
    fn what_reaches_outside_the_host_is_denied_unless_somebody_grants_it() {
        let rights = Rights::default();
        for capability in Capability::ALL {
            assert_eq!(rights.allow(capability), capability.stays_inside());
            assert!(!Rights::none().allow(capability));
        }
        assert!(rights.secrets.is_empty() && rights.http.is_empty() && rights.sql.is_none());
    }

    #[test]
    fn emitted_names_are_any_unless_patterns_narrow_them() {
        let name = |text| EventName::parse(text).unwrap();
        let mut rights = Rights::default();
        assert!(rights.may_emit(&name("order.placed")));
        rights.emit = Some(vec![Pattern::parse("repo.*").unwrap()]);
        assert!(rights.may_emit(&name("repo.starred")));
        assert!(!rights.may_emit(&name("order.placed")));
        rights.emit = Some(Vec::new());
        assert!(!rights.may_emit(&name("repo.starred")));
    }
}

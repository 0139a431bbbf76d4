//! What an operator says about a component beside its bytes: its name, its
//! budget, its routes and what it may import.

use std::collections::BTreeSet;
use std::fmt;

use qx_events::{ComponentName, Pattern, Settings, Versions};

/// Everything the host knows of a component that its bytes do not say.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file's stem.
    pub name: ComponentName,
    /// Its budget and its configuration.
    pub settings: Settings,
    /// Routes of the sidecar. When there are any, the component's own are ignored.
    pub routes: Option<Vec<ManifestRoute>>,
    /// What it may import.
    pub grants: Grants,
}

impl Manifest {
    /// A component with nothing beside it: default settings, its own routes, and
    /// every capability that stays inside the host.
    pub fn new(name: ComponentName) -> Self {
        Self {
            name,
            settings: Settings::default(),
            routes: None,
            grants: Grants::default(),
        }
    }
}

/// One `[[routes]]` of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRoute {
    /// Which events.
    pub patterns: Vec<Pattern>,
    /// Which versions of them.
    pub versions: Versions,
    /// To which export; `None` where the component has only one to choose.
    pub export: Option<String>,
}

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
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Log,
        Self::Config,
        Self::State,
        Self::Emit,
        Self::Clock,
        Self::Random,
    ];

    /// The word for it in a sidecar.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::State => "state",
            Self::Emit => "emit",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    /// Reads the word of a sidecar.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == word)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component may import. Never: the network, files, the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants(BTreeSet<Capability>);

impl Grants {
    /// Nothing.
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether this is allowed.
    pub fn allow(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

/// Everything there is today stays inside the host, so all of it is granted to a
/// component whose operator said nothing.
impl Default for Grants {
    fn default() -> Self {
        Capability::ALL.into_iter().collect()
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
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
    fn a_component_without_a_sidecar_has_all_that_stays_inside_the_host() {
        assert!(Capability::ALL.iter().all(|c| Grants::default().allow(*c)));
        assert!(!Capability::ALL.iter().any(|c| Grants::none().allow(*c)));
    }
}

//! What an operator says about a component beside its bytes: its name, its
//! settings with budget and rights, and its routes.

use qx_events::{ComponentName, Pattern, Settings, Versions};

use crate::outside::Outside;

/// Everything the host knows of a component that its bytes do not say.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file's stem.
    pub name: ComponentName,
    /// Its budget, its rights and its configuration.
    pub settings: Settings,
    /// Routes of the sidecar. When there are any, the component's own are ignored.
    pub routes: Option<Vec<ManifestRoute>>,
    /// What it reaches outside the host, within its rights.
    pub outside: Outside,
}

impl Manifest {
    /// A component with nothing beside it: default settings, its own routes, and
    /// every capability that stays inside the host.
    pub fn new(name: ComponentName) -> Self {
        Self {
            name,
            settings: Settings::default(),
            routes: None,
            outside: Outside::default(),
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

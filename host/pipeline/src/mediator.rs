//! Maps events to the components that take them: a table that is swapped whole.
//!
//! Reading takes no lock. A delivery that began on one build of a component ends
//! on it, because it holds the build itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use qx_events::{Component, ComponentName, Routes};

/// The routes in service.
#[derive(Debug, Default)]
pub struct Mediator {
    routes: ArcSwap<Routes>,
}

impl Mediator {
    /// The table as it is now.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// The build in service of this component.
    pub fn component(&self, name: &ComponentName) -> Option<Arc<Component>> {
        self.routes.load().get(name).map(Arc::clone)
    }

    /// Puts a component in service. Once this returns nothing new begins on the
    /// build it replaces; what began there finishes there.
    pub fn install(&self, component: &Arc<Component>) {
        self.routes.rcu(|routes| routes.with(Arc::clone(component)));
    }

    /// Takes a component out of service.
    pub fn remove(&self, name: &ComponentName) {
        self.routes.rcu(|routes| routes.without(name));
    }
}

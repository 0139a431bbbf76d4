//! Maps events to the components that take them: a table that is swapped whole.
//!
//! Reading takes no lock. A delivery that began on one build of a component ends
//! on it, because it holds the build itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use qx_events::{Component, ComponentName, Routes};
use tokio::sync::Notify;

/// The routes in service.
#[derive(Debug, Default)]
pub struct Mediator {
    routes: ArcSwap<Routes>,
    installed: Notify,
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
        self.installed.notify_waiters();
    }

    /// Takes a component out of service.
    pub fn remove(&self, name: &ComponentName) {
        self.routes.rcu(|routes| routes.without(name));
    }

    /// Whether this very build is the one in service.
    pub(crate) fn serves(&self, component: &Arc<Component>) -> bool {
        let routes = self.routes.load();
        let current = routes.get(&component.name);
        current.is_some_and(|current| Arc::ptr_eq(current, component))
    }

    /// Returns once a build of this component is in service.
    pub(crate) async fn in_service(&self, name: &ComponentName) {
        loop {
            let mut installed = std::pin::pin!(self.installed.notified());
            installed.as_mut().enable(); // Before the look: no install slips between.
            if self.routes.load().get(name).is_some() {
                return;
            }
            installed.await;
        }
    }
}

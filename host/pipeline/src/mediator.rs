//! Maps events to the builds that take them: a table that is swapped whole.
//!
//! Reading takes no lock. A delivery that began on one build of a component ends
//! on it, because it holds the build itself; but not for ever: a call that a
//! replaced build has not ended after the drain time is cut off.

mod build;
mod trial;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use qx_events::canary::Side;
use qx_events::{Component, ComponentName, Routes};
use tokio::sync::Notify;

use build::Build;
pub(crate) use build::Stay;
pub use trial::Trial;

/// How long a build that was replaced may go on with what it began, by default:
/// several times the timeout of a call.
const DRAIN: Duration = Duration::from_secs(30);

/// The routes in service.
#[derive(Debug)]
pub struct Mediator {
    table: ArcSwap<Table>,
    /// Held while the next table is made.
    writing: Mutex<()>,
    installed: Notify,
    drain: Duration,
    /// Builds that were replaced, as long as something runs on them.
    retired: Mutex<Vec<Weak<Build>>>,
    judged: Notify,
}

/// What is in service at one moment.
#[derive(Debug, Default, Clone)]
struct Table {
    routes: Arc<Routes>,
    builds: BTreeMap<ComponentName, Serving>,
}

/// The builds of one component.
#[derive(Debug, Clone)]
struct Serving {
    stable: Arc<Build>,
    canary: Option<(Arc<Build>, Arc<Trial>)>,
}

impl Default for Mediator {
    fn default() -> Self {
        Self::with_drain(DRAIN)
    }
}

impl Mediator {
    /// An empty table; a build that is replaced may go on for so long.
    pub fn with_drain(drain: Duration) -> Self {
        Self {
            table: ArcSwap::default(),
            writing: Mutex::default(),
            installed: Notify::new(),
            drain,
            retired: Mutex::default(),
            judged: Notify::new(),
        }
    }

    /// The table as it is now.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.table.load().routes)
    }

    /// The build in service of this component.
    pub fn component(&self, name: &ComponentName) -> Option<Arc<Component>> {
        self.table.load().routes.get(name).map(Arc::clone)
    }

    /// How many components are in service.
    pub(crate) fn components(&self) -> usize {
        self.table.load().routes.count()
    }

    /// Puts a component in service, in one step. Once this returns nothing new begins
    /// on the build it replaces, nor on a canary; what began there finishes there,
    /// within the drain time.
    pub fn install(&self, component: &Arc<Component>) {
        self.change(|table| {
            let stable = Arc::new(Build::new(component));
            table.routes = Arc::new(table.routes.with(Arc::clone(component)));
            let serving = Serving {
                stable,
                canary: None,
            };
            table.builds.insert(component.name.clone(), serving)
        });
        self.installed.notify_waiters();
    }

    /// Tries a build beside the one in service, with its share of the events. `None`:
    /// there is none in service.
    pub fn try_out(&self, canary: &Arc<Component>) -> Option<Arc<Trial>> {
        let mut trial = None;
        self.change(|table| {
            let serving = table.builds.get_mut(&canary.name)?;
            let before = serving.canary.take();
            let begun = Arc::new(Trial::new(canary));
            trial = Some(Arc::clone(&begun));
            serving.canary = Some((Arc::new(Build::new(canary)), begun));
            table.routes = Arc::new(table.routes.with_canary(Arc::clone(canary)));
            before.map(|(build, _)| Serving {
                stable: build,
                canary: None,
            })
        });
        trial
    }

    /// Gives a canary no events any more. `false`: it is none.
    pub fn withdraw(&self, canary: &Arc<Component>) -> bool {
        let mut withdrawn = false;
        self.change(|table| {
            let serving = table.builds.get_mut(&canary.name)?;
            let is_it = |(build, _): &mut (Arc<Build>, Arc<Trial>)| build.is_of(canary);
            let (build, _) = serving.canary.take_if(is_it)?;
            table.routes = Arc::new(table.routes.without_canary(&canary.name));
            withdrawn = true;
            Some(Serving {
                stable: build,
                canary: None,
            })
        });
        withdrawn
    }

    /// Takes a component out of service, with its canary.
    pub fn remove(&self, name: &ComponentName) {
        self.change(|table| {
            table.routes = Arc::new(table.routes.without(name));
            table.builds.remove(name)
        });
    }

    /// Deliveries that have begun on builds which are no longer in service.
    pub fn draining(&self, name: &ComponentName) -> usize {
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let builds = retired.iter().filter_map(Weak::upgrade);
        let own = builds.filter(|build| build.component().name == *name);
        own.map(|build| build.in_flight()).sum()
    }

    /// Returns when a canary may have been judged since the last time.
    pub async fn judged(&self) {
        self.judged.notified().await;
    }

    /// Wakes who waits for a canary's judgement.
    pub(crate) fn note_judged(&self) {
        self.judged.notify_one();
    }

    /// Whether this very build is in service, or tried.
    pub(crate) fn serves(&self, component: &Arc<Component>) -> bool {
        let table = self.table.load();
        let serving = table.builds.get(&component.name);
        serving.is_some_and(|serving| serving.build_of(component).is_some())
    }

    /// Begins something on this very build; `None`: it is in service no longer.
    pub(crate) fn enter(&self, component: &Arc<Component>) -> Option<Stay> {
        let table = self.table.load();
        let serving = table.builds.get(&component.name)?;
        let (build, side) = serving.build_of(component)?;
        let trial = serving.canary.as_ref().map(|(_, trial)| Arc::clone(trial));
        Some(Stay::new(build, side, trial))
    }

    /// Makes the next table from a copy of this one; what `make` returns was in
    /// service before it.
    fn change(&self, make: impl FnOnce(&mut Table) -> Option<Serving>) {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table::clone(&self.table.load());
        let before = make(&mut next);
        let next = Arc::new(next);
        self.table.store(Arc::clone(&next));
        drop(writing);
        let Some(Serving { stable, canary }) = before else {
            return;
        };
        let gone = std::iter::once(stable).chain(canary.map(|(build, _)| build));
        for build in gone {
            // A canary that was promoted goes on in its new place.
            let serving = next.builds.get(&build.component().name);
            if serving.is_none_or(|serving| serving.build_of(build.component()).is_none()) {
                self.retire(&build);
            }
        }
    }

    fn retire(&self, build: &Arc<Build>) {
        build.component().handler.rest();
        build.retire(self.drain);
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|build| build.strong_count() > 0);
        retired.push(Arc::downgrade(build));
    }

    /// Returns once a build of this component is in service.
    pub(crate) async fn in_service(&self, name: &ComponentName) {
        loop {
            let mut installed = std::pin::pin!(self.installed.notified());
            installed.as_mut().enable(); // Before the look: no install slips between.
            if self.table.load().routes.get(name).is_some() {
                return;
            }
            installed.await;
        }
    }
}

impl Serving {
    fn build_of(&self, component: &Arc<Component>) -> Option<(&Arc<Build>, Side)> {
        if self.stable.is_of(component) {
            return Some((&self.stable, Side::Stable));
        }
        let (canary, _) = self.canary.as_ref()?;
        canary.is_of(component).then_some((canary, Side::Canary))
    }
}

//! The table in service: which export of which component takes an event.
//!
//! A table is built once, checked, and swapped whole. Looking something up takes
//! no lock and allocates nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::canary::Lot;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::name::{ComponentName, EventName};
use crate::order::Order;
use crate::pattern::Pattern;
use crate::ports::Handler;
use crate::settings::Settings;
use crate::wire::Headers;

/// Which of a component's handler exports, in the order the sandbox found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExportIndex(pub usize);

/// The versions of an event that an export takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every version.
    Any,
    /// These.
    Only(Vec<u32>),
}

impl Versions {
    /// Whether this version is among them.
    pub fn contains(&self, version: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Only(own) => own.contains(&version),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Only(own), Self::Only(theirs)) => own.iter().any(|v| theirs.contains(v)),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(own) => {
                let texts: Vec<String> = own.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

/// One line of a component's routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Which events.
    pub pattern: Pattern,
    /// Which versions of them.
    pub versions: Versions,
    /// To which export.
    pub export: ExportIndex,
}

/// Two bindings of one component claim the same event for different exports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{left}` and `{right}` both take the same events (versions {versions}) to different exports: make one of them narrower, or leave it out"
)]
pub struct Clash {
    left: Pattern,
    right: Pattern,
    versions: Versions,
}

/// A component in service.
pub struct Component {
    /// Its file's stem.
    pub name: ComponentName,
    /// Its build.
    pub digest: Digest,
    /// What the operator set.
    pub settings: Settings,
    /// What calls it.
    pub handler: Arc<dyn Handler>,
    bindings: Vec<Binding>,
    exact: HashMap<EventName, Vec<usize>>,
    wild: Vec<usize>,
}

impl Component {
    /// Checks the bindings and builds the look-up. An exact name wins over a
    /// pattern; two names, or two patterns, must not overlap.
    pub fn new(
        name: ComponentName,
        digest: Digest,
        settings: Settings,
        handler: Arc<dyn Handler>,
        bindings: Vec<Binding>,
    ) -> Result<Self, Clash> {
        check(&bindings)?;
        let mut exact: HashMap<EventName, Vec<usize>> = HashMap::new();
        let mut wild = Vec::new();
        for (index, binding) in bindings.iter().enumerate() {
            match &binding.pattern {
                Pattern::Exact(name) => exact.entry(name.clone()).or_default().push(index),
                Pattern::Wild(_) => wild.push(index),
            }
        }
        Ok(Self {
            name,
            digest,
            settings,
            handler,
            bindings,
            exact,
            wild,
        })
    }

    /// Its bindings, as they were given.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Its filter: every pattern once, sorted.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut patterns: Vec<Pattern> = self.bindings.iter().map(|b| b.pattern.clone()).collect();
        patterns.sort();
        patterns.dedup();
        patterns
    }

    /// The export for an event, or what the component knows instead.
    pub fn export_for(&self, name: &EventName, version: u32) -> Resolution {
        let exact = self.exact.get(name).map(Vec::as_slice).unwrap_or_default();
        let wild = self.wild.iter().filter(|index| {
            self.bindings
                .get(**index)
                .is_some_and(|b| b.pattern.matches(name))
        });
        let mut subscribed = false;
        for binding in exact
            .iter()
            .chain(wild)
            .filter_map(|index| self.bindings.get(*index))
        {
            if binding.versions.contains(version) {
                return Resolution::Bound(binding.export);
            }
            subscribed = true;
        }
        if subscribed {
            Resolution::UnknownVersion
        } else {
            Resolution::NotSubscribed
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest.short())
    }
}

/// What a component says to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// This export takes it.
    Bound(ExportIndex),
    /// It takes the event, but not this version.
    UnknownVersion,
    /// It does not take the event.
    NotSubscribed,
}

fn check(bindings: &[Binding]) -> Result<(), Clash> {
    for (index, left) in bindings.iter().enumerate() {
        for right in bindings.iter().skip(index + 1) {
            let same_kind = matches!(left.pattern, Pattern::Exact(_))
                == matches!(right.pattern, Pattern::Exact(_));
            let clash = same_kind
                && left.export != right.export
                && left.versions.meets(&right.versions)
                && left.pattern.overlaps(&right.pattern);
            if clash {
                return Err(Clash {
                    left: left.pattern.clone(),
                    right: right.pattern.clone(),
                    versions: left.versions.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Every component in service, by name, and the new builds that are tried beside
/// them.
#[derive(Debug, Default, Clone)]
pub struct Routes {
    components: BTreeMap<ComponentName, Arc<Component>>,
    canaries: BTreeMap<ComponentName, Arc<Component>>,
}

/// Whether an event was given to a build of the component before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Nobody knows of a call.
    Never,
    /// A call ended without success, or did not end.
    Before,
}

impl Routes {
    /// The same table with this component put in, in place of one of its name and of
    /// a canary.
    #[must_use]
    pub fn with(&self, component: Arc<Component>) -> Self {
        let mut next = self.without_canary(&component.name);
        next.components.insert(component.name.clone(), component);
        next
    }

    /// The same table without this component.
    #[must_use]
    pub fn without(&self, name: &ComponentName) -> Self {
        let mut next = self.without_canary(name);
        next.components.remove(name);
        next
    }

    /// The same table where this build is tried beside the one of its name.
    #[must_use]
    pub fn with_canary(&self, canary: Arc<Component>) -> Self {
        let mut next = self.clone();
        next.canaries.insert(canary.name.clone(), canary);
        next
    }

    /// The same table without the canary of this name.
    #[must_use]
    pub fn without_canary(&self, name: &ComponentName) -> Self {
        let mut next = self.clone();
        next.canaries.remove(name);
        next
    }

    /// The build that an event goes to. A canary gets its share of the events that it
    /// takes, and none that was tried before, by itself or by the build in service.
    pub fn build_for(
        &self,
        name: &ComponentName,
        (event, headers): (&Envelope, &Headers),
        tried: Tried,
    ) -> Option<&Arc<Component>> {
        let stable = self.components.get(name)?;
        let canary = self.canaries.get(name).filter(|canary| {
            let percent = canary.settings.canary.percent;
            let takes = canary.export_for(&event.event_name, event.event_version);
            tried == Tried::Never
                && matches!(takes, Resolution::Bound(_))
                && lot(stable, event, headers, &canary.digest).is_within(percent)
        });
        Some(canary.unwrap_or(stable))
    }

    /// The component of this name.
    pub fn get(&self, name: &ComponentName) -> Option<&Arc<Component>> {
        self.components.get(name)
    }

    /// All of them, by name.
    pub fn components(&self) -> impl Iterator<Item = &Arc<Component>> {
        self.components.values()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.components.len()
    }

    /// Every component that takes this event, with the export.
    pub fn takers<'a>(
        &'a self,
        name: &'a EventName,
        version: u32,
    ) -> impl Iterator<Item = (&'a Arc<Component>, ExportIndex)> + 'a {
        self.components()
            .filter_map(move |component| match component.export_for(name, version) {
                Resolution::Bound(export) => Some((component, export)),
                Resolution::UnknownVersion | Resolution::NotSubscribed => None,
            })
    }
}

fn lot(stable: &Component, event: &Envelope, headers: &Headers, canary: &Digest) -> Lot {
    let key = match stable.settings.order {
        Order::None => None,
        Order::Key(field) => field.of(event, headers),
    };
    Lot::of(event.event_id, key.as_ref(), canary)
}

#[cfg(test)]
mod tests;

//! Which event goes to which export: by the sidecar's routes, else by the
//! component's own, else by the names of its exports where they are unambiguous.
//!
//! A plain function of names and routes. Clashes between bindings are found where
//! the table is built.

use qx_events::{Binding, ComponentName, EventName, ExportIndex, Pattern, Versions};

use crate::contract;
use crate::error::LoadError;
use crate::routes_section::Route;
use crate::signature;

/// What the prefix of an export's name is that names its event.
const CONVENTION_PREFIX: &str = "on-";

/// Most bindings of one component: each becomes a filter of its consumer.
pub(crate) const BINDINGS_MAX: usize = 1_000;

/// Exports shown in an error: a component may have any number.
const EXPORTS_SHOWN_MAX: usize = 20;

/// An export of the component that may be meant as a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The name it is exported by.
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

/// How a candidate looks to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A function of the handler's signature.
    Named,
    /// The interface `handler`, with a function of that signature.
    Interface,
    /// A function that would be one, with a payload that cannot be read; why.
    Unfit(String),
    /// Something else, in the notation of WIT.
    Other(String),
}

/// What became of a component's exports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The handlers, in the order that [`ExportIndex`] counts.
    pub(crate) exports: Vec<String>,
    pub(crate) bindings: Vec<Binding>,
}

/// Binds events to exports. `others` are exports that are no functions: only named
/// in errors.
pub(crate) fn bind(
    component: &ComponentName,
    candidates: &[Candidate],
    others: &[String],
    routes: &[Route],
) -> Result<Bound, LoadError> {
    let table = Table {
        component,
        candidates,
        others,
    };
    let bindings = if routes.is_empty() {
        table.by_convention()?
    } else {
        table.by_routes(routes)?
    };
    if table.handlers().next().is_none() {
        return Err(LoadError::NoHandler {
            exports: table.listed(),
        });
    }
    if bindings.len() > BINDINGS_MAX {
        return Err(LoadError::Routes {
            what: format!("more than {BINDINGS_MAX} events for one component"),
        });
    }
    Ok(Bound {
        exports: table.handlers().map(|c| c.name.clone()).collect(),
        bindings,
    })
}

struct Table<'a> {
    component: &'a ComponentName,
    candidates: &'a [Candidate],
    others: &'a [String],
}

impl Table<'_> {
    fn handlers(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| match c.shape {
            Shape::Named | Shape::Interface => true,
            Shape::Unfit(_) | Shape::Other(_) => false,
        })
    }

    fn by_routes(&self, routes: &[Route]) -> Result<Vec<Binding>, LoadError> {
        routes
            .iter()
            .map(|route| {
                Ok(Binding {
                    pattern: route.pattern.clone(),
                    versions: route.versions.clone(),
                    export: self.target(route)?,
                })
            })
            .collect()
    }

    /// The export that a route leads to.
    fn target(&self, route: &Route) -> Result<ExportIndex, LoadError> {
        let Some(wanted) = route.export.as_deref() else {
            return self.only_choice(&route.pattern);
        };
        let named = |name: &str| self.candidates.iter().find(|c| c.name == name);
        let found = match named(wanted) {
            None if is_interface(wanted) => named(contract::HANDLER),
            found => found,
        };
        match found {
            Some(candidate) => self.index_of(candidate),
            None => Err(LoadError::NoSuchExport {
                pattern: route.pattern.to_string(),
                export: wanted.escape_debug().take(80).collect(),
                exports: self.listed(),
            }),
        }
    }

    /// The export of a route that names none: the interface, else the only one.
    fn only_choice(&self, pattern: &Pattern) -> Result<ExportIndex, LoadError> {
        let interface = self.candidates.iter().find(|c| c.name == contract::HANDLER);
        if let Some(interface) = interface {
            return self.index_of(interface);
        }
        let mut handlers = self.handlers();
        match (handlers.next(), handlers.next()) {
            (Some(only), None) => self.index_of(only),
            (None, _) => Err(LoadError::NoHandler {
                exports: self.listed(),
            }),
            (Some(_), Some(_)) => Err(LoadError::WhichExport {
                pattern: pattern.to_string(),
                exports: self.listed(),
            }),
        }
    }

    fn index_of(&self, candidate: &Candidate) -> Result<ExportIndex, LoadError> {
        match &candidate.shape {
            Shape::Other(found) => Err(wrong_signature(candidate, found)),
            Shape::Unfit(why) => Err(unfit(candidate, why)),
            Shape::Named | Shape::Interface => {
                let before = self.handlers().take_while(|c| c.name != candidate.name);
                Ok(ExportIndex(before.count()))
            }
        }
    }

    /// `on-ping` takes `ping`, `on-user-registered` takes `user.registered`. With
    /// more words there is no telling where the dots are.
    fn by_convention(&self) -> Result<Vec<Binding>, LoadError> {
        let mut bindings = Vec::new();
        for candidate in self.candidates {
            let event = candidate.name.strip_prefix(CONVENTION_PREFIX);
            match (&candidate.shape, event) {
                (Shape::Other(found), Some(_)) => return Err(wrong_signature(candidate, found)),
                (Shape::Unfit(why), Some(_)) => return Err(unfit(candidate, why)),
                (Shape::Other(_) | Shape::Unfit(_), None) => {}
                (Shape::Interface, _) => {
                    return Err(LoadError::NeedsRoutes {
                        component: self.component.to_string(),
                    });
                }
                (Shape::Named, event) => bindings.push(Binding {
                    pattern: Pattern::Exact(self.conventional(&candidate.name, event)?),
                    versions: Versions::Any,
                    export: self.index_of(candidate)?,
                }),
            }
        }
        Ok(bindings)
    }

    fn conventional(&self, export: &str, event: Option<&str>) -> Result<EventName, LoadError> {
        let ambiguous = |why: String| LoadError::Ambiguous {
            export: export.to_owned(),
            why,
            component: self.component.to_string(),
        };
        let Some(event) = event else {
            return Err(ambiguous(format!(
                "it does not begin with `{CONVENTION_PREFIX}`"
            )));
        };
        let words: Vec<&str> = event.split('-').collect();
        match words.as_slice() {
            [first, second, _, ..] => Err(ambiguous(format!(
                "it could be `{}`, or `{first}.{}`, or `{first}-{second}.…`",
                words.join("."),
                words.get(1..).unwrap_or_default().join("-"),
            ))),
            _ => EventName::parse(&words.join(".")).map_err(|error| ambiguous(error.to_string())),
        }
    }

    /// Every export, for an error.
    fn listed(&self) -> String {
        let names = self.candidates.iter().map(|c| &c.name).chain(self.others);
        listed(names)
    }
}

/// Names in backquotes, not too many of them.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names = names.map(|name| format!("`{}`", name.escape_debug()));
    let mut shown: Vec<String> = names.by_ref().take(EXPORTS_SHOWN_MAX).collect();
    match names.count() {
        0 if shown.is_empty() => return "nothing".to_owned(),
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    shown.join(", ")
}

fn wrong_signature(candidate: &Candidate, found: &str) -> LoadError {
    let expected = if candidate.name == contract::HANDLER {
        signature::INTERFACE
    } else {
        signature::HANDLERS
    };
    LoadError::Signature {
        export: candidate.name.clone(),
        expected,
        found: found.to_owned(),
    }
}

fn unfit(candidate: &Candidate, why: &str) -> LoadError {
    LoadError::Payload {
        export: candidate.name.clone(),
        why: why.to_owned(),
    }
}

/// The ways to name the interface in a route.
fn is_interface(name: &str) -> bool {
    matches!(
        name,
        "handler" | "qx:events/handler" | contract::HANDLER | contract::HANDLE
    )
}

#[cfg(test)]
mod tests;

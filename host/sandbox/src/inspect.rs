//! What a component's types say: whether it belongs here, what it needs, and which
//! of its exports the host can call.

use std::collections::HashMap;

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use crate::bind::{Candidate, Shape, listed};
use crate::call::event::{Export, Takes};
use crate::contract;
use crate::error::LoadError;
use crate::imports;
use crate::manifest::Manifest;
use crate::signature::{self, Signature};
use crate::surface::{Kind, Surface};
use crate::typed::PayloadType;

/// The unit in which WebAssembly counts memory.
const PAGE_BYTES: u64 = 64 << 10;

/// A component of another world is told so before its imports are: they belong to
/// that world.
pub(crate) fn check_world(surface: &Surface) -> Result<(), LoadError> {
    for export in &surface.exports {
        let served = |version| contract::VERSIONS.contains(&version);
        if let Some((contract::PACKAGE, "handler", version)) = imports::split(&export.name)
            && !served(version)
        {
            return Err(imports::unserved(&export.name));
        }
    }
    let can_be_handler = surface
        .exports
        .iter()
        .any(|export| export.kind == Kind::Function || export.name == contract::HANDLER);
    if can_be_handler {
        return Ok(());
    }
    Err(LoadError::OtherWorld {
        exports: listed(surface.exports.iter().map(|export| &export.name)),
    })
}

/// A component that begins with more than its limit would fail at every event.
pub(crate) fn check_memory(component: &Component, manifest: &Manifest) -> Result<(), LoadError> {
    let limit = manifest.settings.limits.memory_bytes;
    let required = component.resources_required();
    let pages = required.and_then(|required| required.max_initial_memory_size);
    let needed = pages.unwrap_or(0).saturating_mul(PAGE_BYTES);
    if usize::try_from(needed).is_ok_and(|needed| needed <= limit) {
        return Ok(());
    }
    Err(LoadError::Memory {
        needed,
        limit,
        component: manifest.name.to_string(),
    })
}

/// What a component exports, with an eye to handlers.
#[derive(Default)]
pub(crate) struct Exports {
    /// Those that may be handlers.
    pub(crate) candidates: Vec<Candidate>,
    /// What those take that can be called.
    pub(crate) typed: HashMap<String, Takes>,
    /// The names of the others.
    pub(crate) others: Vec<String>,
}

/// Looks at every export.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign list of everything that can be exported, of which two matter"
)]
pub(crate) fn exports(component: &Component) -> Exports {
    let mut found = Exports::default();
    let engine = component.engine();
    for (name, export) in component.component_type().exports(engine) {
        let shape = match export.ty {
            ComponentItem::ComponentFunc(function) => found.function(name, &function),
            ComponentItem::ComponentInstance(instance) if name == contract::HANDLER => {
                let handle = instance.get_export(engine, contract::HANDLE);
                match handle.map(|handle| handle.ty) {
                    Some(ComponentItem::ComponentFunc(function)) => interface(&function),
                    _ => Shape::Other("an interface without the function `handle`".to_owned()),
                }
            }
            _ => {
                found.others.push(name.to_owned());
                continue;
            }
        };
        found.candidates.push(Candidate {
            name: name.to_owned(),
            shape,
        });
    }
    found
}

impl Exports {
    fn function(&mut self, name: &str, function: &ComponentFunc) -> Shape {
        let takes = match signature::takes(function) {
            Signature::Event => Takes::Event,
            Signature::Payload(plan) => Takes::Payload(PayloadType::new(plan)),
            Signature::PayloadAndContext(plan) => Takes::PayloadAndContext(PayloadType::new(plan)),
            Signature::Unfit(unfit) => return Shape::Unfit(unfit.to_string()),
            Signature::Other => return Shape::Other(signature::describe(function)),
        };
        self.typed.insert(name.to_owned(), takes);
        Shape::Named
    }
}

/// The interface takes the generic event: its patterns have no one type.
fn interface(function: &ComponentFunc) -> Shape {
    match signature::takes(function) {
        Signature::Event => Shape::Interface,
        Signature::Payload(_)
        | Signature::PayloadAndContext(_)
        | Signature::Unfit(_)
        | Signature::Other => Shape::Other(signature::describe(function)),
    }
}

/// The handlers, found once, so that a call need not look them up by name.
pub(crate) fn handlers(
    component: &Component,
    names: &[String],
    typed: &mut HashMap<String, Takes>,
) -> Result<Vec<Export>, LoadError> {
    let index = |name: &String| {
        let export = component.get_export_index(None, name.as_str())?;
        if name == contract::HANDLER {
            return component.get_export_index(Some(&export), contract::HANDLE);
        }
        Some(export)
    };
    let missing = |name: &String| {
        LoadError::Invalid(wasmtime::format_err!("the export `{name}` is not there"))
    };
    let handler = |name: &String| {
        Ok(Export {
            name: name.clone(),
            index: index(name).ok_or_else(|| missing(name))?,
            takes: typed.remove(name).unwrap_or(Takes::Event),
        })
    };
    names.iter().map(handler).collect()
}

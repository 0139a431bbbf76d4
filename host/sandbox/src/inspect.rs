//! What a component's types say: whether it belongs here, what it needs, and which
//! of its exports the host can call.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex};

use crate::bind::{Candidate, Shape, listed};
use crate::contract;
use crate::error::LoadError;
use crate::imports;
use crate::manifest::Manifest;
use crate::signature;
use crate::surface::{Kind, Surface};

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

/// The exports that may be handlers, and the names of the others.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign list of everything that can be exported, of which two matter"
)]
pub(crate) fn candidates(component: &Component) -> (Vec<Candidate>, Vec<String>) {
    let (mut candidates, mut others) = (Vec::new(), Vec::new());
    let engine = component.engine();
    for (name, export) in component.component_type().exports(engine) {
        let shape = match export.ty {
            ComponentItem::ComponentFunc(function) if signature::is_handler(&function) => {
                Some(Shape::Named)
            }
            ComponentItem::ComponentFunc(function) => {
                Some(Shape::Other(signature::describe(&function)))
            }
            ComponentItem::ComponentInstance(instance) if name == contract::HANDLER => {
                let handle = instance.get_export(engine, contract::HANDLE);
                Some(match handle.map(|handle| handle.ty) {
                    Some(ComponentItem::ComponentFunc(function))
                        if signature::is_handler(&function) =>
                    {
                        Shape::Interface
                    }
                    Some(ComponentItem::ComponentFunc(function)) => {
                        Shape::Other(signature::describe(&function))
                    }
                    _ => Shape::Other("an interface without the function `handle`".to_owned()),
                })
            }
            _ => None,
        };
        match shape {
            Some(shape) => candidates.push(Candidate {
                name: name.to_owned(),
                shape,
            }),
            None => others.push(name.to_owned()),
        }
    }
    (candidates, others)
}

/// Where the handlers are, so that a call need not look them up by name.
pub(crate) fn indices(
    component: &Component,
    exports: &[String],
) -> Result<Vec<ComponentExportIndex>, LoadError> {
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
    exports
        .iter()
        .map(|name| index(name).ok_or_else(|| missing(name)))
        .collect()
}

//! The guest contract for toolchains that know nothing of it: its text, and its
//! mark in a module of a compiler of C.

use wit_component::StringEncoding;
use wit_parser::{Resolve, WorldId};

/// The contract that handlers are built for.
pub(super) const TEXT: &str = include_str!("../../../../wit/1.0.0/events.wit");

/// The world of a component that takes its events through the interface `handler`.
pub(super) const WORLD: &str = "component";

/// Writes into a core module of what world it is. The bindings in `guest-sdk/c` are
/// of that world, or the encoder refuses the module.
pub(super) fn mark(module: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("events.wit", TEXT)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    mark_as(module, &resolve, world)
}

/// The same for a world of the project's own.
pub(super) fn mark_as(
    module: &mut Vec<u8>,
    resolve: &Resolve,
    world: WorldId,
) -> anyhow::Result<()> {
    wit_component::embed_component_metadata(module, resolve, world, StringEncoding::UTF8)
}

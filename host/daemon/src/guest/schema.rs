//! The contract of an event as its handler's type says it: read from the component,
//! with the names and the words of its author.
//!
//! What a payload is held against is the sandbox's plan of the same type; here it is
//! written down for people and for other programs.

mod json;
mod wit;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, Type, TypeDefKind, WorldId, WorldItem, WorldKey};

pub use json::json_schema;
pub use wit::wit;

/// The types of a component.
pub struct Types {
    resolve: Resolve,
    world: WorldId,
}

/// The bytes are no component that can be read.
#[derive(Debug, thiserror::Error)]
#[error("its types cannot be read: build it again with a current toolchain")]
pub struct Unreadable(#[source] Option<anyhow::Error>);

impl Types {
    /// Reads them.
    pub fn read(component: &[u8]) -> Result<Self, Unreadable> {
        match wit_component::decode(component).map_err(|error| Unreadable(Some(error)))? {
            DecodedWasm::Component(resolve, world) => Ok(Self { resolve, world }),
            DecodedWasm::WitPackage(..) => Err(Unreadable(None)),
        }
    }

    /// The type of the first parameter of an export. `None` where there is no such
    /// function, or it takes nothing.
    pub fn taken_by(&self, export: &str) -> Option<Type> {
        let world = self.resolve.worlds.get(self.world)?;
        let item = world.exports.get(&WorldKey::Name(export.to_owned()))?;
        match item {
            WorldItem::Function(function) => function.params.first().map(|param| param.ty),
            WorldItem::Interface { .. } | WorldItem::Type { .. } => None,
        }
    }

    /// A type without the names that only stand for another.
    fn plain(&self, ty: Type) -> Type {
        let mut plain = ty;
        while let Type::Id(id) = plain {
            match self.resolve.types.get(id).map(|def| &def.kind) {
                Some(TypeDefKind::Type(other)) => plain = *other,
                Some(_) | None => break,
            }
        }
        plain
    }
}

#[cfg(test)]
mod tests;

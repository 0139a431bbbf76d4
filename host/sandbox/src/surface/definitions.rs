//! Which of a component's types are interfaces with nothing in them but types: what an
//! author's own WIT is imported as. They ask the host for nothing.
//!
//! Counts the types of the outermost component as the format does. Nothing is
//! trusted to be so: an interface that is taken for one of types and has a function
//! is missed by the linker.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, InstanceTypeDeclaration, Payload, TypeBounds,
};

/// The types of a component, by their index: whether each is an interface of types.
#[derive(Debug, Default)]
pub(super) struct Definitions(Vec<bool>);

impl Definitions {
    /// Whether the type of this index is an interface of types.
    pub(super) fn has(&self, index: u32) -> bool {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.0.get(index).copied().unwrap_or(false)
    }

    /// A type that was named in an import: it is one more.
    pub(super) fn imported(&mut self) {
        self.0.push(false);
    }

    /// Takes a section of the outermost component, imports apart.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign list of every section there is, of which three matter"
    )]
    pub(super) fn take(&mut self, payload: &Payload<'_>) -> Result<(), wasmparser::Error> {
        match payload {
            Payload::ComponentTypeSection(types) => {
                for ty in types.clone() {
                    let only_types = match ty? {
                        ComponentType::Instance(parts) => {
                            !parts.is_empty() && parts.iter().all(is_definition)
                        }
                        ComponentType::Defined(_)
                        | ComponentType::Func(_)
                        | ComponentType::Component(_)
                        | ComponentType::Resource { .. } => false,
                    };
                    self.0.push(only_types);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    if is_of_type(&alias?) {
                        self.0.push(false);
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    if export?.kind == ComponentExternalKind::Type {
                        self.0.push(false);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A part of an interface that somebody else need not have.
fn is_definition(part: &InstanceTypeDeclaration<'_>) -> bool {
    match part {
        InstanceTypeDeclaration::CoreType(_)
        | InstanceTypeDeclaration::Type(_)
        | InstanceTypeDeclaration::Alias(_) => true,
        InstanceTypeDeclaration::Export { ty, .. } => match ty {
            ComponentTypeRef::Type(TypeBounds::Eq(_)) => true,
            ComponentTypeRef::Type(TypeBounds::SubResource)
            | ComponentTypeRef::Module(_)
            | ComponentTypeRef::Func(_)
            | ComponentTypeRef::Value(_)
            | ComponentTypeRef::Instance(_)
            | ComponentTypeRef::Component(_) => false,
        },
    }
}

fn is_of_type(alias: &ComponentAlias<'_>) -> bool {
    match alias {
        ComponentAlias::InstanceExport { kind, .. } => *kind == ComponentExternalKind::Type,
        ComponentAlias::Outer { kind, .. } => *kind == ComponentOuterAliasKind::Type,
        ComponentAlias::CoreInstanceExport { .. } => false,
    }
}

//! What can be said of a file before it is compiled: its format, the names of its
//! imports and exports, and the routes that it carries.
//!
//! Reads names only. Types are checked on the compiled component, where they
//! have been validated; nothing here trusts a length or a text.

mod definitions;

use definitions::Definitions;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Parser, Payload, TypeBounds};

use crate::error::LoadError;

/// The custom section that carries a component's routes.
const ROUTES_SECTION: &str = "qx:routes";

/// Most bytes of routes in one component: some 1,000 records.
pub(crate) const ROUTES_BYTES_MAX: usize = 64 << 10;

/// Deepest nesting of components and modules. Toolchains stay below 5.
pub(crate) const NESTING_MAX: usize = 32;

/// Most imports and exports of one component, counted together: toolchains stay
/// below 100.
pub(crate) const NAMES_MAX: usize = 1_000;

/// Bytes shown of a file that is no component.
const BEGINNING_BYTES: usize = 24;

/// What a component says about itself.
#[derive(Debug, Default)]
pub(crate) struct Surface {
    /// Names of its imports.
    pub(crate) imports: Vec<String>,
    /// Names of its exports.
    pub(crate) exports: Vec<Export>,
    /// Its sections `qx:routes`, one after the other.
    pub(crate) routes: Vec<u8>,
}

/// An export, by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What is exported under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Other,
}

impl Surface {
    /// Reads a component's outermost names and all its sections `qx:routes`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        check_format(bytes)?;
        let mut surface = Self::default();
        let mut definitions = Definitions::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| damaged(error, bytes.len()))?;
            surface.take(&payload, depth, (&mut definitions, bytes.len()))?;
            if surface.imports.len() + surface.exports.len() > NAMES_MAX {
                return Err(LoadError::TooManyNames { max: NAMES_MAX });
            }
            depth = depth_after(&payload, depth)?;
        }
        Ok(surface)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign list of every section there is, of which three matter"
    )]
    fn take(
        &mut self,
        payload: &Payload<'_>,
        depth: usize,
        (definitions, bytes): (&mut Definitions, usize),
    ) -> Result<(), LoadError> {
        if depth == 0 {
            definitions
                .take(payload)
                .map_err(|error| damaged(error, bytes))?;
        }
        match payload {
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports.clone() {
                    let import = import.map_err(|error| damaged(error, bytes))?;
                    let name = import.name.name.to_owned();
                    if !is_asked_for(&name, import.ty, definitions) {
                        continue;
                    }
                    self.imports.push(name);
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports.clone() {
                    let export = export.map_err(|error| damaged(error, bytes))?;
                    self.exports.push(Export {
                        name: export.name.name.to_owned(),
                        kind: match export.kind {
                            ComponentExternalKind::Func => Kind::Function,
                            ComponentExternalKind::Module
                            | ComponentExternalKind::Value
                            | ComponentExternalKind::Type
                            | ComponentExternalKind::Instance
                            | ComponentExternalKind::Component => Kind::Other,
                        },
                    });
                }
            }
            // Cut off between two of its sections, what is nested looks whole.
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } if !usize::try_from(unchecked_range.end).is_ok_and(|end| end <= bytes) => {
                return Err(LoadError::Truncated { bytes });
            }
            Payload::CustomSection(section) if section.name() == ROUTES_SECTION => {
                self.routes.extend_from_slice(section.data());
                if self.routes.len() > ROUTES_BYTES_MAX {
                    return Err(LoadError::Routes {
                        what: format!("more than {ROUTES_BYTES_MAX} bytes"),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an import wants something of the host. A type under a name of its own is a
/// definition, and so is an interface of types; that of the contract is looked at for
/// its version.
fn is_asked_for(name: &str, ty: ComponentTypeRef, definitions: &mut Definitions) -> bool {
    match ty {
        ComponentTypeRef::Type(bounds) => {
            definitions.imported();
            !matches!(bounds, TypeBounds::Eq(_))
        }
        ComponentTypeRef::Instance(index) => !definitions.has(index) || name.starts_with(RESERVED),
        ComponentTypeRef::Module(_)
        | ComponentTypeRef::Func(_)
        | ComponentTypeRef::Value(_)
        | ComponentTypeRef::Component(_) => true,
    }
}

/// The namespace whose interfaces are this host's.
const RESERVED: &str = "qx:";

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign list of every section there is, of which three matter"
)]
fn depth_after(payload: &Payload<'_>, depth: usize) -> Result<usize, LoadError> {
    let depth = match payload {
        Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth + 1,
        Payload::End(_) => depth.saturating_sub(1),
        _ => depth,
    };
    if depth > NESTING_MAX {
        return Err(LoadError::Invalid(wasmtime::format_err!(
            "components are nested more than {NESTING_MAX} deep"
        )));
    }
    Ok(depth)
}

fn check_format(bytes: &[u8]) -> Result<(), LoadError> {
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if b"\0asm".starts_with(bytes) || (bytes.starts_with(b"\0asm") && bytes.len() < 8) {
        return Err(LoadError::Truncated { bytes: bytes.len() });
    }
    let head = bytes.get(..BEGINNING_BYTES).unwrap_or(bytes);
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 128;
    Err(LoadError::NotWasm {
        what: if head.iter().all(is_text) {
            "text"
        } else {
            "of another format"
        },
        beginning: String::from_utf8_lossy(head).escape_debug().collect(),
    })
}

fn damaged(error: wasmparser::Error, bytes: usize) -> LoadError {
    if error.message().starts_with("unexpected end-of-file") {
        LoadError::Truncated { bytes }
    } else {
        LoadError::Damaged(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wat: &str) -> Result<Surface, LoadError> {
        Surface::read(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn what_is_no_component_is_called_by_its_name() {
        let text = Surface::read(b"#!/bin/sh\necho hello").unwrap_err();
        assert!(text.to_string().contains("is text, not"), "{text}");
        assert!(text.to_string().contains("#!/bin/sh"), "{text}");
        let image = Surface::read(b"\x89PNG\r\n\x1a\n\0\0\0").unwrap_err();
        assert!(image.to_string().contains("another format"), "{image}");
        assert!(matches!(Surface::read(b""), Err(LoadError::Empty)));
        assert!(matches!(read("(module)"), Err(LoadError::CoreModule)));
        let cut = Surface::read(b"\0asm");
        assert!(matches!(cut, Err(LoadError::Truncated { bytes: 4 })));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_no_panic_and_mostly_recognised() {
        let whole = wat::parse_str(
            r#"(component (core module (@custom "qx:routes" "on-a\ta\t*\n") (func (export "f"))))"#,
        )
        .unwrap();
        let cut = |length: usize| Surface::read(whole.get(..length).unwrap());
        let truncated = (1..whole.len())
            .filter(|length| matches!(cut(*length), Err(LoadError::Truncated { .. })))
            .count();
        assert_eq!(truncated, whole.len() - 2, "eight bytes are an empty one");
    }

    #[test]
    fn routes_are_found_however_deep_they_are() {
        let surface = read(
            r#"(component
                (@custom "qx:routes" "a")
                (component (core module (@custom "qx:routes" "b") (@custom "other" "x")))
                (core module (@custom "qx:routes" "c")))"#,
        )
        .unwrap();
        let mut routes = surface.routes;
        routes.sort_unstable();
        assert_eq!(routes, b"abc");
    }

    #[test]
    fn nesting_and_routes_have_a_bound() {
        let deep = format!("{}{}", "(component ".repeat(40), ")".repeat(40));
        assert!(matches!(read(&deep), Err(LoadError::Invalid(_))));
        let long = format!(
            r#"(component (@custom "qx:routes" "{}"))"#,
            "x".repeat(ROUTES_BYTES_MAX + 1)
        );
        assert!(matches!(read(&long), Err(LoadError::Routes { .. })));
    }

    #[test]
    fn names_have_a_bound() {
        let one = |n| format!("(import \"a:b/c{n}\" (instance))");
        let many = (0..=NAMES_MAX).map(one).collect::<Vec<_>>().concat();
        let refused = read(&format!("(component {many})")).unwrap_err();
        assert!(refused.to_string().contains("1000"), "{refused}");
    }

    #[test]
    fn only_the_outermost_names_count() {
        let surface = read(
            r#"(component
                (import "a:b/c@1.0.0" (instance))
                (component (import "inner" (instance)))
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func (export "on-ping") (canon lift (core func $i "f"))))"#,
        )
        .unwrap();
        assert_eq!(surface.imports, ["a:b/c@1.0.0"]);
        assert_eq!(surface.exports.len(), 1);
        assert_eq!(surface.exports[0].name, "on-ping");
        assert_eq!(surface.exports[0].kind, Kind::Function);
    }
}

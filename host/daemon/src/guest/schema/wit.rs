//! Types as WIT: every type that some payloads are made of, each once, in one
//! interface.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{Docs, Type, TypeDef, TypeDefKind, TypeId};

use super::Types;

/// An interface `events` with the types of these payloads and what they are made of.
/// Empty where none of them has a name.
pub fn wit(types: &Types, payloads: &[Type]) -> String {
    let mut writer = Writer {
        types,
        names: BTreeMap::new(),
        seen: BTreeSet::new(),
        text: String::new(),
    };
    for payload in payloads {
        writer.define(*payload);
    }
    if writer.text.is_empty() {
        return String::new();
    }
    format!(
        "interface events {{\n{}}}\n",
        writer.text.trim_start_matches('\n')
    )
}

impl Types {
    /// A type in the notation of WIT, by its name where it has one.
    pub fn shown(&self, ty: Type) -> String {
        let writer = Writer {
            types: self,
            names: BTreeMap::new(),
            seen: BTreeSet::new(),
            text: String::new(),
        };
        writer.shown(ty)
    }
}

struct Writer<'a> {
    types: &'a Types,
    /// Names of types where another interface has one of the same name.
    names: BTreeMap<TypeId, String>,
    seen: BTreeSet<TypeId>,
    text: String,
}

impl Writer<'_> {
    /// Writes what a type is made of, and then the type itself.
    fn define(&mut self, ty: Type) {
        let Type::Id(id) = self.types.plain(ty) else {
            return;
        };
        if !self.seen.insert(id) {
            return;
        }
        let types = self.types;
        let Some(def) = types.resolve.types.get(id) else {
            return;
        };
        for part in parts(def) {
            self.define(part);
        }
        if let Some(name) = &def.name {
            let name = self.unique(id, name);
            let text = self.definition(def, &name);
            self.text.push_str(&text);
        }
    }

    /// The name, or the name with a number where another type has it.
    fn unique(&mut self, id: TypeId, name: &str) -> String {
        let mut own = name.to_owned();
        let mut number = 2;
        while self.names.values().any(|other| *other == own) {
            own = format!("{name}-v{number}");
            number += 1;
        }
        self.names.insert(id, own.clone());
        own
    }

    fn definition(&self, def: &TypeDef, name: &str) -> String {
        let name = escaped(name);
        let mut text = format!("\n{}", documented(&def.docs, 1));
        let line = |text: &mut String, docs: &Docs, line: String| {
            text.push_str(&documented(docs, 2));
            text.extend(["    ", &line, ",\n"]);
        };
        let mut members = String::new();
        let keyword = match &def.kind {
            TypeDefKind::Record(record) => {
                for field in &record.fields {
                    let (name, ty) = (escaped(&field.name), self.shown(field.ty));
                    line(&mut members, &field.docs, format!("{name}: {ty}"));
                }
                "record"
            }
            TypeDefKind::Variant(variant) => {
                for case in &variant.cases {
                    let name = escaped(&case.name);
                    let carries = case.ty.map(|ty| format!("({})", self.shown(ty)));
                    let carries = carries.unwrap_or_default();
                    line(&mut members, &case.docs, format!("{name}{carries}"));
                }
                "variant"
            }
            TypeDefKind::Enum(own) => {
                for case in &own.cases {
                    line(&mut members, &case.docs, escaped(&case.name));
                }
                "enum"
            }
            TypeDefKind::Flags(own) => {
                for flag in &own.flags {
                    line(&mut members, &flag.docs, escaped(&flag.name));
                }
                "flags"
            }
            TypeDefKind::Option(_)
            | TypeDefKind::List(_)
            | TypeDefKind::FixedLengthList(..)
            | TypeDefKind::Tuple(_)
            | TypeDefKind::Type(_)
            | TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Result(_)
            | TypeDefKind::Map(..)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => {
                let shown = self.structure(def);
                return format!("{text}  type {name} = {shown};\n");
            }
        };
        text.extend(["  ", keyword, " ", &name, " {\n", &members, "  }\n"]);
        text
    }

    fn shown(&self, ty: Type) -> String {
        match self.types.plain(ty) {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::ErrorContext => "error-context".to_owned(),
            Type::Id(id) => {
                let own = self.names.get(&id).map(|name| escaped(name));
                let def = self.types.resolve.types.get(id);
                own.or_else(|| def?.name.as_deref().map(escaped))
                    .or_else(|| def.map(|def| self.structure(def)))
                    .unwrap_or_default()
            }
        }
    }

    /// A type without a name of its own.
    fn structure(&self, def: &TypeDef) -> String {
        match &def.kind {
            TypeDefKind::Option(ty) => format!("option<{}>", self.shown(*ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.shown(*ty)),
            TypeDefKind::FixedLengthList(ty, length) => {
                format!("list<{}, {length}>", self.shown(*ty))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.shown(*ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Type(ty) => self.shown(*ty),
            // They have a name, or no form in JSON.
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Result(_)
            | TypeDefKind::Map(..)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => def.kind.as_str().to_owned(),
        }
    }
}

/// The types that stand in a type.
fn parts(def: &TypeDef) -> Vec<Type> {
    match &def.kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| field.ty).collect(),
        TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).collect(),
        TypeDefKind::Tuple(tuple) => tuple.types.clone(),
        TypeDefKind::Option(ty)
        | TypeDefKind::List(ty)
        | TypeDefKind::FixedLengthList(ty, _)
        | TypeDefKind::Type(ty) => vec![*ty],
        TypeDefKind::Enum(_)
        | TypeDefKind::Flags(_)
        | TypeDefKind::Resource
        | TypeDefKind::Handle(_)
        | TypeDefKind::Result(_)
        | TypeDefKind::Map(..)
        | TypeDefKind::Future(_)
        | TypeDefKind::Stream(_)
        | TypeDefKind::Unknown => Vec::new(),
    }
}

fn documented(docs: &Docs, level: usize) -> String {
    let lines = docs.contents.as_deref().unwrap_or_default().trim().lines();
    let pad = "  ".repeat(level);
    let mut text = String::new();
    for line in lines {
        text.extend([&pad, "/// ", line, "\n"]);
    }
    text
}

/// Words of WIT, which are names only behind a `%`. All that a type can be named.
const WORDS: [&str; 44] = [
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "enum",
    "error-context",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "use",
    "variant",
    "with",
    "world",
    "external-id",
];

fn escaped(name: &str) -> String {
    if WORDS.contains(&name) {
        return format!("%{name}");
    }
    name.to_owned()
}

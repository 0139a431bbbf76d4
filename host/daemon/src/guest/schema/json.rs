//! A type as JSON Schema, draft 2020-12.
//!
//! Says what the host takes, and is stricter in one thing: keys are in `snake_case`,
//! of which the host takes other spellings too.

use std::collections::BTreeMap;

use qx_sandbox::spellings;
use serde_json::{Map, Value, json};
use wit_parser::{Docs, Type, TypeDef, TypeDefKind, TypeId};

use super::Types;

/// The draft.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a payload.
pub fn json_schema(types: &Types, ty: Type, title: &str) -> Value {
    let mut writer = Writer {
        types,
        names: BTreeMap::new(),
        defs: Map::new(),
    };
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!(DRAFT));
    schema.insert("title".to_owned(), json!(title));
    if let Value::Object(own) = writer.schema(ty) {
        schema.extend(own);
    }
    if !writer.defs.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(writer.defs));
    }
    Value::Object(schema)
}

struct Writer<'a> {
    types: &'a Types,
    /// Names of definitions: those of two interfaces may be the same.
    names: BTreeMap<TypeId, String>,
    defs: Map<String, Value>,
}

impl Writer<'_> {
    fn schema(&mut self, ty: Type) -> Value {
        let whole = |min: i64, max: u64| json!({"type": "integer", "minimum": min, "maximum": max});
        let signed =
            |min: i64, max: i64| json!({"type": "integer", "minimum": min, "maximum": max});
        match self.types.plain(ty) {
            Type::Bool => json!({"type": "boolean"}),
            Type::U8 => whole(0, u8::MAX.into()),
            Type::U16 => whole(0, u16::MAX.into()),
            Type::U32 => whole(0, u32::MAX.into()),
            Type::U64 => whole(0, u64::MAX),
            Type::S8 => signed(i8::MIN.into(), i8::MAX.into()),
            Type::S16 => signed(i16::MIN.into(), i16::MAX.into()),
            Type::S32 => signed(i32::MIN.into(), i32::MAX.into()),
            Type::S64 => signed(i64::MIN, i64::MAX),
            Type::F32 | Type::F64 => json!({"type": "number"}),
            Type::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            Type::String => json!({"type": "string"}),
            Type::Id(id) => self.defined(id),
            // It has no form in JSON, and no component with it is loaded.
            Type::ErrorContext => json!(false),
        }
    }

    /// A type with a name stands once, among the definitions.
    fn defined(&mut self, id: TypeId) -> Value {
        let types = self.types;
        let Some(def) = types.resolve.types.get(id) else {
            return json!(false);
        };
        let Some(name) = &def.name else {
            return self.structure(def);
        };
        if let Some(known) = self.names.get(&id) {
            return reference(known);
        }
        let taken = |name: &str| self.names.values().any(|other| other == name);
        let mut own = name.clone();
        let mut number = 2;
        while taken(&own) {
            own = format!("{name}-{number}");
            number += 1;
        }
        self.names.insert(id, own.clone());
        let schema = self.structure(def);
        let reference = reference(&own);
        self.defs.insert(own, documented(schema, &def.docs));
        reference
    }

    fn structure(&mut self, def: &TypeDef) -> Value {
        match &def.kind {
            TypeDefKind::Record(record) => {
                let (mut properties, mut required) = (Map::new(), Vec::new());
                for field in &record.fields {
                    let key = snake(&field.name);
                    if !self.is_option(field.ty) {
                        required.push(key.clone());
                    }
                    let schema = self.schema(field.ty);
                    properties.insert(key, documented(schema, &field.docs));
                }
                json!({"type": "object", "properties": properties, "required": required})
            }
            TypeDefKind::Option(ty) => json!({"anyOf": [self.schema(*ty), {"type": "null"}]}),
            TypeDefKind::List(ty) => json!({"type": "array", "items": self.schema(*ty)}),
            TypeDefKind::FixedLengthList(ty, length) => {
                let items = self.schema(*ty);
                json!({"type": "array", "items": items, "minItems": length, "maxItems": length})
            }
            TypeDefKind::Tuple(tuple) => {
                let items: Vec<Value> = tuple.types.iter().map(|ty| self.schema(*ty)).collect();
                let length = items.len();
                json!({"type": "array", "prefixItems": items, "items": false, "minItems": length})
            }
            TypeDefKind::Enum(own) => one_of(own.cases.iter().map(|case| &case.name)),
            TypeDefKind::Flags(own) => {
                json!({"type": "array", "items": one_of(own.flags.iter().map(|flag| &flag.name))})
            }
            TypeDefKind::Variant(variant) => {
                let mut ways = Vec::new();
                for case in &variant.cases {
                    let way = match case.ty {
                        None => one_of(std::iter::once(&case.name)),
                        Some(ty) => {
                            let key = snake(&case.name);
                            json!({
                                "type": "object",
                                "properties": {&key: self.schema(ty)},
                                "required": [&key],
                                "maxProperties": 1,
                            })
                        }
                    };
                    ways.push(documented(way, &case.docs));
                }
                json!({"oneOf": ways})
            }
            TypeDefKind::Type(ty) => self.schema(*ty),
            // These have no form in JSON, and no component with them is loaded.
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Result(_)
            | TypeDefKind::Map(..)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => json!(false),
        }
    }

    fn is_option(&self, ty: Type) -> bool {
        let Type::Id(id) = self.types.plain(ty) else {
            return false;
        };
        let def = self.types.resolve.types.get(id);
        def.is_some_and(|def| matches!(def.kind, TypeDefKind::Option(_)))
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A text in any of the spellings that the host takes, the usual one first.
fn one_of<'a>(names: impl Iterator<Item = &'a String>) -> Value {
    let mut texts: Vec<String> = Vec::new();
    for name in names {
        for spelling in std::iter::once(snake(name)).chain(spellings(name)) {
            if !texts.contains(&spelling) {
                texts.push(spelling);
            }
        }
    }
    json!({"enum": texts})
}

fn documented(mut schema: Value, docs: &Docs) -> Value {
    if let (Value::Object(schema), Some(docs)) = (&mut schema, &docs.contents) {
        schema.insert("description".to_owned(), json!(docs.trim()));
    }
    schema
}

/// As most producers write it.
fn snake(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}

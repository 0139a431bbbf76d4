//! The types of a world as TypeScript has them, for editors and `tsc`: what the functions
//! that a project exports are given, in the shapes that `QuickJS` gives it in.

use std::collections::BTreeMap;

use wit_parser::{Docs, Function, Type, TypeDef, TypeDefKind, TypeId};

use super::super::world::World;

/// The text of a `.d.ts`: a declaration for each type, and an interface with the functions.
pub(super) fn declarations(world: &World) -> String {
    let mut writer = Writer {
        world,
        names: BTreeMap::new(),
        text: String::from(
            "// Made by `qx-host build` from the world of handler.toml. Do not edit.\n",
        ),
    };
    let mut functions = String::new();
    for (name, function) in world.exported() {
        functions.push_str(&documented(&function.docs, "  "));
        functions.push_str(&writer.function(name, function));
    }
    writer
        .text
        .push_str("\n/** What the module exports. */\nexport interface World {\n");
    writer.text.push_str(&functions);
    writer.text.push_str("}\n");
    writer.text
}

struct Writer<'a> {
    world: &'a World,
    names: BTreeMap<TypeId, String>,
    text: String,
}

impl Writer<'_> {
    fn function(&mut self, name: &str, function: &Function) -> String {
        let params: Vec<String> = function
            .params
            .iter()
            .map(|param| format!("{}: {}", camel(&param.name), self.shown(param.ty)))
            .collect();
        format!("  {}({}): void;\n", camel(name), params.join(", "))
    }

    fn shown(&mut self, ty: Type) -> String {
        match ty {
            Type::Bool => "boolean".to_owned(),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::S8
            | Type::S16
            | Type::S32
            | Type::S64
            | Type::F32
            | Type::F64 => "number".to_owned(),
            Type::Char | Type::String => "string".to_owned(),
            Type::ErrorContext => "unknown".to_owned(),
            Type::Id(id) => self.by_id(id),
        }
    }

    fn by_id(&mut self, id: TypeId) -> String {
        if let Some(name) = self.names.get(&id) {
            return name.clone();
        }
        let world = self.world;
        let Some(def) = world.resolve.types.get(id) else {
            return "unknown".to_owned();
        };
        // A name that only stands for another, as those that a world uses.
        if let TypeDefKind::Type(other) = &def.kind {
            return self.shown(*other);
        }
        let Some(name) = &def.name else {
            return self.structure(def);
        };
        let name = self.unique(id, &pascal(name));
        let text = self.definition(def, &name);
        self.text.push('\n');
        self.text.push_str(&documented(&def.docs, ""));
        self.text.push_str(&text);
        name
    }

    /// The name, with a number where another type has it.
    fn unique(&mut self, id: TypeId, name: &str) -> String {
        let taken = |own: &str| own == "World" || self.names.values().any(|other| other == own);
        let numbered = (2..).map(|number: u32| format!("{name}{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let own = candidates.find(|own| !taken(own)).unwrap_or_default();
        self.names.insert(id, own.clone());
        own
    }

    fn definition(&mut self, def: &TypeDef, name: &str) -> String {
        let TypeDefKind::Record(record) = &def.kind else {
            return format!("export type {name} = {};\n", self.structure(def));
        };
        let mut text = format!("export interface {name} {{\n");
        for field in &record.fields {
            let line = format!("  {}: {};\n", camel(&field.name), self.shown(field.ty));
            text.push_str(&documented(&field.docs, "  "));
            text.push_str(&line);
        }
        text.push_str("}\n");
        text
    }

    fn structure(&mut self, def: &TypeDef) -> String {
        match &def.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let field = |field: &wit_parser::Field| {
                    format!("{}: {}", camel(&field.name), self.shown(field.ty))
                };
                format!("{{ {} }}", fields.map(field).collect::<Vec<_>>().join("; "))
            }
            TypeDefKind::Option(some) => format!("{} | null", self.shown(*some)),
            TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
            TypeDefKind::List(element) | TypeDefKind::FixedLengthList(element, _) => {
                let element = self.shown(*element);
                if element.contains(" | ") {
                    return format!("({element})[]");
                }
                format!("{element}[]")
            }
            TypeDefKind::Tuple(tuple) => {
                let parts: Vec<String> = tuple.types.iter().map(|ty| self.shown(*ty)).collect();
                format!("[{}]", parts.join(", "))
            }
            TypeDefKind::Enum(own) => {
                let cases = own.cases.iter().map(|case| format!("\"{}\"", case.name));
                cases.collect::<Vec<_>>().join(" | ")
            }
            TypeDefKind::Flags(own) => {
                let flags = own.flags.iter();
                let flags = flags.map(|flag| format!("{}: boolean", camel(&flag.name)));
                format!("{{ {} }}", flags.collect::<Vec<_>>().join("; "))
            }
            TypeDefKind::Variant(variant) => {
                let case = |case: &wit_parser::Case| {
                    let carried = case.ty.map(|ty| format!("; val: {}", self.shown(ty)));
                    let carried = carried.unwrap_or_default();
                    format!("{{ tag: \"{}\"{carried} }}", case.name)
                };
                variant
                    .cases
                    .iter()
                    .map(case)
                    .collect::<Vec<_>>()
                    .join(" | ")
            }
            TypeDefKind::Type(other) => self.shown(*other),
            // No payload has a form of these: the host does not load the component.
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Result(_)
            | TypeDefKind::Map(..)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => "unknown".to_owned(),
        }
    }
}

fn documented(docs: &Docs, indent: &str) -> String {
    let Some(text) = docs.contents.as_deref().map(str::trim) else {
        return String::new();
    };
    let text = text
        .replace("*/", "* /")
        .replace('\n', &format!("\n{indent} * "));
    format!("{indent}/** {text} */\n")
}

/// A name of WIT as one of a type.
fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect()
}

/// A name of WIT as one of a member.
fn camel(name: &str) -> String {
    let mut letters = pascal(name);
    if let Some(first) = name.chars().next() {
        letters.replace_range(..first.len_utf8(), &first.to_string());
    }
    letters
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::guest::compile::world::Around;
    use crate::guest::project::OwnWorld;

    const WIT: &str = "package a:b;
        interface events {
            enum currency { eur, us-dollar }
            variant payment { cash, card(string) }
            flags marks { gift, express }
            /// What somebody ordered.
            record order {
                order-id: u64,
                /// Where there is one.
                coupon: option<string>,
                lines: list<tuple<string, u32>>,
                gaps: list<option<u8>>,
                paid: payment,
                currency: currency,
                marks: marks,
                raw: list<u8>,
            }
        }
        world typed {
            use qx:events/types@1.0.0.{failure};
            use events.{order};
            export on-order: func(the-order: order) -> result<_, failure>;
        }";

    #[test]
    fn every_type_of_a_payload_has_the_shape_that_the_engine_gives_it() {
        let project = tempfile::tempdir().unwrap();
        let wit = project.path().join("wit");
        std::fs::create_dir(&wit).unwrap();
        std::fs::write(wit.join("own.wit"), WIT).unwrap();
        let own = OwnWorld {
            name: "a:b/typed".to_owned(),
            wit: PathBuf::from("wit"),
        };
        let around = Around {
            name: "handler",
            imports: "",
            packages: &[],
        };
        let place: (&Path, &OwnWorld) = (project.path(), &own);
        let world = World::write(place, project.path().join("out"), &around).unwrap();
        let text = declarations(&world);
        for part in [
            "/** What somebody ordered. */\nexport interface Order {\n  orderId: number;\n",
            "  /** Where there is one. */\n  coupon: string | null;\n",
            "  lines: [string, number][];\n",
            "  gaps: (number | null)[];\n",
            "export type Currency = \"eur\" | \"us-dollar\";\n",
            "export type Payment = { tag: \"cash\" } | { tag: \"card\"; val: string };\n",
            "export type Marks = { gift: boolean; express: boolean };\n",
            "  raw: Uint8Array;\n",
            "export interface World {\n  onOrder(theOrder: Order): void;\n}\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }
}

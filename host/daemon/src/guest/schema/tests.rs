//! The schema of a type that has one of everything.

use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::ManglingAndAbi;

use super::*;

const WIT: &str = "
    package test:types;
    interface events {
        /// Who it is.
        enum role { first-timer, owner }
        flags marks { can-read, can-write }
        variant shape { circle(f64), nothing }
        record part { sku: string, place: tuple<u8, s64> }
        /// An order.
        record order-placed {
            /// Its number.
            order-id: u64,
            role: role,
            marks: marks,
            shape: shape,
            parts: list<part>,
            spare: option<part>,
            flags: option<list<char>>,
        }
    }
    world guest {
        use events.{order-placed};
        export on-order-placed: func(order: order-placed);
        export on-number: func(number: u8);
        export on-nothing: func();
    }";

fn types() -> Types {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("types.wit", &WIT.replace(" flags:", " %flags:"))
        .unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut core = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .encode()
        .unwrap();
    Types::read(&bytes).unwrap()
}

#[test]
fn each_type_has_its_schema_and_the_words_of_its_author() {
    let types = types();
    let ty = types.taken_by("on-order-placed").unwrap();
    let schema = json_schema(&types, ty, "order.placed");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["title"], "order.placed");
    assert_eq!(schema["$ref"], "#/$defs/order-placed");
    let defs = &schema["$defs"];
    let order = &defs["order-placed"];
    assert_eq!(order["type"], "object");
    let required = json!(["order_id", "role", "marks", "shape", "parts"]);
    assert_eq!(order["required"], required);
    let role = json!([
        "first_timer",
        "first-timer",
        "FIRST_TIMER",
        "firstTimer",
        "FirstTimer",
        "owner",
        "OWNER",
        "Owner"
    ]);
    assert_eq!(defs["role"]["enum"], role);
    let properties = &order["properties"];
    for (key, expected) in [
        ("role", json!({"$ref": "#/$defs/role"})),
        (
            "parts",
            json!({"type": "array", "items": {"$ref": "#/$defs/part"}}),
        ),
        (
            "spare",
            json!({"anyOf": [{"$ref": "#/$defs/part"}, {"type": "null"}]}),
        ),
        (
            "flags",
            json!({"anyOf": [
                {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 1}},
                {"type": "null"},
            ]}),
        ),
    ] {
        assert_eq!(properties[key], expected, "{key}");
    }
    assert_eq!(defs["marks"]["type"], "array");
}

#[test]
fn numbers_tuples_and_variants_have_their_schemas() {
    let types = types();
    let ty = types.taken_by("on-order-placed").unwrap();
    let schema = json_schema(&types, ty, "order.placed");
    let defs = &schema["$defs"];
    let number = &defs["order-placed"]["properties"]["order_id"];
    assert_eq!(number["maximum"], json!(u64::MAX));
    assert_eq!(
        defs["part"]["properties"]["place"],
        json!({
            "type": "array",
            "prefixItems": [
                {"type": "integer", "minimum": 0, "maximum": 255},
                {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
            ],
            "items": false,
            "minItems": 2,
        })
    );
    assert_eq!(
        defs["shape"],
        json!({"oneOf": [
            {
                "type": "object",
                "properties": {"circle": {"type": "number"}},
                "required": ["circle"],
                "maxProperties": 1,
            },
            {"enum": ["nothing", "NOTHING", "Nothing"]},
        ]})
    );
}

#[test]
fn types_are_written_as_wit_that_can_be_read_again() {
    let types = types();
    let payloads: Vec<Type> = ["on-order-placed", "on-number"]
        .iter()
        .map(|export| types.taken_by(export).unwrap())
        .collect();
    let text = wit(&types, &payloads);
    for line in [
        "  record order-placed {",
        "    order-id: u64,",
        "    parts: list<part>,",
        "    %flags: option<list<char>>,",
        "    circle(f64),",
        "    place: tuple<u8, s64>,",
        "    can-write,",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let mut resolve = Resolve::default();
    let read = resolve.push_str("again.wit", &format!("package again:again;\n{text}"));
    assert!(read.is_ok(), "{text}: {read:?}");
    assert_eq!(types.shown(payloads[0]), "order-placed");
    assert_eq!(types.shown(payloads[1]), "u8");
    assert_eq!(wit(&types, &payloads[1..]), "", "a number has no name");
    assert!(types.taken_by("on-nothing").is_none() && types.taken_by("on-none").is_none());
}

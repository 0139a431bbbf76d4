//! What of a payload becomes which value, and what is said of what does not fit.

use serde_json::{Value, json};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type, Val};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use super::*;

/// The type of a parameter, from a component that has it.
fn with_type<T>(types: &str, ty: &str, use_it: impl FnOnce(&Type) -> T) -> T {
    let wit =
        format!("package test:types; world guest {{ {types} export take: func(payload: {ty}); }}");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("types.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut core = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .encode()
        .unwrap();
    let engine = crate::engine::for_compiling().unwrap();
    let component = Component::new(&engine, bytes).unwrap();
    let whole = component.component_type();
    let (_, export) = whole.exports(&engine).next().unwrap();
    let ComponentItem::ComponentFunc(function) = export.ty else {
        panic!("no function");
    };
    let (_, ty) = function.params().next().unwrap();
    use_it(&ty)
}

fn of(types: &str, ty: &str) -> PayloadType {
    with_type(types, ty, |ty| PayloadType::new(Plan::of(ty).unwrap()))
}

fn unfit(types: &str, ty: &str) -> String {
    with_type(types, ty, |ty| Plan::of(ty).unwrap_err().to_string())
}

fn refused(payload: &PayloadType, json: &str) -> String {
    payload.read(json).unwrap_err().to_string()
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

fn record(fields: Vec<(&str, Val)>) -> Val {
    Val::Record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

const STAR: &str = "
    record user { login: string, node-id: option<string> }
    record star { full-name: string, stars: u32, by: user, topics: list<string> }";

#[test]
fn an_object_is_a_record_in_whatever_order_and_spelling() {
    let star = of(STAR, "star");
    let expected = record(vec![
        ("full-name", text("a/b")),
        ("stars", Val::U32(7)),
        (
            "by",
            record(vec![("login", text("ada")), ("node-id", Val::Option(None))]),
        ),
        ("topics", Val::List(vec![text("x"), text("y")])),
    ]);
    for json in [
        json!({"full_name": "a/b", "stars": 7, "by": {"login": "ada", "node_id": null}, "topics": ["x", "y"]}),
        json!({"topics": ["x", "y"], "by": {"login": "ada"}, "stars": 7, "fullName": "a/b"}),
        json!({"topics": ["x", "y"], "by": {"login": "ada", "more": {"deep": [1]}}, "stars": 7, "FullName": "a/b", "x": null}),
    ] {
        assert_eq!(star.read(&json.to_string()).unwrap(), expected, "{json}");
    }
    let named = star
        .read(r#"{"full-name": "a/b", "stars": 7, "by": {"login": "a", "nodeId": "N"}, "topics": []}"#)
        .unwrap();
    let Val::Record(fields) = named else {
        panic!("no record");
    };
    let by = record(vec![("login", text("a")), ("node-id", some(text("N")))]);
    assert_eq!(fields[2].1, by);
}

#[test]
fn a_mismatch_names_the_path_and_what_was_expected_and_shows_no_value() {
    let star = of(STAR, "star");
    let good = json!({"full_name": "a/b", "stars": 7, "by": {"login": "ada"}, "topics": ["x"]});
    let with = |path: &str, value: Value| {
        let mut payload = good.clone();
        *payload.pointer_mut(path).unwrap() = value;
        payload.to_string()
    };
    let without = |key: &str| {
        let mut payload = good.clone();
        payload.as_object_mut().unwrap().remove(key);
        payload.to_string()
    };
    for (json, said) in [
        (
            with("/by/login", json!(7)),
            "by.login: expected a text, found a number",
        ),
        (
            with("/by/login", json!(null)),
            "by.login: expected a text, found null",
        ),
        (
            with("/by", json!([])),
            "by: expected an object, found a list",
        ),
        (
            with("/stars", json!("many")),
            "stars: expected a whole number from 0 to 4294967295, found a text",
        ),
        (
            with("/stars", json!(-1)),
            "stars: expected a whole number from 0 to 4294967295, found a number that is none of them",
        ),
        (
            with("/stars", json!(1.5)),
            "stars: expected a whole number from 0 to 4294967295, found a number with a fraction",
        ),
        (
            with("/topics/0", json!({})),
            "topics[0]: expected a text, found an object",
        ),
        (
            with("/topics", json!(["a", true])),
            "topics[1]: expected a text, found true or false",
        ),
        (
            without("full_name"),
            "full_name: is missing, expected a text",
        ),
        (without("by"), "by: is missing, expected an object"),
        ("[]".to_owned(), "expected an object, found a list"),
        (
            "{\"full_name\": \"a\", \"fullName\": \"b\"}".to_owned(),
            "fullName: is given twice",
        ),
        (
            "{\"stars\": 1, \"stars\": 1}".to_owned(),
            "stars: is given twice",
        ),
        (
            "{\"by\": {\"login\": \"a\"".to_owned(),
            "by: is no JSON: EOF",
        ),
        ("{} {}".to_owned(), "full_name: is missing"),
    ] {
        let error = refused(&star, &json);
        assert!(error.starts_with(said), "{json}: {error}");
    }
    let secret = refused(&star, &with("/stars", json!("hunter2")));
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn integers_are_exact_or_refused_at_every_edge() {
    for (ty, min, max) in [
        ("s8", "-128", "127"),
        ("u8", "0", "255"),
        ("s16", "-32768", "32767"),
        ("u16", "0", "65535"),
        ("s32", "-2147483648", "2147483647"),
        ("u32", "0", "4294967295"),
        ("s64", "-9223372036854775808", "9223372036854775807"),
        ("u64", "0", "18446744073709551615"),
    ] {
        let int = of("", ty);
        for edge in [min, max] {
            let read = int.read(edge).unwrap();
            let shown = format!("{read:?}");
            assert!(shown.contains(&format!("({edge})")), "{ty}: {shown}");
            let beyond = if edge.starts_with('-') {
                (edge.parse::<i128>().unwrap() - 1).to_string()
            } else if edge == "0" {
                "-1".to_owned()
            } else {
                (edge.parse::<i128>().unwrap() + 1).to_string()
            };
            assert!(int.read(&beyond).is_err(), "{ty}: {beyond}");
        }
    }
    let u64 = of("", "u64");
    assert_eq!(
        u64.read("9007199254740993").unwrap(),
        Val::U64(9_007_199_254_740_993)
    );
    assert_eq!(u64.read("1e3").unwrap(), Val::U64(1_000));
    assert_eq!(u64.read("7.0").unwrap(), Val::U64(7));
    for lost in [
        "1e19",
        "9007199254740993.0",
        "0.5",
        "1e400",
        "true",
        "\"7\"",
    ] {
        assert!(u64.read(lost).is_err(), "{lost}");
    }
}

const FORMS: &str = "
        enum role { first-time-contributor, owner }
        flags marks { can-read, can-write }
        variant shape { circle(f64), many(list<u8>), nothing }";

#[test]
fn each_type_has_its_form() {
    for (ty, json, value) in [
        ("bool", "true", Val::Bool(true)),
        ("f64", "0.1", Val::Float64(0.1)),
        ("f64", "7", Val::Float64(7.0)),
        ("f32", "-2", Val::Float32(-2.0)),
        ("char", "\"\\u00fc\"", Val::Char('ü')),
        ("string", "\"a\\u0000b\"", text("a\0b")),
        ("option<u8>", "null", Val::Option(None)),
        ("option<u8>", "7", some(Val::U8(7))),
        (
            "list<option<bool>>",
            "[null, true]",
            Val::List(vec![Val::Option(None), some(Val::Bool(true))]),
        ),
        (
            "tuple<u8, string>",
            "[1, \"a\"]",
            Val::Tuple(vec![Val::U8(1), text("a")]),
        ),
        (
            "role",
            "\"FIRST_TIME_CONTRIBUTOR\"",
            Val::Enum("first-time-contributor".to_owned()),
        ),
        ("role", "\"owner\"", Val::Enum("owner".to_owned())),
        (
            "marks",
            "[\"canWrite\"]",
            Val::Flags(vec!["can-write".to_owned()]),
        ),
        (
            "marks",
            "[\"can-write\", \"can_read\", \"can_read\"]",
            Val::Flags(vec!["can-read".to_owned(), "can-write".to_owned()]),
        ),
        ("marks", "[]", Val::Flags(vec![])),
        (
            "shape",
            "\"nothing\"",
            Val::Variant("nothing".to_owned(), None),
        ),
        (
            "shape",
            "{\"circle\": 1.5}",
            Val::Variant("circle".to_owned(), Some(Box::new(Val::Float64(1.5)))),
        ),
        (
            "shape",
            "{\"Many\": [1]}",
            Val::Variant(
                "many".to_owned(),
                Some(Box::new(Val::List(vec![Val::U8(1)]))),
            ),
        ),
    ] {
        let read = of(FORMS, ty).read(json);
        assert_eq!(
            read.unwrap_or_else(|error| panic!("{ty} {json}: {error}")),
            value,
            "{ty} {json}"
        );
    }
}

#[test]
fn each_type_says_what_it_expects_where_something_else_is_found() {
    for (ty, json, said) in [
        (
            "char",
            "\"ab\"",
            "expected a text of one character, found a text of another length",
        ),
        ("f32", "1e39", "found a number that is larger"),
        (
            "tuple<u8, string>",
            "[1]",
            "expected a list of 2, found fewer of them",
        ),
        (
            "tuple<u8, string>",
            "[1, \"a\", 3]",
            "expected a list of 2, found more of them",
        ),
        ("tuple<u8, string>", "[1, 2]", "[1]: expected a text"),
        (
            "role",
            "\"guest\"",
            "expected \"first_time_contributor\" | \"owner\", found another text",
        ),
        (
            "marks",
            "[\"can_fly\"]",
            "[0]: expected \"can_read\" | \"can_write\", found another text",
        ),
        ("marks", "[1]", "[0]: expected a text, found a number"),
        (
            "shape",
            "\"circle\"",
            "found the name of a case that carries a value",
        ),
        ("shape", "{\"nothing\": null}", "carries nothing"),
        (
            "shape",
            "{\"circle\": 1, \"many\": []}",
            "more than one key",
        ),
        (
            "shape",
            "{\"many\": [256]}",
            "many[0]: expected a whole number from 0 to 255",
        ),
        ("shape", "{\"square\": 1}", "another key"),
        ("shape", "{}", "an empty object"),
        (
            "option<u8>",
            "\"a\"",
            "expected a whole number from 0 to 255, found a text",
        ),
    ] {
        let error = refused(&of(FORMS, ty), json);
        assert!(error.contains(said), "{ty} {json}: {error}");
    }
}

#[test]
fn what_has_no_form_in_json_has_no_plan_and_says_where() {
    let types = "
        record inner { done: result<u8, string> }
        record outer { items: list<inner>, twice: option<option<u8>> }
        record double { twice: option<option<u8>> }";
    assert!(unfit(types, "outer").starts_with("`items.[].done` is a result, which has no form"));
    assert!(unfit(types, "double").starts_with("`twice` is an option of an option"));
}

#[test]
fn a_strangers_type_that_grows_without_end_has_no_plan() {
    let mut types = "record t0 { a: u8, b: u8 }".to_owned();
    for n in 1..16 {
        let below = n - 1;
        let next = format!(" record t{n} {{ a: t{below}, b: t{below} }}");
        types.push_str(&next);
    }
    assert!(unfit(&types, "t15").contains("10000 parts"));
    let deep = format!("{}u8{}", "list<".repeat(70), ">".repeat(70));
    assert!(unfit("", &deep).contains("nested deeper than 64"));
}

#[test]
fn a_payload_of_more_values_than_anybody_needs_is_refused() {
    let list = of("", "list<u8>");
    let json = format!("[{}1]", "1,".repeat(VALUES_MAX));
    assert!(refused(&list, &json).contains("more than 100000 values"));
    // What the type does not take is not counted.
    let star = of("record one { n: u8 }", "one");
    let json = format!("{{\"n\": 1, \"rest\": {json}}}");
    assert!(star.check(&json).is_ok());
    let deep = format!(
        "{{\"n\": 1, \"rest\": {}{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    assert!(
        star.check(&deep).is_ok(),
        "passed over, and not by recursion"
    );
}

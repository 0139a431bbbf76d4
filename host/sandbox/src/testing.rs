//! Components for the tests: a core module in text, with a world around it.
//!
//! The text speaks the canonical ABI. An event arrives as a pointer to its record,
//! an answer leaves as a pointer to a `result`. For tests of this crate and, behind
//! the feature `testing`, of others.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test's guest that cannot be made is a test that fails"
)]

use qx_events::ComponentName;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::LoadError;
use crate::inspect::check_world;
use crate::manifest::Manifest;
use crate::surface::Surface;
use crate::{imports, routes_section};

/// What is read of a component before anything of it is compiled: its names, its
/// imports against what is granted by default, its routes.
pub fn read_names(bytes: &[u8]) -> Result<(), LoadError> {
    let manifest = Manifest::new(ComponentName::parse("fuzzed").unwrap());
    let surface = Surface::read(bytes)?;
    check_world(&surface)?;
    imports::check(&surface.imports, &manifest)?;
    routes_section::parse(&surface.routes).map(drop)
}

/// Named exports and all imports.
pub const PING: &str = "
    include qx:events/imports@1.0.0;
    use qx:events/types@1.0.0.{event, failure};
    export on-ping: func(event: event) -> result<_, failure>;";

/// A component with one handler, `on-ping`: the body of its function, and further
/// fields of the module. `$event` is the event; an answer must be left.
pub fn ping(body: &str, fields: &str) -> Vec<u8> {
    let handler = format!("(func (export \"on-ping\") (param $event i32) (result i32) {body})");
    component(PING, &format!("{handler} {fields}"))
}

/// A component of any world, with the fields of its module.
pub fn component(world: &str, fields: &str) -> Vec<u8> {
    encode(world, &module("", fields))
}

/// The text of a module with more imports, and fields.
pub fn module(more: &str, fields: &str) -> String {
    let imports = imports(&format!("{ABI} {fields}"));
    format!("(module {more} {imports} {ABI} {fields})")
}

/// A component of any world around any module. Behind `---` further packages may
/// stand.
pub fn encode(world: &str, module: &str) -> Vec<u8> {
    wrap(world, wat::parse_str(module).unwrap())
}

/// A component of any world around a module that is compiled already.
pub fn wrap(world: &str, mut core: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/1.0.0");
    resolve.push_dir(contract).unwrap();
    let (world, packages) = world.split_once("---").unwrap_or((world, ""));
    let wit = format!("package test:guests; world guest {{ {world} }} {packages}");
    let package = resolve.push_str("guests.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// A component with one handler, `on-ping`, and so many functions of so many steps,
/// ten bytes each: for the compiler to work on. Engines take at most 7 MB for one.
pub fn heavy(functions: usize, steps: usize) -> Vec<u8> {
    wrap(PING, heavy_module(functions, steps))
}

fn heavy_module(functions: usize, steps: usize) -> Vec<u8> {
    // (local.get 0) (local.get 0) (i32.mul) (i32.const 7) (i32.add) (local.set 0)
    const STEP: [u8; 10] = [0x20, 0, 0x20, 0, 0x6c, 0x41, 7, 0x6a, 0x21, 0];
    let mut body = vec![0]; // No local but the parameter.
    body.extend(STEP.repeat(steps));
    body.extend([0x20, 0, 0x0b]); // (local.get 0) end
    let vector = |each: &[u8]| [length(functions), each.repeat(functions)].concat();
    let realloc: &[u8] = &[4, 0, 0x41, 0, 0x0b]; // Five bytes: (i32.const 0) end
    let sections = [
        // (i32) -> i32, and (i32 i32 i32 i32) -> i32.
        (
            1,
            vec![
                2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f,
            ],
        ),
        (
            3,
            [length(functions + 1), vec![1], vec![0; functions]].concat(),
        ),
        (5, vec![1, 0, 1]),
        (
            7,
            [
                &[3, 6][..],
                b"memory\x02\x00\x0ccabi_realloc\x00\x00\x07on-ping\x00\x01",
            ]
            .concat(),
        ),
        (10, {
            let one = [length(body.len()), body].concat();
            let rest = vector(&one);
            // The count is of the others; the allocator is one more, and the first.
            let others = rest.get(length(functions).len()..).unwrap().to_vec();
            [length(functions + 1), realloc.to_vec(), others].concat()
        }),
    ];
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, bytes) in sections {
        module.push(id);
        module.extend(length(bytes.len()));
        module.extend(bytes);
    }
    module
}

/// A number in LEB128.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Every function of the contract, by the name that a module calls it by.
const IMPORTS: [(&str, &str); 10] = [
    (
        "$log",
        r#"(import "qx:events/log@1.0.0" "log" (func $log (param i32 i32 i32)))"#,
    ),
    (
        "$config",
        r#"(import "qx:events/config@1.0.0" "get" (func $config (param i32 i32 i32)))"#,
    ),
    (
        "$get",
        r#"(import "qx:events/state@1.0.0" "get" (func $get (param i32 i32 i32)))"#,
    ),
    (
        "$set",
        r#"(import "qx:events/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#,
    ),
    (
        "$delete",
        r#"(import "qx:events/state@1.0.0" "delete" (func $delete (param i32 i32)))"#,
    ),
    (
        "$emit-event",
        r#"(import "qx:events/emit@1.0.0" "emit" (func $emit-event
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32)))"#,
    ),
    (
        "$execute",
        r#"(import "qx:events/sql@1.0.0" "execute" (func $execute (param i32 i32 i32 i32 i32)))"#,
    ),
    (
        "$query",
        r#"(import "qx:events/sql@1.0.0" "query" (func $query (param i32 i32 i32 i32 i32)))"#,
    ),
    (
        "$secret",
        r#"(import "qx:events/secrets@1.0.0" "get" (func $secret (param i32 i32 i32)))"#,
    ),
    (
        "$send",
        r#"(import "qx:events/http@1.0.0" "send" (func $send
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)))"#,
    ),
];

/// The imports that these fields call: a component asks for no more.
fn imports(fields: &str) -> String {
    let called = |(name, _): &&(&str, &str)| fields.contains(&format!("call {name} "));
    let imports: Vec<&str> = IMPORTS
        .iter()
        .filter(called)
        .map(|(_, text)| *text)
        .collect();
    imports.join("\n")
}

/// Memory, an allocator that never frees, and the three answers. Addresses below
/// 4,096 belong to this, from 4,096 to the test, from 65,536 to the allocator.
const ABI: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get 2))))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
            (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1)
                (i32.div_u (local.get 3) (i32.const 65536))))) (then (unreachable)))))
        (local.get $at))
    (func $ok (result i32) (i32.const 1024))
    (func $reject (param $text i32) (param $length i32) (result i32)
        (i32.store8 (i32.const 2048) (i32.const 1))
        (i32.store8 (i32.const 2056) (i32.const 1))
        (i32.store (i32.const 2064) (local.get $text))
        (i32.store (i32.const 2068) (local.get $length))
        (i32.const 2048))
    (func $retry (param $text i32) (param $length i32) (param $after i64) (result i32)
        (i32.store8 (i32.const 2048) (i32.const 1))
        (i32.store8 (i32.const 2056) (i32.const 0))
        (i32.store (i32.const 2064) (local.get $text))
        (i32.store (i32.const 2068) (local.get $length))
        (i32.store8 (i32.const 2072) (i64.ne (local.get $after) (i64.const 0)))
        (i64.store (i32.const 2080) (local.get $after))
        (i32.const 2048))
    (func $say (param $text i32) (param $length i32)
        (call $log (i32.const 2) (local.get $text) (local.get $length)))
    (func $emit (param $name i32) (param i32) (param $version i32) (param $payload i32) (param i32)
        (param $answer i32)
        (call $emit-event (local.get $name) (local.get 1) (local.get $version)
            (local.get $payload) (local.get 4) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (local.get $answer)))
    (func $say-field (param $record i32) (param $at i32)
        (call $say
            (i32.load (i32.add (local.get $record) (local.get $at)))
            (i32.load offset=4 (i32.add (local.get $record) (local.get $at)))))
    (func $say-option (param $record i32) (param $at i32)
        (if (i32.load8_u (i32.add (local.get $record) (local.get $at)))
            (then (call $say-field (local.get $record)
                (i32.add (local.get $at) (i32.const 4))))
            (else (call $say (i32.const 3072) (i32.const 4)))))
    (data (i32.const 3072) "none")"#;

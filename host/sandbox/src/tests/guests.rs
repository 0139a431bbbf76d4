//! Components for the tests: a core module in text, with a world around it.
//!
//! The text speaks the canonical ABI. An event arrives as a pointer to its record,
//! an answer leaves as a pointer to a `result`.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Named exports and all imports.
pub(super) const PING: &str = "
    include qx:events/imports@1.0.0;
    use qx:events/types@1.0.0.{event, failure};
    export on-ping: func(event: event) -> result<_, failure>;";

/// A component with one handler, `on-ping`: the body of its function, and further
/// fields of the module. `$event` is the event; an answer must be left.
pub(super) fn ping(body: &str, fields: &str) -> Vec<u8> {
    let handler = format!("(func (export \"on-ping\") (param $event i32) (result i32) {body})");
    component(PING, &format!("{handler} {fields}"))
}

/// A component of any world, with the fields of its module.
pub(super) fn component(world: &str, fields: &str) -> Vec<u8> {
    encode(world, &format!("(module {IMPORTS} {ABI} {fields})"))
}

/// A component of any world around any module. Behind `---` further packages may
/// stand.
pub(super) fn encode(world: &str, module: &str) -> Vec<u8> {
    let mut core = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/1.0.0");
    resolve.push_dir(contract).unwrap();
    let (world, packages) = world.split_once("---").unwrap_or((world, ""));
    let wit = format!("package test:guests; world guest {{ {world} }} {packages}");
    let package = resolve.push_str("guests.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// Every function of the contract. Those that a module does not call are left out
/// of the component again.
const IMPORTS: &str = r#"
    (import "qx:events/log@1.0.0" "log" (func $log (param i32 i32 i32)))
    (import "qx:events/config@1.0.0" "get" (func $config (param i32 i32 i32)))
    (import "qx:events/state@1.0.0" "get" (func $get (param i32 i32 i32)))
    (import "qx:events/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
    (import "qx:events/state@1.0.0" "delete" (func $delete (param i32 i32)))
    (import "qx:events/emit@1.0.0" "emit" (func $emit (param i32 i32 i32 i32 i32 i32)))"#;

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

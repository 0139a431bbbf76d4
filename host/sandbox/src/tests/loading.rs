//! What can be put in service, and what is told to the author of what cannot.

use qx_events::{Capability, Outcome, Pattern, Rights, Versions};

use super::world::{World, effects};
use crate::testing::{PING, component, encode, ping};
use crate::{Loaded, ManifestRoute};

/// One function for everything.
const HANDLER: &str = "
    include qx:events/imports@1.0.0;
    export qx:events/handler@1.0.0;";

const HANDLE: &str = r#"
    (func (export "qx:events/handler@1.0.0#handle") (param i32) (result i32) (call $ok))"#;

/// A component with two named exports that answer differently, and routes of its own.
fn two(routes: &str) -> Vec<u8> {
    let world = "
        include qx:events/imports@1.0.0;
        use qx:events/types@1.0.0.{event, failure};
        export on-star-created: func(event: event) -> result<_, failure>;
        export on-other: func(event: event) -> result<_, failure>;";
    let fields = format!(
        r#"(func (export "on-star-created") (param i32) (result i32)
            (call $reject (i32.const 3072) (i32.const 4)))
        (func (export "on-other") (param i32) (result i32) (call $ok))
        (@custom "qx:routes" "{routes}")"#
    );
    component(world, &fields)
}

fn route(pattern: &str, export: Option<&str>) -> ManifestRoute {
    ManifestRoute {
        patterns: vec![Pattern::parse(pattern).unwrap()],
        versions: Versions::Any,
        export: export.map(str::to_owned),
    }
}

fn shown(loaded: &Loaded) -> Vec<String> {
    let show = |b: &qx_events::Binding| {
        let export = &loaded.exports[b.export.0];
        format!("{} {} {export}", b.pattern, b.versions)
    };
    loaded.bindings.iter().map(show).collect()
}

#[tokio::test]
async fn a_named_export_is_bound_by_its_name() {
    let world = World::new();
    let loaded = world.load(ping("(call $ok)", "")).await;
    assert_eq!(shown(&loaded), ["ping * on-ping"]);
    assert!(loaded.imports.contains(&"qx:events/types@1.0.0".to_owned()));
    assert_eq!(
        loaded.digest,
        world.load(ping("(call $ok)", "")).await.digest
    );
}

#[tokio::test]
async fn the_interface_takes_what_the_sidecar_says() {
    let mut world = World::new();
    let bytes = component(HANDLER, HANDLE);
    let refusal = world.refusal(bytes.clone()).await;
    assert!(refusal.contains("[[routes]]"), "{refusal}");
    world.manifest.routes = Some(vec![ManifestRoute {
        patterns: ["order.*", "ping"]
            .map(|p| Pattern::parse(p).unwrap())
            .into(),
        versions: Versions::Only(vec![1, 3]),
        export: None,
    }]);
    let loaded = world.load(bytes).await;
    assert_eq!(
        shown(&loaded),
        [
            "order.* 1,3 qx:events/handler@1.0.0",
            "ping 1,3 qx:events/handler@1.0.0"
        ]
    );
    effects(world.call(&loaded).await);
}

#[tokio::test]
async fn a_component_carries_its_routes_and_each_export_is_its_own() {
    let world = World::new();
    let routes = r"on-other\tping\t*\non-star-created\tgithub.star.created\t1,2\n";
    let loaded = world.load(two(routes)).await;
    assert_eq!(
        shown(&loaded),
        ["ping * on-other", "github.star.created 1,2 on-star-created"]
    );
    // The first export answers to the first index, whatever the routes' order.
    let rejects = loaded
        .exports
        .iter()
        .position(|name| name == "on-star-created");
    let outcome = world.call(&loaded).await;
    assert_eq!(
        matches!(outcome, Outcome::Rejected { .. }),
        rejects == Some(0)
    );
}

#[tokio::test]
async fn the_sidecars_routes_replace_the_components_own() {
    let mut world = World::new();
    world.manifest.routes = Some(vec![route("a.>", Some("on-other"))]);
    let loaded = world.load(two(r"on-other\tping\t*\n")).await;
    assert_eq!(shown(&loaded), ["a.> * on-other"]);
}

#[tokio::test]
async fn routes_that_clash_are_refused() {
    let routes = r"on-other\tping\t*\non-star-created\tping\t1\n";
    let refusal = World::new().refusal(two(routes)).await;
    assert!(refusal.contains("`ping` and `ping`"), "{refusal}");
}

#[tokio::test]
async fn routes_that_are_rubbish_are_refused() {
    for (routes, part) in [
        (r"on-gone\tping\t*\n", "`on-other`"),
        (r"on-other\tping\n", "record 1"),
        (r"\00\ff", "UTF-8"),
        (r"on-other\ta..b\t1\n", "`a..b`"),
    ] {
        let refusal = World::new().refusal(two(routes)).await;
        assert!(refusal.contains(part), "{routes}: {refusal}");
    }
}

#[tokio::test]
async fn a_name_of_three_words_asks_for_routes() {
    let world = PING.replace("on-ping", "on-pull-request-opened");
    let fields = r#"(func (export "on-pull-request-opened") (param i32) (result i32) (call $ok))"#;
    let refusal = World::new().refusal(component(&world, fields)).await;
    assert!(refusal.contains("`pull.request.opened`"), "{refusal}");
}

#[tokio::test]
async fn a_wrong_signature_is_shown_beside_the_right_one() {
    let functions = [
        ("event: event", "string", "func(event: event) -> string"),
        (
            "e: event, n: u32",
            "result<_, failure>",
            "func(e: event, n: u32) -> result<_, failure>",
        ),
        (
            "event: event",
            "result<u8, failure>",
            "func(event: event) -> result<u8, failure>",
        ),
        ("event: event", "result", "func(event: event) -> result"),
        (
            "x: tuple<list<u8>, option<char>, f64>",
            "bool",
            "func(x: tuple<list<u8>, option<char>, f64>) -> bool",
        ),
    ];
    for (params, result, found) in functions {
        let world = PING
            .replace("event: event", params)
            .replace("-> result<_, failure>", &format!("-> {result}"));
        let mut granted = World::new();
        granted.manifest.settings.rights = Rights::of(Capability::ALL);
        granted.manifest.settings.rights.sql = Some("qx_stars".into());
        let refusal = granted.refusal(stub(&world)).await;
        assert!(
            refusal.contains("`on-ping` has the wrong signature"),
            "{refusal}"
        );
        assert!(
            refusal.contains("expected `func(event: event) -> result<_, failure>`"),
            "{refusal}"
        );
        assert!(refusal.contains(&format!("found `{found}`")), "{refusal}");
    }
}

#[tokio::test]
async fn an_event_of_other_fields_is_no_payload_but_another_signature() {
    let world = "
        flags marks { a, b }
        record event { occurred-at: string, payload: string, attempt: u8, marks: marks }
        use qx:events/types@1.0.0.{failure};
        export on-ping: func(event: event) -> result<_, failure>;";
    let refusal = World::new().refusal(stub(world)).await;
    let found = "found `func(event: record { occurred-at: string, payload: string, attempt: u8, \
                 marks: flags { a, b } }) -> result<_, failure>`";
    assert!(refusal.contains(found), "{refusal}");
}

#[tokio::test]
async fn a_payload_of_a_type_that_no_json_is_of_is_told_with_its_place() {
    let world = "
        record item { done: result<u8, string> }
        record order { items: list<item> }
        use qx:events/types@1.0.0.{failure};
        export on-ping: func(order: order) -> result<_, failure>;";
    let refusal = World::new().refusal(stub(world)).await;
    assert!(
        refusal.contains(
            "the export `on-ping` cannot be given its payload: its type `items.[].done` is a result"
        ),
        "{refusal}"
    );
}

/// A component of a world, with a function that traps for every export.
fn stub(world: &str) -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{ManglingAndAbi, Resolve};
    let mut resolve = Resolve::default();
    resolve
        .push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/1.0.0"))
        .unwrap();
    let (world, packages) = world.split_once("---").unwrap_or((world, ""));
    let wit = format!("package test:guests; world guest {{ {world} }} {packages}");
    let package = resolve.push_str("guests.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut core = dummy_module(
        &resolve,
        world,
        ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
    );
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.module(&core).unwrap().encode().unwrap()
}

#[tokio::test]
async fn a_component_without_a_handler_lists_what_it_has() {
    let refusal = World::new()
        .refusal(stub("export start: func(); export stop: func() -> string;"))
        .await;
    assert!(
        refusal.contains("no handler, only `start`, `stop`"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_component_of_another_world_is_called_that() {
    let world = "
        import wasi:http/types@0.2.0;
        export wasi:cli/run@0.2.0;
        ---
        package wasi:http@0.2.0 { interface types { f: func(); } }
        package wasi:cli@0.2.0 { interface run { run: func() -> result; } }";
    let refusal = World::new().refusal(stub(world)).await;
    assert!(refusal.contains("another world"), "{refusal}");
    assert!(refusal.contains("`wasi:cli/run@0.2.0`"), "{refusal}");
    let nothing = World::new()
        .refusal(wat::parse_str("(component)").unwrap())
        .await;
    assert!(nothing.contains("exports nothing"), "{nothing}");
}

#[tokio::test]
async fn an_import_that_no_handler_gets_is_refused_by_name() {
    let world = format!(
        "{PING} import wasi:http/types@0.2.0; --- package wasi:http@0.2.0 {{ interface types {{ f: func(); }} }}"
    );
    let refusal = World::new().refusal(stub(&world)).await;
    assert!(refusal.contains("`wasi:http/types@0.2.0`"), "{refusal}");
}

#[tokio::test]
async fn an_import_that_is_not_granted_says_how_to_grant_it() {
    let mut world = World::new();
    world.manifest.settings.rights = Rights::of([Capability::Log]);
    let refusal = world
        .refusal(ping(
            "(call $delete (i32.const 0) (i32.const 0)) (call $ok)",
            "",
        ))
        .await;
    assert!(
        refusal.contains("to `capabilities` under `[grants.stars]`"),
        "{refusal}"
    );
}

#[tokio::test]
async fn another_version_of_the_contract_names_those_that_are_served() {
    let two = "export qx:events/handler@2.0.0;
        --- package qx:events@2.0.0 { interface handler { handle: func(); } }";
    let none = "import qx:events/log@0.9.0; export on-ping: func();
        --- package qx:events@0.9.0 { interface log { log: func(); } }";
    for world in [two, none] {
        let refusal = World::new().refusal(stub(world)).await;
        assert!(refusal.contains("it serves qx:events 1.0.0"), "{refusal}");
    }
}

#[tokio::test]
async fn an_import_of_the_right_name_and_the_wrong_type_is_refused() {
    let component = wat::parse_str(
        r#"(component
            (import "qx:events/log@1.0.0" (instance (export "log" (func (param "x" u8)))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "on-ping") (canon lift (core func $i "f"))))"#,
    )
    .unwrap();
    let refusal = World::new().refusal(component).await;
    assert!(refusal.contains("wit/1.0.0"), "{refusal}");
}

#[tokio::test]
async fn what_is_no_component_is_refused_before_anything_else() {
    let world = World::with(|config| config.component_bytes_max = 100_000);
    for (bytes, part) in [
        (b"def handle(event):\n    pass\n".to_vec(), "is text"),
        (wat::parse_str("(module)").unwrap(), "qx-host build"),
        (Vec::new(), "empty"),
        (vec![0; 100_001], "at most 100000"),
        (
            ping("(call $ok)", "")[..500].to_vec(),
            "cut off after 500 bytes",
        ),
    ] {
        let refusal = world.refusal(bytes).await;
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test]
async fn what_the_host_leaves_out_is_refused() {
    let shared = encode(
        PING,
        r#"(module
        (memory (export "memory") 1)
        (memory $shared 1 1 shared)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
        (func (export "on-ping") (param i32) (result i32) (unreachable)))"#,
    );
    let refusal = World::new().refusal(shared).await;
    assert!(refusal.contains("threads"), "{refusal}");
}

#[tokio::test]
async fn a_file_with_a_flipped_bit_is_an_error_or_a_component_and_never_a_panic() {
    let world = World::new();
    let whole = ping(
        "(call $ok)",
        r#"(@custom "qx:routes" "on-ping\tping\t1\n")"#,
    );
    for at in (8..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x11;
        if let Err(error) = world.try_load(flipped).await {
            assert!(
                !matches!(error, crate::LoadError::Compiler(_)),
                "{at}: {error}"
            );
        }
    }
}

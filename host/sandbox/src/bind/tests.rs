//! The rules of binding, on names alone.

use super::*;

fn named(name: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        shape: Shape::Named,
    }
}

fn interface() -> Candidate {
    Candidate {
        name: contract::HANDLER.to_owned(),
        shape: Shape::Interface,
    }
}

fn other(name: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        shape: Shape::Other("func() -> string".to_owned()),
    }
}

fn route(pattern: &str, export: Option<&str>) -> Route {
    Route {
        pattern: Pattern::parse(pattern).unwrap(),
        versions: Versions::Only(vec![1]),
        export: export.map(str::to_owned),
    }
}

fn try_bind(candidates: &[Candidate], routes: &[Route]) -> Result<Vec<String>, String> {
    let name = ComponentName::parse("stars").unwrap();
    let bound =
        bind(&name, candidates, &["tools".to_owned()], routes).map_err(|e| e.to_string())?;
    let show = |b: &Binding| format!("{}→{}", b.pattern, bound.exports[b.export.0]);
    Ok(bound.bindings.iter().map(show).collect())
}

#[test]
fn an_exports_name_says_which_event_it_takes() {
    let bound = try_bind(
        &[named("on-ping"), other("init"), named("on-user-registered")],
        &[],
    );
    assert_eq!(
        bound.unwrap(),
        ["ping→on-ping", "user.registered→on-user-registered"]
    );
}

#[test]
fn a_name_that_could_be_several_events_is_refused_with_the_choices() {
    let error = try_bind(&[named("on-pull-request-opened")], &[]).unwrap_err();
    for part in [
        "`pull.request.opened`",
        "`pull.request-opened`",
        "`pull-request.…`",
        "[[routes]]",
        "stars.toml",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = try_bind(&[named("handle-ping")], &[]).unwrap_err();
    assert!(error.contains("does not begin with `on-`"), "{error}");
}

#[test]
fn routes_win_over_names() {
    let candidates = [named("on-pull-request-opened"), named("on-ping")];
    let routes = [
        route("github.pull_request.opened", Some("on-pull-request-opened")),
        route("github.*.closed", Some("on-ping")),
    ];
    assert_eq!(
        try_bind(&candidates, &routes).unwrap(),
        [
            "github.pull_request.opened→on-pull-request-opened",
            "github.*.closed→on-ping"
        ]
    );
}

#[test]
fn the_interface_needs_routes_and_is_what_a_route_means_that_names_nothing() {
    let error = try_bind(&[interface()], &[]).unwrap_err();
    assert!(
        error.contains("[[routes]]") && error.contains("stars.toml"),
        "{error}"
    );
    for export in [
        None,
        Some("handler"),
        Some("handle"),
        Some("qx:events/handler"),
        Some(contract::HANDLER),
    ] {
        let bound = try_bind(
            &[named("on-ping"), interface()],
            &[route("order.>", export)],
        );
        assert_eq!(bound.unwrap(), ["order.>→qx:events/handler@1.0.0"]);
    }
}

#[test]
fn a_route_without_an_export_takes_the_only_one_and_asks_when_there_are_two() {
    assert_eq!(
        try_bind(&[named("take"), other("init")], &[route("a.b", None)]).unwrap(),
        ["a.b→take"]
    );
    let error = try_bind(&[named("take"), named("give")], &[route("a.b", None)]).unwrap_err();
    assert!(error.contains("`take`, `give`, `tools`"), "{error}");
}

#[test]
fn a_route_to_nowhere_lists_the_exports() {
    let error = try_bind(&[named("take")], &[route("a.b", Some("on-a-b"))]).unwrap_err();
    assert!(
        error.contains("`on-a-b`") && error.contains("`take`, `tools`"),
        "{error}"
    );
}

#[test]
fn a_wrong_signature_shows_what_was_found_beside_what_was_expected() {
    for (export, routes) in [
        ("init", vec![route("a.b", Some("init"))]),
        ("on-a-b", vec![]),
    ] {
        let error = try_bind(&[other(export)], &routes).unwrap_err();
        assert!(error.contains("found `func() -> string`"), "{error}");
        assert!(error.contains(signature::HANDLERS), "{error}");
    }
}

#[test]
fn a_component_without_a_handler_lists_what_it_exports() {
    let error = try_bind(&[other("init")], &[]).unwrap_err();
    assert!(
        error.contains("no handler, only `init`, `tools`"),
        "{error}"
    );
    let error = try_bind(&[], &[route("a", None)]).unwrap_err();
    assert!(error.contains("no handler"), "{error}");
}

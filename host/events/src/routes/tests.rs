//! The table's rules, without a runtime.

use super::*;
use crate::outcome::Outcome;
use crate::ports::Invocation;

struct Deaf;

#[async_trait::async_trait]
impl Handler for Deaf {
    async fn call(&self, _: ExportIndex, _: Invocation) -> Outcome {
        Outcome::Done(crate::Effects::default())
    }
}

fn binding(pattern: &str, versions: &[u32], export: usize) -> Binding {
    Binding {
        pattern: Pattern::parse(pattern).unwrap(),
        versions: if versions.is_empty() {
            Versions::Any
        } else {
            Versions::Only(versions.to_vec())
        },
        export: ExportIndex(export),
    }
}

fn component(name: &str, bindings: Vec<Binding>) -> Result<Component, Clash> {
    Component::new(
        ComponentName::parse(name).unwrap(),
        Digest::new([0; 32]),
        Settings::default(),
        Arc::new(Deaf),
        bindings,
    )
}

fn event(name: &str) -> EventName {
    EventName::parse(name).unwrap()
}

#[test]
fn an_exact_name_wins_over_a_pattern() {
    let stars = component(
        "stars",
        vec![binding("a.*", &[], 0), binding("a.b", &[1], 1)],
    )
    .unwrap();
    assert_eq!(
        stars.export_for(&event("a.b"), 1),
        Resolution::Bound(ExportIndex(1))
    );
    assert_eq!(
        stars.export_for(&event("a.b"), 2),
        Resolution::Bound(ExportIndex(0))
    );
    assert_eq!(
        stars.export_for(&event("a.c"), 1),
        Resolution::Bound(ExportIndex(0))
    );
    assert_eq!(stars.export_for(&event("a"), 1), Resolution::NotSubscribed);
}

#[test]
fn a_version_nobody_declared_is_unknown_not_unsubscribed() {
    let stars = component("stars", vec![binding("a.b", &[1, 2], 0)]).unwrap();
    assert_eq!(
        stars.export_for(&event("a.b"), 9),
        Resolution::UnknownVersion
    );
}

#[test]
fn two_exports_must_not_claim_the_same_event() {
    assert!(
        component(
            "x",
            vec![binding("a.b", &[1], 0), binding("a.b", &[1, 2], 1)]
        )
        .is_err()
    );
    assert!(component("x", vec![binding("a.*", &[], 0), binding("*.b", &[1], 1)]).is_err());
    assert!(component("x", vec![binding("a.b", &[1], 0), binding("a.b", &[2], 1)]).is_ok());
    assert!(component("x", vec![binding("a.*", &[1], 0), binding("a.>", &[1], 0)]).is_ok());
}

#[test]
fn every_taker_of_an_event_is_found() {
    let table = Routes::default()
        .with(Arc::new(
            component("a", vec![binding("x.*", &[], 0)]).unwrap(),
        ))
        .with(Arc::new(
            component("b", vec![binding("x.y", &[1], 3)]).unwrap(),
        ))
        .with(Arc::new(
            component("c", vec![binding("z", &[1], 0)]).unwrap(),
        ));
    let name = event("x.y");
    let takers: Vec<_> = table
        .takers(&name, 1)
        .map(|(c, e)| (c.name.as_str(), e.0))
        .collect();
    assert_eq!(takers, [("a", 0), ("b", 3)]);
    assert_eq!(
        table
            .without(&ComponentName::parse("a").unwrap())
            .takers(&name, 1)
            .count(),
        1
    );
}

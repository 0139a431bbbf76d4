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

/// A build of `stars` that is tried with so many events in a hundred.
fn build(digest: u8, percent: u8, takes: &str) -> Arc<Component> {
    let mut settings = Settings::default();
    settings.canary.percent = percent;
    let component = Component::new(
        ComponentName::parse("stars").unwrap(),
        Digest::new([digest; 32]),
        settings,
        Arc::new(Deaf),
        vec![binding(takes, &[], 0)],
    );
    Arc::new(component.unwrap())
}

#[test]
fn a_canary_gets_its_share_of_what_nobody_tried_and_nothing_else() {
    let (old, name) = (build(1, 0, "ping"), ComponentName::parse("stars").unwrap());
    let envelope = |n: u128| {
        let id = uuid::Uuid::from_u128(n);
        let body = format!(r#"{{"event_id":"{id}","event_name":"ping","payload":1}}"#);
        Envelope::decode(body.as_bytes(), None).unwrap()
    };
    let given = |canary: &Arc<Component>, tried| {
        let table = Routes::default().with(Arc::clone(&old));
        let table = table.with_canary(Arc::clone(canary));
        let to_canary = |n: &u128| {
            let event = (&envelope(*n), &Headers::default());
            let build = table.build_for(&name, event, tried).unwrap();
            Arc::ptr_eq(build, canary)
        };
        (0..200).filter(to_canary).count()
    };
    let all = build(2, 100, "ping");
    assert_eq!(given(&all, Tried::Never), 200);
    assert_eq!(given(&all, Tried::Before), 0, "it was tried");
    let some = given(&build(2, 30, "ping"), Tried::Never);
    assert!((30..90).contains(&some), "{some}");
    assert_eq!(given(&build(2, 100, "pong"), Tried::Never), 0, "not taken");

    let table = Routes::default().with(Arc::clone(&old)).with_canary(all);
    let (event, headers) = (envelope(1), Headers::default());
    let build_in = |table: &Routes| {
        let build = table.build_for(&name, (&event, &headers), Tried::Never);
        build.map(|build| build.digest)
    };
    assert_ne!(build_in(&table), Some(old.digest));
    assert_eq!(build_in(&table.without_canary(&name)), Some(old.digest));
    let next = build(3, 0, "ping");
    assert_eq!(build_in(&table.with(Arc::clone(&next))), Some(next.digest));
    assert_eq!(build_in(&table.without(&name)), None);
}

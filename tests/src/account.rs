//! What must have come of the recorded webhooks, whatever happened on the way.

use std::collections::BTreeMap;

use crate::checker::judge;
use crate::history::{Entry, History};
use crate::{World, webhooks};

/// The components that the webhooks are given to.
pub const COMPONENTS: [&str; 5] = ["audit-trail", "ci-watch", "milestones", "stars", "triage"];

/// Fails unless every effect of the webhooks, recorded `times` times, is there once.
pub async fn check(world: &World, times: usize) {
    let handled = counted(
        world,
        "SELECT component, CAST(count(*) AS TEXT) FROM qx_inbox GROUP BY component",
    )
    .await;
    let expected = |pairs: &[(&str, usize)]| -> BTreeMap<String, usize> {
        pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), n * times))
            .collect()
    };
    let inbox = [
        ("audit-trail", 129),
        ("ci-watch", 17),
        ("milestones", 2),
        ("stars", 3),
        ("triage", 27),
    ];
    assert_eq!(handled, expected(&inbox), "inbox marks");

    let dead = counted(
        world,
        "SELECT component, CAST(count(*) AS TEXT) FROM qx_dead_letters GROUP BY component",
    )
    .await;
    assert_eq!(dead, expected(&[("triage", 2)]), "dead letters");

    // What depends on the order of events, which is not promised, is left out.
    let emitted = counted(
        world,
        "SELECT event_name, CAST(count(*) AS TEXT) FROM qx_outbox_events \
         WHERE event_name IN ('issue.triaged', 'repo.starred', 'repo.unstarred') GROUP BY event_name",
    )
    .await;
    let names = [
        ("issue.triaged", 18),
        ("repo.starred", 2),
        ("repo.unstarred", 1),
    ];
    assert_eq!(emitted, expected(&names), "emitted events");

    let seen = counted(
        world,
        "SELECT key, value FROM qx_state WHERE component = 'audit-trail' AND key LIKE 'event/%'",
    )
    .await;
    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in webhooks() {
        *events.entry(format!("event/{name}")).or_default() += times;
    }
    assert_eq!(seen, events, "the state of audit-trail");

    judged(world).await;

    let waiting = "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events WHERE published_at IS NULL";
    assert_eq!(world.rows(waiting).await, [["0"]], "rows that wait");
}

/// What the components take, as their routes say.
const TAKEN: [(&str, &str); 6] = [
    ("audit-trail", "github.>"),
    ("ci-watch", "github.check_run.*"),
    ("ci-watch", "github.workflow_job.*"),
    ("milestones", "repo.starred"),
    ("stars", "github.star.*"),
    ("triage", "github.issues.*"),
];

/// Event by event, and against what the host shows.
async fn judged(world: &World) {
    let history = History::create(&world.path("history.jsonl"));
    for (component, pattern) in TAKEN {
        history.push(Entry::Takes {
            component: component.to_owned(),
            pattern: pattern.to_owned(),
            ordered: false,
            counts: false,
        });
    }
    world.write_down(&history).await;
    world.write_down_commands(&history).await;
    let judgement = judge(&history.entries());
    assert!(judgement.is_good(), "{judgement}");
}

async fn counted(world: &World, sql: &str) -> BTreeMap<String, usize> {
    let number = |text: &String| text.parse().unwrap_or_else(|_| panic!("{text} in {sql}"));
    let rows = world.rows(sql).await;
    rows.iter()
        .map(|row| (row[0].clone(), number(&row[1])))
        .collect()
}

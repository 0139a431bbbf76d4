//! An event that a handler puts off leaves not before its time, whatever dies
//! meanwhile.
#![cfg(test)]

use acceptance::{Way, World};
use serde_json::json;

/// The handler's own event, while it waits: how long it waits in all, in whole hours,
/// and under which key.
const WAITING: &str = "
    SELECT event_name, ordering_key, CASE WHEN published_at IS NULL THEN 'waits' ELSE 'gone' END
    FROM qx_outbox_events WHERE event_name = 'issue.follow_up' AND due_at IS NOT NULL";

/// Not one of its hours is missing.
fn waits_an_hour(way: Way) -> &'static str {
    match way {
        Way::Servers => {
            "SELECT CASE WHEN due_at >= recorded_at + interval '1 hour' THEN 'yes' ELSE 'no' END
             FROM qx_outbox_events WHERE due_at IS NOT NULL"
        }
        Way::Embedded => {
            "SELECT CASE WHEN julianday(due_at) >= julianday(recorded_at, '+3600 seconds', '-0.001 seconds')
                 THEN 'yes' ELSE 'no' END
             FROM qx_outbox_events WHERE due_at IS NOT NULL"
        }
    }
}

/// An hour later.
fn an_hour_passes(way: Way) -> &'static str {
    match way {
        Way::Servers => {
            "UPDATE qx_outbox_events SET due_at = due_at - interval '1 hour' WHERE due_at IS NOT NULL"
        }
        Way::Embedded => {
            "UPDATE qx_outbox_events SET due_at = strftime('%Y-%m-%dT%H:%M:%f000Z', due_at, '-3600 seconds')
             WHERE due_at IS NOT NULL"
        }
    }
}

async fn a_follow_up_waits_through_a_kill(way: Way) {
    let mut world = World::with(way, &["follow-up", "stars"]).await;
    world.write(
        "components/follow-up.toml",
        "order = \"key\"\nkey = \"ordering-key\"\n[config]\nafter_ms = \"3600000\"\n",
    );
    world.run().await;
    let issue = json!({"issue": {"number": 7}, "repository": {"full_name": "a/a"}});
    world.trigger("github.issues.opened", &issue).await;
    let waiting: &[&[&str]] = &[&["issue.follow_up", "a/a#7", "waits"]];
    world.settles(WAITING, waiting).await;
    assert_eq!(world.rows(waits_an_hour(way)).await, [["yes"]]);

    world.kill();
    world.run().await;
    // What comes later overtakes it: the host is at work, and it still waits.
    let star = json!({"repository": {"full_name": "a/a"}, "sender": {"login": "octocat"}});
    world.trigger("github.star.created", &star).await;
    let starred = "SELECT CASE WHEN published_at IS NULL THEN 'waits' ELSE 'gone' END
         FROM qx_outbox_events WHERE event_name = 'repo.starred'";
    world.settles(starred, &[&["gone"]]).await;
    assert_eq!(world.rows(WAITING).await, waiting);

    world.database().await.execute(an_hour_passes(way)).await;
    let asked = "SELECT event_name, CAST(count(*) AS TEXT) FROM qx_outbox_events
         WHERE event_name LIKE 'issue.%' GROUP BY event_name ORDER BY event_name";
    world
        .settles(asked, &[&["issue.follow_up", "2"], &["issue.stale", "1"]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_handler_put_off_waits_through_a_kill_on_the_embedded_way() {
    a_follow_up_waits_through_a_kill(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_handler_put_off_waits_through_a_kill_on_postgresql_and_nats() {
    a_follow_up_waits_through_a_kill(Way::Servers).await;
}

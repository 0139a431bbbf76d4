//! Components that are left alone: by an operator, or because their calls fail.
#![cfg(test)]

use acceptance::{Way, World};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const UNREACHABLE: i32 = 3;

fn opened(number: u32) -> Value {
    json!({
        "action": "opened",
        "issue": {"number": number, "title": "it", "labels": []},
        "repository": {"full_name": "ada/engine"},
    })
}

const HANDLED: &str = "SELECT component, CAST(count(*) AS TEXT) FROM qx_inbox \
                       GROUP BY component ORDER BY component";

async fn paused_by_an_operator(way: Way) {
    let mut world = World::with(way, &["triage", "audit-trail"]).await;
    let args = [
        "handlers", "pause", "triage", "--by", "ada", "--reason", "moving",
    ];
    world.qx(&args).await.fails(UNREACHABLE, &["qx-host run"]);
    world.run().await;
    world.serves(&["triage", "audit-trail"]).await;
    let said = world.qx(&args).await.ok().stdout;
    assert!(said.contains("triage: paused"), "{said}");
    let unknown = world.qx(&["handlers", "pause", "triag"]).await;
    unknown.fails(FAILED, &["no component `triag` in the catalog"]);

    // Over a restart, and for the next process from its first message.
    world.kill();
    world.run().await;
    let listed = world
        .lists("triage", |seen| seen["state"] == "paused")
        .await;
    let reason = listed["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("paused by ada at ") && reason.ends_with(": moving"),
        "{reason}"
    );
    drop(world.trigger("github.issues.opened", &opened(1)).await);
    world.settles(HANDLED, &[&["audit-trail", "1"]]).await;
    world.ready().await;
    let address = world.admin().parse().unwrap();
    let metrics = qx_host::admin::client::get(address, "/metrics").await;
    let metrics = String::from_utf8(metrics.unwrap()).unwrap();
    let line = "qx_component_paused{component=\"triage\",by=\"operator\"} 1";
    assert!(metrics.lines().any(|have| have == line), "{metrics}");

    let said = world
        .qx(&["handlers", "resume", "triage"])
        .await
        .ok()
        .stdout;
    assert!(said.contains("triage: resumed"), "{said}");
    world.serves(&["triage"]).await;
    let counts: &[&[&str]] = &[&["audit-trail", "1"], &["triage", "1"]];
    world
        .eventually("triage has it", async || {
            let rows = world.rows(HANDLED).await;
            if rows.iter().any(|row| row[0] == counts[1][0]) {
                Ok(())
            } else {
                Err(format!("{rows:?}"))
            }
        })
        .await;
    let said = world
        .qx(&["handlers", "resume", "triage"])
        .await
        .ok()
        .stdout;
    assert!(said.contains("triage: not paused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_an_operator_paused_stays_paused_over_a_restart_on_the_embedded_way() {
    paused_by_an_operator(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_an_operator_paused_stays_paused_over_a_restart_on_servers() {
    paused_by_an_operator(Way::Servers).await;
}

/// A page in a browser can send forms, not JSON, to an address that is not its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_changes_nothing() {
    let mut world = World::with(Way::Embedded, &["triage"]).await;
    world.run().await;
    world.serves(&["triage"]).await;
    let address = world.admin().parse().unwrap();
    let path = "/api/handlers/triage/pause";
    let refused = qx_host::admin::client::post(address, path, "").await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(world.listed("triage").await["state"], "serving");
}

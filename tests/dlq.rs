//! Dead letters as an operator works with them: looked at, retried once what was
//! wrong is mended, dropped. A retry concerns the one component that failed.
#![cfg(test)]

use acceptance::{Way, World};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const MISCONFIGURED: i32 = 2;
const LOCKED: &str = "github.issues.locked";

fn spam(number: u32) -> Value {
    json!({
        "action": "locked",
        "issue": {"number": number, "title": "it", "active_lock_reason": "spam"},
        "repository": {"full_name": "ada/engine"},
    })
}

async fn letters(world: &World) -> Vec<Value> {
    let ran = world.qx(&["dlq", "list", "--output", "json"]).await.ok();
    ran.json().as_array().unwrap().clone()
}

/// Waits until there are so many letters.
async fn letters_are(world: &World, count: usize) -> Vec<Value> {
    let count = count.to_string();
    world
        .settles(
            "SELECT CAST(count(*) AS TEXT) FROM qx_dead_letters",
            &[&[&count]],
        )
        .await;
    letters(world).await
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}

/// A running host whose component `triage` has rejected these.
async fn rejected(way: Way, others: &[&str], count: u32) -> World {
    let mut world = World::with(way, &["triage"]).await;
    for name in others {
        world.install(name);
    }
    world.run().await;
    world.serves(&["triage"]).await;
    world.serves(others).await;
    for number in 1..=count {
        drop(world.trigger(LOCKED, &spam(number)).await);
    }
    drop(letters_are(&world, count as usize).await);
    world
}

/// How many events each component has handled.
async fn handled(world: &World, expected: &[&[&str]]) {
    let sql = "SELECT component, CAST(count(*) AS TEXT) FROM qx_inbox GROUP BY component ORDER BY component";
    world.settles(sql, expected).await;
}

async fn a_mended_component_takes_its_letter(way: Way) {
    let world = rejected(way, &["audit-trail"], 1).await;
    handled(&world, &[&["audit-trail", "1"]]).await;
    let letter = letters(&world).await.remove(0);
    assert_eq!(letter["component"], "triage");

    let before = world.listed("triage").await["digest"].clone();
    world.remove("triage.toml");
    // Takes everything, and rejects nothing.
    world.install_as("audit-trail", "triage");
    let is_other = |seen: &Value| seen["state"] == "serving" && seen["digest"] != before;
    world.lists("triage", is_other).await;
    let asked = world
        .qx(&["dlq", "retry", id(&letter), "--output", "json"])
        .await
        .ok();
    assert_eq!(asked.json(), json!({"requested": 1}));
    drop(letters_are(&world, 0).await);
    handled(&world, &[&["audit-trail", "1"], &["triage", "1"]]).await;
    let counted = "SELECT component, value FROM qx_state WHERE key = 'event/github.issues.locked' \
                   ORDER BY component";
    let once: [&[&str]; 2] = [&["audit-trail", "1"], &["triage", "1"]];
    assert_eq!(
        world.rows(counted).await,
        once,
        "the other component is not called again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_component_takes_its_letter_and_it_is_gone_on_the_embedded_way() {
    a_mended_component_takes_its_letter(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_component_takes_its_letter_and_it_is_gone_on_postgresql_and_nats() {
    a_mended_component_takes_its_letter(Way::Servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_exhausted_attempts_is_taken_once_the_setting_is_right() {
    let mut world = World::with(Way::Embedded, &["milestones"]).await;
    world.put(
        "milestones.toml",
        b"[config]\nat = \"many\"\n[retry]\nattempts = 3\n",
    );
    world.run().await;
    world.serves(&["milestones"]).await;
    let starred = json!({"repository": "ada/engine", "stars": 10, "by": "ada"});
    drop(world.trigger("repo.starred", &starred).await);
    let letter = letters_are(&world, 1).await.remove(0);
    assert_eq!(letter["attempts"], 3);
    let reason = letter["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("exhausted: gave up after 3 attempts"),
        "{reason}"
    );
    assert!(
        reason.contains("the setting `at` is no list of numbers"),
        "{reason}"
    );

    let since = world.listed("milestones").await["since"].clone();
    world.put("milestones.toml", b"[config]\nat = \"10\"\n");
    world
        .lists("milestones", |seen| seen["since"] != since)
        .await;
    let kind = [
        "dlq",
        "retry",
        "--component",
        "milestones",
        "--kind",
        "exhausted",
    ];
    drop(world.qx(&kind).await.ok());
    drop(letters_are(&world, 0).await);
    let emitted =
        "SELECT CAST(count(*) AS TEXT) FROM qx_outbox_events WHERE event_name = 'repo.milestone'";
    assert_eq!(world.rows(emitted).await, [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_fails_again_keeps_the_letter_with_one_more_attempt() {
    let world = rejected(Way::Embedded, &[], 1).await;
    let before = letters(&world).await.remove(0);
    for attempts in [2, 3] {
        drop(world.qx(&["dlq", "retry", id(&before)]).await.ok());
        let look = async || {
            let letter = letters(&world).await.remove(0);
            if letter["attempts"] == attempts {
                Ok(letter)
            } else {
                Err(letter.to_string())
            }
        };
        let letter = world.eventually("one more attempt", look).await;
        assert_eq!(id(&letter), id(&before));
        assert_eq!(letter["reason"], "rejected: ada/engine#1 is locked as spam");
        assert_eq!(letter["event_id"], before["event_id"]);
    }
    handled(&world, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_for_a_component_out_of_service_says_so_in_the_letter() {
    let world = rejected(Way::Embedded, &[], 1).await;
    let before = letters(&world).await.remove(0);
    world.remove("triage.wasm");
    world.lists("triage", Value::is_null).await;
    drop(world.qx(&["dlq", "retry", id(&before)]).await.ok());
    let look = async || {
        let letter = letters(&world).await.remove(0);
        let reason = letter["reason"].as_str().unwrap();
        if reason.contains("not in service") {
            Ok(())
        } else {
            Err(letter.to_string())
        }
    };
    world
        .eventually("the letter says why it was not retried", look)
        .await;
    let shown = world.qx(&["dlq", "list"]).await.ok().stdout;
    assert!(
        shown.contains("locked as spam"),
        "the first reason is still there: {shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_whole_by_the_beginning_of_its_id() {
    let world = rejected(Way::Embedded, &[], 1).await;
    let letter = letters(&world).await.remove(0);
    let beginning = id(&letter).get(..8).unwrap();
    let ran = world
        .qx(&["dlq", "show", beginning, "--output", "json"])
        .await
        .ok();
    let whole = ran.json();
    assert_eq!(whole["id"], letter["id"]);
    assert_eq!(whole["subject"], format!("svc.{LOCKED}"));
    assert_eq!(whole["digest"], world.listed("triage").await["digest"]);
    let body: Value = serde_json::from_str(whole["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["payload"], spam(1));
    let headers = whole["headers"].as_array().unwrap();
    assert!(
        headers.contains(&json!(["qx.event_name", LOCKED])),
        "{headers:?}"
    );
    let told = world.qx(&["dlq", "show", beginning]).await.ok().stdout;
    for part in ["triage", LOCKED, "locked as spam", "qx.event_id"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_letters_that_are_named_are_dropped() {
    let world = rejected(Way::Embedded, &[], 3).await;
    for command in ["drop", "retry"] {
        let ran = world.qx(&["dlq", command]).await;
        ran.fails(MISCONFIGURED, &["which dead letters?", "--all"]);
        let ran = world.qx(&["dlq", command, "zzzz"]).await;
        ran.fails(MISCONFIGURED, &["no dead letter's id begins with zzzz"]);
        let ran = world.qx(&["dlq", command, "--kind", "sad"]).await;
        ran.fails(
            MISCONFIGURED,
            &["sad is no class of reasons", "rejected, exhausted"],
        );
        let ran = world.qx(&["dlq", command, "--older-than", "soon"]).await;
        ran.fails(MISCONFIGURED, &["soon is neither an age nor a time"]);
    }
    let all = letters(&world).await;
    for (command, would) in [("drop", "would_drop"), ("retry", "would_retry")] {
        let preview = ["dlq", command, "--all", "--dry-run", "--output", "json"];
        let preview = world.qx(&preview).await.ok().json();
        assert_eq!(preview[would], 3);
        assert_eq!(preview["letters"], json!(all));
        let told = ["dlq", command, "--older-than", "1h", "--dry-run"];
        let told = world.qx(&told).await.ok().stdout;
        assert!(told.starts_with("0 would be"), "{told}");
    }
    assert_eq!(letters(&world).await, all, "a dry run changes nothing");
    let ran = world
        .qx(&["dlq", "drop", "--component", "stars", "--output", "json"])
        .await
        .ok();
    assert_eq!(ran.json(), json!({"dropped": 0}));
    assert_eq!(letters(&world).await, all, "nothing was dropped so far");

    let ran = world
        .qx(&["dlq", "drop", id(&all[1]), "--output", "json"])
        .await
        .ok();
    assert_eq!(ran.json(), json!({"dropped": 1}));
    assert_eq!(letters(&world).await, [all[0].clone(), all[2].clone()]);
    let ran = world
        .qx(&["dlq", "drop", "--event", LOCKED, "--output", "json"])
        .await
        .ok();
    assert_eq!(ran.json(), json!({"dropped": 2}));
    assert!(letters(&world).await.is_empty());
    let ran = world.qx(&["dlq", "show", id(&all[0])]).await;
    assert!([FAILED, MISCONFIGURED].contains(&ran.code), "{ran:?}");
    // What was dropped does not come back with the next event.
    drop(world.trigger(LOCKED, &spam(4)).await);
    assert_eq!(
        letters_are(&world, 1).await[0]["reason"],
        "rejected: ada/engine#4 is locked as spam"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_pattern_age_and_words() {
    let world = rejected(Way::Embedded, &[], 3).await;
    for (condition, expected) in [
        (&["--event", "github.issues.*"][..], 3),
        (&["--event", "github.*"], 0),
        (&["--event", "github.>", "--reason", "Engine#2 IS"], 1),
        (&["--newer-than", "1h", "--kind", "rejected"], 3),
        (&["--older-than", "2000-01-01T00:00:00Z"], 0),
        (&["--tenant", "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10"], 0),
    ] {
        let list = [&["dlq", "list", "--output", "json"], condition].concat();
        let found = world.qx(&list).await.ok().json();
        assert_eq!(found.as_array().unwrap().len(), expected, "{condition:?}");
    }
}

/// The event stays the one it was: what the handler does happens once, with the
/// payload that a person corrected.
async fn an_edited_letter_is_handled_with_its_new_payload(way: Way) {
    let world = rejected(way, &[], 1).await;
    let letter = letters(&world).await.remove(0);
    let mut mended = spam(1);
    mended["issue"]["active_lock_reason"] = json!("resolved");
    let mended = mended.to_string();

    let edit = ["dlq", "edit", id(&letter), "--payload"];
    let ran = world.qx(&[&edit[..], &["{\"half\":"]].concat()).await;
    ran.fails(MISCONFIGURED, &["the payload is not JSON"]);
    let ran = ["dlq", "edit", id(&letter), "--envelope", "{}"];
    let ran = world.qx(&ran).await;
    ran.fails(MISCONFIGURED, &["no envelope"]);

    drop(
        world
            .qx(&[&edit[..], &[mended.as_str()]].concat())
            .await
            .ok(),
    );
    let show = ["dlq", "show", id(&letter), "--output", "json"];
    let whole = world.qx(&show).await.ok().json();
    let payload = |text: &Value| -> Value {
        let body: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert_eq!(body["event_id"], letter["event_id"]);
        body["payload"].clone()
    };
    assert_eq!(payload(&whole["original_body"]), spam(1));
    assert_eq!(payload(&whole["body"]).to_string(), mended);
    assert_eq!(letters(&world).await[0]["attempts"], letter["attempts"]);

    let again = [&edit[..], &[&mended, "--retry", "--output", "json"]].concat();
    let asked = world.qx(&again).await.ok().json();
    assert_eq!(asked["requested"], 1);
    drop(letters_are(&world, 0).await);
    handled(&world, &[&["triage", "1"]]).await;
    let event = letter["event_id"].as_str().unwrap();
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'triage' AND CAST(event_id AS TEXT) = ";
    assert_eq!(world.rows(&format!("{marks}'{event}'")).await, [["1"]]);
    let ran = world.qx(&again).await;
    ran.fails(MISCONFIGURED, &["no dead letter has the id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_letter_is_handled_with_its_new_payload_on_the_embedded_way() {
    an_edited_letter_is_handled_with_its_new_payload(Way::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_letter_is_handled_with_its_new_payload_on_postgresql_and_nats() {
    an_edited_letter_is_handled_with_its_new_payload(Way::Servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_expires_only_where_that_is_configured_and_the_host_says_so() {
    let mut world = rejected(Way::Embedded, &[], 2).await;
    let old = letters(&world).await.remove(0);
    world.kill();
    let age = format!(
        "UPDATE qx_dead_letters SET failed_at = '2020-01-01T00:00:00.000000Z' WHERE id = '{}'",
        id(&old)
    );
    world.database().await.execute(&age).await;
    world.run().await;
    drop(letters_are(&world, 2).await);
    world.kill();

    let days = [("QX_DEAD_LETTERS__RETENTION_DAYS", "30")];
    let told = world.qx_with(&["doctor"], &days).await;
    let soon = "1 of 2 are deleted within 72 hours";
    assert!(told.stdout.contains(soon), "{told:?}");
    world.run_with(&[], &days).await;
    let left = letters_are(&world, 1).await;
    assert_ne!(id(&left[0]), id(&old));
    world.prints("dead letters have expired").await;
    let address = world.admin().parse().unwrap();
    let page = qx_host::admin::client::get(address, "/metrics").await;
    let page = String::from_utf8(page.unwrap()).unwrap();
    let counted = "qx_dead_letters_expired_total{component=\"triage\"} 1";
    assert!(page.contains(counted), "{page}");
}

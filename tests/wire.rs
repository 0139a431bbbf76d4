//! The tables and the wire that are shared with the predecessor: what its recorder
//! inserts goes out once, with its subject and headers; what it publishes is handled
//! here. Real PostgreSQL, real NATS.
#![cfg(test)]

use acceptance::{Way, World};
use async_nats::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

const STAR: &str = "github.star.created";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The tables as the predecessor makes them.
const SEED_TABLES: &str = "
    CREATE TABLE qx_outbox_events (
        id uuid NOT NULL PRIMARY KEY, event_name varchar(255) NOT NULL,
        event_version integer NOT NULL DEFAULT 1, payload jsonb NOT NULL,
        occurred_at timestamptz NOT NULL, correlation_id uuid, causation_id uuid, tenant_id uuid,
        published_at timestamptz, attempts integer NOT NULL DEFAULT 0, last_error varchar(2048));
    CREATE INDEX ix_qx_outbox_events_published_at_occurred_at
        ON qx_outbox_events (published_at, occurred_at);
    CREATE INDEX ix_qx_outbox_events_event_name ON qx_outbox_events (event_name);
    CREATE TABLE qx_dead_letters (
        id uuid NOT NULL PRIMARY KEY, event_name varchar(255) NOT NULL,
        event_version integer NOT NULL DEFAULT 1, payload jsonb NOT NULL, headers jsonb,
        subject varchar(512) NOT NULL, correlation_id uuid, tenant_id uuid,
        delivered_count integer NOT NULL DEFAULT 1, last_error varchar(2048),
        failed_at timestamptz NOT NULL);
    INSERT INTO qx_dead_letters (id, event_name, payload, subject, last_error, failed_at)
        VALUES ('0b1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10', 'old.news', '{\"event_id\": null}',
                'svc.old.news', 'before', now())";

/// An event as the predecessor writes it into a row and onto the wire.
fn envelope(event_name: &str, payload: &Value) -> Value {
    json!({
        "event_id": Uuid::now_v7(),
        "event_name": event_name,
        "event_version": 1,
        "occurred_at": "2026-03-01T10:00:00.123456+00:00",
        "correlation_id": null,
        "causation_id": null,
        "tenant_id": null,
        "actor_id": null,
        "payload": payload,
    })
}

fn star(repository: &str) -> Value {
    json!({"repository": {"full_name": repository}, "sender": {"login": "ada"}})
}

fn id_of(envelope: &Value, key: &str) -> Option<Uuid> {
    envelope[key].as_str().map(|text| text.parse().unwrap())
}

/// Inserts a row as the predecessor's recorder does.
async fn record(world: &World, envelope: &Value) {
    let event_name = envelope["event_name"].as_str().unwrap();
    record_as(world, event_name, &envelope.to_string(), envelope).await;
}

/// The same, with another name or body than the envelope's.
async fn record_as(world: &World, event_name: &str, body: &str, envelope: &Value) {
    let insert = "INSERT INTO qx_outbox_events (id, event_name, event_version, payload, \
                  occurred_at, correlation_id, causation_id, tenant_id) \
                  VALUES ($1, $2, $3, $4::jsonb, now(), $5, $6, $7)";
    sqlx::query(insert)
        .bind(Uuid::new_v4())
        .bind(event_name)
        .bind(i32::try_from(envelope["event_version"].as_i64().unwrap()).unwrap())
        .bind(body)
        .bind(id_of(envelope, "correlation_id"))
        .bind(id_of(envelope, "causation_id"))
        .bind(id_of(envelope, "tenant_id"))
        .execute(world.database().await.pool())
        .await
        .unwrap();
}

/// A message on the stream.
struct Message {
    subject: String,
    headers: HeaderMap,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    fn envelope(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn jetstream(world: &World) -> async_nats::jetstream::Context {
    let client = async_nats::connect(world.nats.as_ref().unwrap().url())
        .await
        .unwrap();
    async_nats::jetstream::new(client)
}

/// Waits until the stream has so many messages; returns them in order.
async fn messages(world: &World, count: u64) -> Vec<Message> {
    let context = jetstream(world).await;
    let look = async || {
        let mut stream = context
            .get_stream("QX_EVENTS")
            .await
            .map_err(|e| e.to_string())?;
        let seen = stream
            .info()
            .await
            .map_err(|e| e.to_string())?
            .state
            .messages;
        if seen == count {
            Ok(stream)
        } else {
            Err(format!("{seen} messages, not {count}"))
        }
    };
    let stream = world.eventually("messages on the stream", look).await;
    let mut messages = Vec::new();
    for sequence in 1..=count {
        let message = stream.get_raw_message(sequence).await.unwrap();
        messages.push(Message {
            subject: message.subject.to_string(),
            headers: message.headers,
            body: String::from_utf8(message.payload.to_vec()).unwrap(),
        });
    }
    messages
}

async fn status(world: &World) -> Value {
    let mut status = world
        .qx(&["outbox", "status", "--output", "json"])
        .await
        .ok()
        .json();
    status.as_object_mut().unwrap().remove("oldest_pending_ms");
    status
}

async fn statuses(world: &World, pending: u64, published: u64, failed: u64) {
    let expected =
        json!({"pending": pending, "delayed": 0, "published": published, "failed": failed});
    let look = async || {
        let seen = status(world).await;
        if seen == expected {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    };
    world
        .eventually(&format!("outbox status {expected}"), look)
        .await;
}

/// A world with the tables of this version and a running host.
async fn running(components: &[&str]) -> World {
    let mut world = World::with(Way::Servers, components).await;
    world.run().await;
    world.serves(components).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_predecessor_is_migrated_in_place_and_relayed_once_each() {
    let mut world = World::bare(Way::Servers).await;
    world.database().await.execute(SEED_TABLES).await;
    let mut envelopes = Vec::new();
    for n in 0..20 {
        let mut envelope = envelope("identity.user.registered", &json!({"n": n}));
        if n % 2 == 0 {
            envelope["correlation_id"] = json!(Uuid::new_v4());
            envelope["tenant_id"] = json!(Uuid::new_v4());
        }
        record(&world, &envelope).await;
        envelopes.push(envelope);
    }
    let old = envelopes.remove(0);
    let (published, stranded) = (&old["event_id"], &envelopes[0]["event_id"]);
    let changes = format!(
        "UPDATE qx_outbox_events SET published_at = now() WHERE payload->>'event_id' = {published};
         UPDATE qx_outbox_events SET attempts = 10, last_error = 'no broker'
         WHERE payload->>'event_id' = {stranded}"
    );
    world
        .database()
        .await
        .execute(&changes.replace('"', "'"))
        .await;

    drop(world.qx(&["migrate"]).await.ok());
    drop(world.qx(&["migrate"]).await.ok());
    for n in 20..25 {
        let envelope = envelope("identity.user.registered", &json!({"n": n}));
        record(&world, &envelope).await;
        envelopes.push(envelope);
    }
    world.run_with(&["--roles", "relay"], &[]).await;
    statuses(&world, 0, 25, 0).await;
    let sent = messages(&world, 24).await;
    for (message, envelope) in sent.iter().zip(&envelopes) {
        assert_eq!(message.subject, "svc.identity.user.registered");
        assert_eq!(&message.envelope(), envelope);
        let told = |key: &str| envelope[key].as_str();
        assert_eq!(message.header("Nats-Msg-Id"), told("event_id"));
        assert_eq!(message.header("qx.event_id"), told("event_id"));
        assert_eq!(message.header("qx.event_name"), told("event_name"));
        assert_eq!(message.header("qx.event_version"), Some("1"));
        assert_eq!(message.header("qx.correlation_id"), told("correlation_id"));
        assert_eq!(message.header("qx.tenant_id"), told("tenant_id"));
    }
    let letters = world
        .qx(&["dlq", "list", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(letters[0]["event_name"], "old.news", "{letters}");
}

/// Publishes as the predecessor does: no message id, few headers.
async fn publish(world: &World, subject: &str, headers: &[(&str, &str)], body: &str) {
    let context = jetstream(world).await;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let sent = context.publish_with_headers(subject.to_owned(), map, body.to_owned().into());
    sent.await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_predecessor_is_handled_by_a_component_here() {
    let world = running(&["stars"]).await;
    let mut envelope = envelope(STAR, &star("ada/engine"));
    let (tenant, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    envelope["tenant_id"] = json!(tenant);
    envelope["correlation_id"] = json!(correlation);
    let headers = [
        ("qx.event_name", STAR),
        ("qx.correlation_id", correlation.as_str()),
        ("qx.tenant_id", tenant.as_str()),
    ];
    let subject = format!("svc.{STAR}");
    publish(&world, &subject, &headers, &envelope.to_string()).await;
    // Without the two, the headers have the name alone.
    let other = self::envelope(STAR, &star("ada/engine"));
    publish(
        &world,
        &subject,
        &[("qx.event_name", STAR)],
        &other.to_string(),
    )
    .await;

    let emitted = "SELECT correlation_id::text, tenant_id::text, causation_id::text, \
                   payload #>> '{payload,stars}' FROM qx_outbox_events \
                   WHERE event_name = 'repo.starred' ORDER BY tenant_id NULLS LAST";
    let (first, second) = (envelope["event_id"].as_str(), other["event_id"].as_str());
    let expected: [&[&str]; 2] = [
        &[&correlation, &tenant, first.unwrap(), "1"],
        &["", "", second.unwrap(), "1"],
    ];
    world.settles(emitted, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_producers_trace_context_reaches_headers_guests_and_emitted_events() {
    let world = running(&["stars"]).await;
    let in_column = envelope(STAR, &star("ada/column"));
    let mut in_envelope = envelope(STAR, &star("ada/envelope"));
    in_envelope["traceparent"] = json!(PARENT);
    in_envelope["tracestate"] = json!("vendor=1");
    let insert = "INSERT INTO qx_outbox_events (id, event_name, payload, occurred_at, traceparent, \
                  tracestate) VALUES (gen_random_uuid(), $1, $2::jsonb, now(), $3, $4)";
    let columns = sqlx::query(insert).bind(STAR).bind(in_column.to_string());
    let columns = columns.bind(PARENT).bind("vendor=1");
    columns
        .execute(world.database().await.pool())
        .await
        .unwrap();
    record(&world, &in_envelope).await;
    let traced = format!(
        "SELECT payload #>> '{{payload,repository}}' FROM qx_outbox_events \
         WHERE event_name = 'repo.starred' AND traceparent LIKE '00-{TRACE_ID}-%' ORDER BY 1"
    );
    world
        .settles(&traced, &[&["ada/column"], &["ada/envelope"]])
        .await;

    for message in messages(&world, 4).await {
        let parent = message.header("traceparent").unwrap();
        assert_eq!(
            parent.split('-').nth(1),
            Some(TRACE_ID),
            "{}",
            message.subject
        );
        if message.subject == format!("svc.{STAR}") {
            assert_eq!(parent, PARENT, "the producer's context is not changed");
            assert_eq!(message.header("tracestate"), Some("vendor=1"));
        }
    }
}

/// Payloads that are easily damaged: numbers beyond 64 bits, escapes, every plane
/// of Unicode, sizes up to 27 KB.
fn delicate() -> Vec<String> {
    let long = "\u{fc}\u{4e16}\u{1f680} \\\" \\\\ ".repeat(1_700);
    vec![
        r#"{"big": 12345678901234567890123, "exact": 0.1000, "small": -1e-7, "e": 1.5E+300}"#
            .to_owned(),
        r#"{"text": "\u00fc\ud83d\ude80\t\n\"\\\/", "empty": "", "": [[], {}, null, true]}"#
            .to_owned(),
        format!(r#"{{"long": "{long}", "n": [1.10, 100000000000000000000]}}"#),
        r#""text alone""#.to_owned(),
        "null".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_large_payloads_go_through_as_they_are() {
    let world = running(&[]).await;
    let names = [
        "github.pull_request_review_thread.resolved",
        "a",
        "x.$y.Z-9_",
        "deep.1.2.3.4.5.6.7.8.9",
        "github.check_run.completed",
    ];
    let payloads = delicate();
    assert!(payloads.iter().any(|payload| payload.len() > 27_000));
    for (name, payload) in names.iter().zip(&payloads) {
        let whole = envelope(name, &json!("here"));
        let body = whole.to_string().replace(r#""here""#, payload);
        record_as(&world, name, &body, &whole).await;
        world.write("payload.json", payload);
        drop(
            world
                .qx(&["trigger", name, "--data", "@payload.json"])
                .await
                .ok(),
        );
    }
    let sent = messages(&world, 2 * names.len() as u64).await;
    for (at, message) in sent.iter().enumerate() {
        let (name, payload) = (names[at / 2], &payloads[at / 2]);
        assert_eq!(message.subject, format!("svc.{name}"));
        assert_eq!(message.header("qx.event_name"), Some(name));
        // The database compares numbers in full, which a parser in Rust does not.
        let same = "SELECT ($1::jsonb -> 'payload' = $2::jsonb)::text";
        let same: (String,) = sqlx::query_as(same)
            .bind(&message.body)
            .bind(payload)
            .fetch_one(world.database().await.pool())
            .await
            .unwrap();
        assert_eq!(same.0, "true", "{name}: {} is not {payload}", message.body);
    }
    assert!(sent[0].body.contains("0.1000") && sent[1].body.contains("0.1000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_jsonb_cannot_hold_goes_out_all_the_same() {
    let world = running(&[]).await;
    drop(
        world
            .qx(&["trigger", "a.b", "--data", r#"{"nul": "x\u0000y"}"#])
            .await
            .ok(),
    );
    let sent = messages(&world, 1).await;
    assert!(sent[0].body.contains(r"x\u0000y"), "{}", sent[0].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_versions_and_malformed_messages_become_visible_dead_letters() {
    let world = running(&["stars"]).await;
    let mut newer = envelope(STAR, &star("ada/engine"));
    newer["event_version"] = json!(7);
    record(&world, &newer).await;
    let subject = format!("svc.{STAR}");
    let odd = "{\"event_id\":   7,\n \"number\": 1.10}";
    publish(&world, &subject, &[("qx.event_name", STAR)], odd).await;
    publish(&world, &subject, &[("qx.event_name", STAR)], "no JSON").await;
    let kinds = "SELECT kind FROM qx_dead_letters ORDER BY kind";
    world
        .settles(
            kinds,
            &[&["malformed"], &["malformed"], &["unknown_version"]],
        )
        .await;

    let list = ["dlq", "list", "--output", "json", "--kind"];
    let list = async |kind: &str| world.qx(&[&list[..], &[kind]].concat()).await.ok().json();
    let letter = list("unknown_version").await[0].clone();
    assert_eq!(letter["component"], "stars");
    assert_eq!(letter["event_id"], newer["event_id"]);
    assert_eq!(letter["attempts"], 0, "the handler was not called");
    assert!(
        letter["reason"].as_str().unwrap().contains("version 7"),
        "{letter}"
    );
    let mut bodies = Vec::new();
    for letter in list("malformed").await.as_array().unwrap() {
        assert_eq!(letter["event_name"], STAR);
        let show = [
            "dlq",
            "show",
            letter["id"].as_str().unwrap(),
            "--output",
            "json",
        ];
        let whole = world.qx(&show).await.ok().json();
        bodies.push(whole["body"].as_str().unwrap().to_owned());
    }
    bodies.sort();
    assert_eq!(bodies, ["no JSON", odd], "byte for byte");
    // What comes behind them is handled.
    let good = envelope(STAR, &star("ada/engine"));
    record(&world, &good).await;
    let handled = "SELECT event_id::text FROM qx_inbox";
    world
        .settles(handled, &[&[good["event_id"].as_str().unwrap()]])
        .await;
}

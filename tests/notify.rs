//! The example `notify` in a running host, with a chat that is busy, away, or says no.
#![cfg(test)]

use acceptance::web::{Manner, Web};
use acceptance::{Way, World};
use serde_json::json;

/// The token that the chat wants.
const PLANTED: &str = "planted-0123456789-token";

const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"id\": \"m1\"}";
const NO: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";

/// A world with the example `notify`, granted what it asks for, and a chat at this address.
async fn told(origin: &str) -> World {
    let world = World::with(Way::Embedded, &["notify"]).await;
    world.write(
        "components/notify.toml",
        &format!(
            "secrets = [\"chat_token\"]\nhttp = [\"{origin}\"]\n[config]\nchat = \"{origin}\"\n\
             [retry]\nattempts = 20\ninitial_ms = 20\nmax_ms = 200\n"
        ),
    );
    world.configure(&format!(
            "[secrets]\nchat_token = \"{PLANTED}\"\n\
             [grants.notify]\ncapabilities = [\"http\", \"secrets\"]\nsecrets = [\"chat_token\"]\nhttp = [\"{origin}\"]\n"
        ),
    );
    world
}

fn published() -> serde_json::Value {
    json!({
        "package": {"name": "engine", "package_type": "npm", "package_version": {"version": "1.0.0"}},
        "repository": {"full_name": "ada/engine"},
        "sender": {"login": "ada"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_told_again_under_the_same_key_and_what_is_counted_is_counted_once() {
    const EVENTS: usize = 8;
    let web = Web::start(Manner::Says(&[BUSY, DOWN, TAKEN]));
    let mut world = told(&web.origin()).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..EVENTS {
        ids.insert(
            world
                .trigger("github.package.published", &published())
                .await,
        );
    }
    for window in ["consumer-called:3", "consumer-1:2"] {
        world.run_with(&[], &[("QX_CRASH_AT", window)]).await;
        let mut host = world.host.take().unwrap();
        let status = host.ended(std::time::Duration::from_mins(1)).await;
        assert_eq!(status.code(), None, "ended by a signal: {}", host.printed());
    }
    world.run().await;
    let all = EVENTS.to_string();
    let settled = "SELECT
        (SELECT value FROM qx_state WHERE component = 'notify' AND key = 'told/ada/engine'),
        CAST((SELECT count(*) FROM qx_inbox WHERE component = 'notify') AS TEXT),
        CAST((SELECT count(*) FROM qx_outbox_events WHERE event_name = 'chat.told') AS TEXT),
        CAST((SELECT count(*) FROM qx_dead_letters) AS TEXT)";
    world.settles(settled, &[&[&all, &all, &all, "0"]]).await;

    let requests = web.requests();
    let header = |request: &str, name: &str| {
        let mut lines = request.lines();
        let found = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.map(str::to_owned).unwrap_or_default()
    };
    let keys: std::collections::BTreeSet<String> = requests
        .iter()
        .map(|request| header(request, "idempotency-key"))
        .collect();
    assert_eq!(keys, ids);
    // Two were not taken, and of what was in a call when the host died nothing was kept.
    assert!(requests.len() >= EVENTS + 3, "{}", requests.len());
    for request in &requests {
        assert!(
            request.starts_with("POST /api/messages HTTP/1.1"),
            "{request}"
        );
        assert_eq!(
            header(request, "authorization"),
            format!("Bearer {PLANTED}")
        );
        assert!(request.ends_with(
            r##"{"channel":"#general","text":"ada/engine: ada published engine 1.0.0 (npm)"}"##
        ));
    }
    assert!(!world.printed().contains(PLANTED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_says_no_is_asked_once_and_its_event_is_a_dead_letter() {
    let web = Web::start(Manner::Says(&[NO]));
    let mut world = told(&web.origin()).await;
    world.run().await;
    world.serves(&["notify"]).await;
    world
        .trigger("github.package.published", &published())
        .await;
    let reason = world.letter_of("notify").await;
    assert!(reason.ends_with("answered 401"), "{reason}");
    assert_eq!(web.requests().len(), 1);
}

//! The handlers in one's own process: no broker, no relay, the same ledger.
#![cfg(test)]

use acceptance::{Way, World};
use qx_events::Envelope;
use qx_host::app::{App, Roles, Surroundings};
use qx_host::config::Config;
use qx_pipeline::Conclusion;

fn star(id: &str) -> Envelope {
    let payload = r#"{"repository":{"full_name":"a/b"},"sender":{"login":"ada"}}"#;
    let body =
        format!(r#"{{"event_id":"{id}","event_name":"github.star.created","payload":{payload}}}"#);
    Envelope::decode(body.as_bytes(), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_dispatched_to_its_handlers_once_and_their_effects_are_committed() {
    let world = World::with(Way::Embedded, &["stars", "milestones"]).await;
    let path = world.path("qx-host.toml");
    let config = Config::load(Some(&path), [], &[("admin.listen", "")]).unwrap();
    let around = Surroundings::quiet(Roles::IN_PROCESS);
    let host = App::build(config, around)
        .await
        .unwrap()
        .start()
        .await
        .unwrap();
    host.loaded().await;

    let first = "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10";
    let done = host.dispatcher().dispatch(star(first)).await.unwrap();
    assert_eq!(done.len(), 1, "milestones does not take it: {done:?}");
    assert!(
        matches!(done[0].conclusion, Conclusion::Done { emitted: 1 }),
        "{done:?}"
    );

    let again = host.dispatcher().dispatch(star(first)).await.unwrap();
    assert!(
        matches!(again[0].conclusion, Conclusion::Duplicate),
        "{again:?}"
    );

    let stars = "SELECT value FROM qx_state WHERE component = 'stars'";
    assert_eq!(world.rows(stars).await, [["1"]]);
    let emitted = "SELECT event_name FROM qx_outbox_events";
    assert_eq!(world.rows(emitted).await, [["repo.starred"]]);
    assert!(!world.path("qx-stream.db").exists(), "no stream was opened");
    assert_eq!(host.drain().await, qx_host::supervise::Drained::Clean);
}

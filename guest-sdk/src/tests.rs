//! What an author can rely on, seen through the public API.

use std::time::Duration;

use crate::prelude::*;
use crate::testing::{Host, event};

#[derive(Deserialize)]
struct Star {
    repository: Repository,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

#[handler("github.star.created", "github.star.*", versions = [1, 2])]
fn count_star(event: Event<Star>) -> Result<(), Failure> {
    let key = format!("stars/{}", event.payload.repository.id);
    let stars = state::get(&key)?.unwrap_or(0) + 1;
    state::set(&key, &stars)?;
    emit("repo.starred", &json!({"stars": stars}))?;
    log::info!("{stars} stars");
    Ok(())
}

fn star() -> testing::Given {
    event("github.star.created").payload(json!({"repository": {"id": 7}}))
}

fn declined(delivery: testing::Delivery) -> Failure {
    delivery.outcome.unwrap_err()
}

#[test]
fn a_success_keeps_what_the_call_changed() {
    let mut host = Host::new().with_state("stars/7", &4);
    let seen = host.deliver(star(), count_star);
    assert_eq!(seen.outcome, Ok(()));
    assert_eq!(seen.emitted[0].payload, json!({"stars": 5}));
    assert_eq!(seen.written["stars/7"], Some("5".to_owned()));
    assert_eq!(seen.logs[0].message, "5 stars");
    assert_eq!(host.state("stars/7"), Some(5));
}

#[test]
fn a_failure_keeps_nothing() {
    let mut host = Host::new();
    let seen = host.deliver(star(), |event: Event<Star>| {
        count_star(event)?;
        Err(Failure::retry("not now"))
    });
    assert_eq!(seen.outcome, Err(Failure::retry("not now")));
    assert!(seen.emitted.is_empty() && seen.written.is_empty());
    assert_eq!(host.state::<u64>("stars/7"), None);
}

#[test]
fn each_tenant_has_state_of_its_own() {
    let mut host = Host::new().with_state_of("a", "stars/7", &1);
    for tenant in ["a", "b"] {
        host.deliver(star().tenant(tenant), count_star);
    }
    assert_eq!(host.state_of("a", "stars/7"), Some(2));
    assert_eq!(host.state_of("b", "stars/7"), Some(1));
    assert_eq!(host.state::<u64>("stars/7"), None);
}

#[test]
fn a_payload_that_does_not_fit_is_rejected_with_the_path() {
    let seen = star()
        .payload(json!({"repository": {"id": "x"}}))
        .call(count_star);
    let Failure::Reject { reason } = declined(seen) else {
        panic!("expected a rejection");
    };
    assert!(reason.contains("repository.id: invalid type"), "{reason}");
    let seen = star().payload_text("{").call(count_star);
    let Failure::Reject { reason } = declined(seen) else {
        panic!("expected a rejection");
    };
    assert!(reason.contains("EOF"), "{reason}");
}

#[test]
fn the_text_of_a_payload_arrives_byte_for_byte() {
    let raw = "{ \"a\" : 1.0 ,\n\"a\":2}";
    let seen = event("x").payload_text(raw).call(|event: Event<Text>| {
        assert_eq!(event.payload.as_str(), raw);
        Ok(())
    });
    assert_eq!(seen.outcome, Ok(()));
}

#[test]
fn an_error_is_retried_with_its_chain_as_the_reason() {
    let seen = Host::new()
        .with_config("step", "ten")
        .deliver(star(), |_: Event<Json>| {
            config::parse::<u64>("step")?;
            Ok(())
        });
    assert_eq!(
        declined(seen),
        Failure::retry("the setting `step` is not legal: invalid digit found in string")
    );
}

#[test]
fn a_limit_is_rejected_because_the_next_attempt_would_hit_it_too() {
    let seen = Host::new()
        .with_value_bytes_max(3)
        .deliver(star(), |_: Event<Json>| {
            state::set("k", "long")?;
            Ok(())
        });
    assert_eq!(
        declined(seen),
        Failure::reject("state: the value at `k` has 6 bytes, at most 3 are allowed")
    );
    let seen = Host::new()
        .with_emitted_events_max(0)
        .deliver(star(), count_star);
    assert!(matches!(declined(seen), Failure::Reject { reason } if reason.contains("at most 0")));
}

/// An author's error around one of ours.
#[derive(Debug)]
struct Outer(state::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot count")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_limit_behind_an_error_of_the_author_is_still_a_rejection() {
    let failure = Failure::from(Outer(state::Error::Limit("full".into())));
    assert_eq!(failure, Failure::reject("cannot count: state: full"));
}

#[test]
fn a_pause_belongs_to_a_retry_only() {
    let pause = Duration::from_millis(20);
    let Failure::Retry { after, .. } = Failure::retry("later").after(pause) else {
        panic!("expected a retry");
    };
    assert_eq!(after, Some(pause));
    assert_eq!(Failure::reject("no").after(pause), Failure::reject("no"));
}

#[test]
fn an_illegal_name_is_not_emitted() {
    let seen = star().call(|_: Event<Json>| {
        emit("repo..starred", &1)?;
        Ok(())
    });
    assert!(
        declined(seen)
            .reason()
            .contains("`repo..starred` is not legal")
    );
}

#[test]
fn state_that_is_no_json_is_text_and_a_misfit_as_anything_else() {
    let seen = star().call(|_: Event<Json>| {
        state::set_text("k", "plain")?;
        assert_eq!(state::get_text("k").as_deref(), Some("plain"));
        state::get::<u64>("k")?;
        Ok(())
    });
    assert!(declined(seen).reason().contains("the state at `k`"));
}

#[test]
fn a_call_sees_its_own_writes_and_deletions() {
    let seen = Host::new()
        .with_state("k", &1)
        .deliver(star(), |_: Event<Json>| {
            state::delete("k");
            assert_eq!(state::get::<u64>("k")?, None);
            state::set("l", &2)?;
            assert_eq!(state::get("l")?, Some(2));
            Ok(())
        });
    assert_eq!(seen.written["k"], None);
}

#[test]
fn the_contract_in_this_crate_is_the_released_one() {
    let released = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/1.0.0/events.wit");
    // A copy of this crate in a handler's project stands alone.
    if let Ok(released) = std::fs::read_to_string(released) {
        assert!(
            released == include_str!("../wit/events.wit"),
            "copy wit/1.0.0/events.wit to guest-sdk/wit/events.wit"
        );
    }
}

#[test]
fn an_event_can_be_given_a_key_and_a_time() {
    let seen = event("a").call(|_: Event<Json>| {
        NewEvent::named("b.later")
            .version(2)
            .key("order 7")
            .after(Duration::from_mins(1))
            .emit(&7)?;
        NewEvent::named("b.then")
            .at("2026-03-01T10:00:00Z")
            .emit(&8)?;
        Ok(())
    });
    let [later, then] = &seen.emitted[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((later.version, later.key.as_deref()), (2, Some("order 7")));
    assert_eq!(later.due, Some(Due::After(Duration::from_mins(1))));
    assert_eq!((then.version, then.key.as_deref()), (1, None));
    assert_eq!(then.due, Some(Due::At("2026-03-01T10:00:00Z".to_owned())));
}

#[test]
fn a_key_or_a_wait_that_the_host_would_refuse_is_refused_here() {
    let day = Duration::from_hours(24);
    for event_of in [
        NewEvent::named("b").key(""),
        NewEvent::named("b").key("a\nb"),
        NewEvent::named("b").after(367 * day),
    ] {
        let seen = event("a").call(|_: Event<Json>| {
            event_of.clone().emit(&1)?;
            Ok(())
        });
        assert!(matches!(declined(seen), Failure::Reject { .. }));
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Total {
    stars: u64,
}

fn total(_: Event<Json>) -> Result<(), Failure> {
    sql::execute("INSERT INTO stars VALUES ($1)", &["a".into()])?;
    let all: Vec<Total> = sql::query("SELECT sum(n) AS stars FROM stars", &[])?;
    log::info!("{}", all[0].stars);
    Ok(())
}

#[test]
fn statements_are_answered_in_their_order_and_can_be_looked_at() {
    let mut host = Host::new()
        .answering(testing::Answer::Changed(1))
        .answering(testing::Answer::Rows(vec![json!({"stars": 7})]));
    let seen = host.deliver(event("a"), total);
    assert_eq!((seen.outcome, &*seen.logs[0].message), (Ok(()), "7"));
    assert_eq!(seen.statements[0].parameters, ["a".into()]);
    let unanswered = host.deliver(event("a"), total);
    assert!(
        unanswered
            .outcome
            .unwrap_err()
            .reason()
            .contains("gives no answer")
    );
}

#[test]
fn what_the_database_refuses_is_tried_again_and_what_cannot_be_read_is_not() {
    let refused = testing::Answer::Refused {
        sqlstate: "23505".to_owned(),
        message: "duplicate key".to_owned(),
    };
    let seen = Host::new().answering(refused).deliver(event("a"), total);
    assert_eq!(declined(seen), Failure::retry("sql: duplicate key (23505)"));
    let mut host = Host::new()
        .answering(testing::Answer::Changed(1))
        .answering(testing::Answer::Rows(vec![json!({"stars": "many"})]));
    assert!(matches!(
        declined(host.deliver(event("a"), total)),
        Failure::Reject { .. }
    ));
}

#[test]
fn an_answer_that_may_be_better_next_time_is_a_retry_and_the_others_a_rejection() {
    fn ask(_: Event<Json>) -> Result<(), Failure> {
        http::get("https://x.example/planted?planted")?.ensure_ok()?;
        Ok(())
    }
    let outcome = |answer: testing::Reply| {
        let mut host = Host::new().with_reply("GET https://x.example/planted?planted", answer);
        host.deliver(event("a.b"), ask).outcome
    };
    assert_eq!(outcome(testing::Reply::status(204)), Ok(()));
    let busy = testing::Reply::status(503).header("Retry-After", "7");
    let pause = Duration::from_secs(7);
    let retry = Failure::retry("GET x.example answered 503").after(pause);
    assert_eq!(outcome(busy), Err(retry));
    let refused = Failure::reject("GET x.example answered 404");
    assert_eq!(outcome(testing::Reply::status(404)), Err(refused));
    for (silence, said) in [
        (
            testing::Reply::timeout(),
            "no whole answer from https://x.example in time",
        ),
        (
            testing::Reply::nobody(),
            "https://x.example cannot be reached: connection refused",
        ),
        (
            testing::Reply::stranger(),
            "https://x.example: invalid peer certificate",
        ),
        (
            testing::Reply::cut_off(),
            "connection closed before message completed",
        ),
    ] {
        let retry = Failure::retry(format_args!("GET x.example: {said}"));
        assert_eq!(outcome(silence), Err(retry));
    }
    let denied = event("a.b").call(ask).outcome.unwrap_err();
    assert!(matches!(denied, Failure::Retry { .. }), "{denied}");
}

#[test]
fn what_is_not_granted_is_said_and_what_was_sent_is_seen() {
    #[expect(clippy::needless_pass_by_value, reason = "the signature of a handler")]
    fn act(event: Event<Json>) -> Result<(), Failure> {
        let token = secrets::get("token")?;
        let sent = http::Request::post("https://x.example/")
            .bearer(&token)
            .idempotency_key(&event.id)
            .json(&json!({"n": 1}))
            .send()?;
        let answer: Json = sent.json()?;
        emit("order.seen", &answer)?;
        Ok(())
    }
    let ungranted = event("a.b").call(act);
    assert!(
        ungranted
            .outcome
            .unwrap_err()
            .reason()
            .contains("no secret `token`")
    );
    let host = || {
        Host::new().with_secret("token", "s3cret").with_reply(
            "POST https://x.example/",
            testing::Reply::json(&json!({"ok": true})),
        )
    };
    let done = host().deliver(event("a.b"), act);
    assert_eq!(done.outcome, Ok(()));
    assert_eq!(done.emitted[0].payload, json!({"ok": true}));
    assert_eq!(done.requests[0].json(), json!({"n": 1}));
    assert_eq!(
        done.requests[0].header("Authorization"),
        Some("Bearer s3cret")
    );
    let denied = host().with_emits(&["order.*"]).deliver(event("a.b"), act);
    assert!(
        denied
            .outcome
            .unwrap_err()
            .reason()
            .contains("`order.seen`")
    );
}

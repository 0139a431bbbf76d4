//! What a handler sees, and what it can want.

use std::time::Duration;

use qx_events::{Due, Outcome, Pattern, StateRead, StateSeen, StateWrite};

use super::world::{ID, PARENT, World, effects};
use crate::Metering;
use crate::testing::ping;

#[tokio::test]
async fn the_guest_sees_the_whole_event() {
    let world = World::new();
    let body = "
        (call $say-field (local.get $event) (i32.const 0))
        (call $say-field (local.get $event) (i32.const 8))
        (call $say-field (local.get $event) (i32.const 20))
        (call $say-option (local.get $event) (i32.const 28))
        (call $say-option (local.get $event) (i32.const 40))
        (call $say-option (local.get $event) (i32.const 52))
        (call $say-option (local.get $event) (i32.const 64))
        (call $say-field (local.get $event) (i32.const 76))
        (call $say-option (local.get $event) (i32.const 84))
        (call $say-option (local.get $event) (i32.const 96))
        (if (i32.ne (i32.load offset=16 (local.get $event)) (i32.const 3)) (then (unreachable)))
        (if (i32.ne (i32.load offset=108 (local.get $event)) (i32.const 2)) (then (unreachable)))
        (call $ok)";
    assert!(effects(world.run(ping(body, "")).await).is_empty());
    let expected = [
        ID,
        "ping",
        "2026-02-03T04:05:06Z",
        "11111111-7d2f-4a35-9d2c-8e0f4a3f1b10",
        "none",
        "22222222-7d2f-4a35-9d2c-8e0f4a3f1b10",
        "ada",
        "{\"n\": 1.10}",
        PARENT,
        "vendor=1",
    ];
    assert_eq!(world.logged(), expected);
    let caller = world.callers().pop().unwrap();
    assert_eq!(caller.to_string(), format!("stars {ID} #2"));
}

#[tokio::test]
async fn a_payload_larger_than_the_guests_memory_arrives_whole() {
    let world = World::new();
    let loaded = world
        .load(ping(
            "(if (i32.ne (i32.load offset=80 (local.get $event)) (i32.const 200002))
                (then (unreachable)))
             (call $reject (i32.load offset=76 (local.get $event)) (i32.const 4))",
            "",
        ))
        .await;
    let outcome = world
        .call_with(&loaded, &format!("\"{}\"", "x".repeat(200_000)))
        .await;
    assert!(matches!(outcome, Outcome::Rejected { reason } if reason == "\"xxx"));
}

#[tokio::test]
async fn an_answer_is_an_outcome() {
    let world = World::new();
    let data = r#"(data (i32.const 4096) "try\1b later")"#;
    let retry =
        |after| format!("(call $retry (i32.const 4096) (i32.const 10) (i64.const {after}))");
    let asked = |outcome| {
        let Outcome::Retry { reason, after } = outcome else {
            panic!("{outcome:?}");
        };
        (reason, after)
    };
    let reason = "try\\u{1b} later".to_owned();
    assert_eq!(
        asked(world.run(ping(&retry(0), data)).await),
        (reason.clone(), None)
    );
    assert_eq!(
        asked(world.run(ping(&retry(1_500), data)).await),
        (reason.clone(), Some(Duration::from_millis(1_500)))
    );
    let reject = ping("(call $reject (i32.const 4096) (i32.const 10))", data);
    let outcome = world.run(reject).await;
    assert!(matches!(outcome, Outcome::Rejected { reason: own } if own == reason));
}

#[tokio::test]
async fn every_event_has_an_instance_of_its_own() {
    let world = World::new();
    let body = "
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.ne (global.get $calls) (i32.const 1)) (then (unreachable)))
        (call $ok)";
    let loaded = world
        .load(ping(body, "(global $calls (mut i32) (i32.const 0))"))
        .await;
    for _ in 0..3 {
        effects(world.call(&loaded).await);
    }
}

#[tokio::test]
async fn settings_are_read_through_config() {
    let mut world = World::new();
    let config = &mut world.manifest.settings.config;
    config.insert("step".to_owned(), "100".to_owned());
    let body = "
        (call $config (i32.const 4096) (i32.const 4) (i32.const 5000))
        (call $say-option (i32.const 5000) (i32.const 0))
        (call $config (i32.const 4096) (i32.const 3) (i32.const 5000))
        (call $say-option (i32.const 5000) (i32.const 0))
        (call $ok)";
    effects(
        world
            .run(ping(body, r#"(data (i32.const 4096) "step")"#))
            .await,
    );
    assert_eq!(world.logged(), ["100", "none"]);
}

/// Reads `stars` twice, writes it, reads it, deletes it, reads it.
const STATE: &str = "
    (call $show) (call $show)
    (call $set (i32.const 4096) (i32.const 5) (i32.const 4200) (i32.const 2) (i32.const 5000))
    (if (i32.load8_u (i32.const 5000)) (then (unreachable)))
    (call $show)
    (call $delete (i32.const 4096) (i32.const 5))
    (call $show)
    (call $set (i32.const 4100) (i32.const 1) (i32.const 4200) (i32.const 2) (i32.const 5000))
    (call $ok)";

const STATE_FIELDS: &str = r#"
    (func $show
        (call $get (i32.const 4096) (i32.const 5) (i32.const 5000))
        (call $say-option (i32.const 5000) (i32.const 0)))
    (data (i32.const 4096) "stars")
    (data (i32.const 4200) "42")"#;

#[tokio::test]
async fn a_call_reads_what_is_committed_and_then_what_it_wrote_itself() {
    let world = World::new();
    let effects = effects(world.run(ping(STATE, STATE_FIELDS)).await);
    assert_eq!(world.logged(), ["41", "41", "42", "none"]);
    let read = StateRead {
        key: "stars".to_owned(),
        seen: Some(StateSeen {
            version: 7,
            bytes: 2,
        }),
    };
    assert_eq!(effects.reads, [read]);
    let write = |key: &str, value: Option<&str>| StateWrite {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    assert_eq!(
        effects.writes,
        [write("s", Some("42")), write("stars", None)]
    );
    assert_eq!(*world.state.asked.lock().unwrap(), ["stars"], "read once");
}

#[tokio::test]
async fn a_key_without_a_value_is_remembered_as_such() {
    let world = World::new();
    let fields = STATE_FIELDS.replace("\"stars\"", "\"moons\"");
    let effects = effects(world.run(ping("(call $show) (call $ok)", &fields)).await);
    assert_eq!(effects.reads[0].key, "moons");
    assert_eq!(effects.reads[0].seen, None);
}

#[tokio::test]
async fn a_fault_of_the_state_is_the_hosts_and_the_guest_cannot_hide_it() {
    let world = World::new();
    let fields = STATE_FIELDS
        .replace("\"stars\"", "\"broken\"")
        .replace("5) (i32", "6) (i32");
    let outcome = world.run(ping("(call $show) (call $ok)", &fields)).await;
    let Outcome::HostFault(fault) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(fault.is_transient());
    assert_eq!(fault.chain(), "read state: connection refused");
}

#[tokio::test]
async fn a_panic_in_a_host_function_ends_the_call_and_nothing_else() {
    let world = World::new();
    let fields = STATE_FIELDS.replace("\"stars\"", "\"panic\"");
    let loaded = world.load(ping("(call $show) (call $ok)", &fields)).await;
    for _ in 0..2 {
        let (breach, detail) = super::world::failure(world.call(&loaded).await);
        assert_eq!(breach, "trap");
        assert!(detail.contains("the reader fell over"), "{detail}");
    }
}

/// Emits `github.star.counted` version 2, then a second time, then the guest's
/// answer of the last: the id, or the reason why not.
fn emit(name: &str, version: u32, payload: &str) -> Vec<u8> {
    let (name_bytes, payload_bytes) = (name.len(), payload.len());
    let body = "(call $once) (call $once)
         (if (i32.load8_u (i32.const 5000))
            (then (call $say-field (i32.const 5000) (i32.const 8)))
            (else (call $say-field (i32.const 5000) (i32.const 4))))
         (call $ok)";
    let fields = format!(
        "(func $once (call $emit (i32.const 4096) (i32.const {name_bytes}) (i32.const {version})
            (i32.const 4400) (i32.const {payload_bytes}) (i32.const 5000)))
         (data (i32.const 4096) {name:?}) (data (i32.const 4400) {payload:?})"
    );
    ping(body, &fields)
}

#[tokio::test]
async fn an_emitted_event_inherits_from_its_cause() {
    let world = World::new();
    let loaded = world
        .load(emit("github.star.counted", 2, "{\"n\": 1.0}"))
        .await;
    let first = effects(world.call(&loaded).await);
    let [one, two] = &first.emitted[..] else {
        panic!("{first:?}");
    };
    let event = &one.0;
    assert_eq!(event.event_name.as_str(), "github.star.counted");
    assert_eq!(event.event_version, 2);
    assert_eq!(event.payload.get(), "{\"n\": 1.0}");
    assert_eq!(&*event.occurred_at, "2026-03-01T10:00:00.000000+00:00");
    assert_eq!(event.causation_id.unwrap().to_string(), ID);
    assert!(
        event
            .correlation_id
            .unwrap()
            .to_string()
            .starts_with("11111111")
    );
    assert!(event.tenant_id.unwrap().to_string().starts_with("22222222"));
    assert_eq!(event.trace.as_ref().unwrap().traceparent(), PARENT);
    assert_ne!(one.0.event_id, two.0.event_id);
    assert_eq!(world.logged(), [two.0.event_id.to_string()]);
    let again = effects(world.call(&loaded).await);
    assert_eq!(
        again.emitted[0].0.event_id, one.0.event_id,
        "on every attempt"
    );
}

#[tokio::test]
async fn what_is_no_event_is_told_to_the_guest_and_not_emitted() {
    for (name, version, payload, why) in [
        ("a b", 1, "{}", "event name `a b`"),
        ("a.>", 1, "{}", "event name `a.>`"),
        ("a", 0, "{}", "version"),
        ("a", u32::MAX, "{}", "version"),
        ("a", 1, "{", "not JSON"),
        ("a", 1, "[\"\\u0000\"]", "not JSON"),
    ] {
        let world = World::new();
        let outcome = world.run(emit(name, version, payload)).await;
        assert!(effects(outcome).emitted.is_empty());
        let logged = world.logged().pop().unwrap();
        assert!(logged.contains(why), "{name} {version} {payload}: {logged}");
    }
}

#[tokio::test]
async fn an_event_whose_name_is_not_granted_is_refused_with_how_to_grant_it() {
    let mut world = World::new();
    let granted = vec![Pattern::parse("repo.*").unwrap()];
    world.manifest.settings.rights.emit = Some(granted);
    let emitted = effects(world.run(emit("repo.starred", 1, "{}")).await).emitted;
    assert_eq!(emitted.len(), 2);
    let outcome = world.run(emit("order.placed", 1, "{}")).await;
    assert!(effects(outcome).emitted.is_empty());
    let logged = world.logged().pop().unwrap();
    assert!(
        logged.contains("`order.placed`: add it to `emit` under `[grants.stars]`"),
        "{logged}"
    );
}

#[tokio::test]
async fn steps_are_counted_where_that_is_asked_for_and_are_the_same_every_time() {
    let metered = World::with(|config| config.metering = Metering::Fuel);
    let loaded = metered
        .load(ping(
            "(call $say (i32.const 3072) (i32.const 4)) (call $ok)",
            "",
        ))
        .await;
    for _ in 0..2 {
        drop(effects(metered.call(&loaded).await));
    }
    let fuel: Vec<_> = metered
        .costs()
        .iter()
        .map(|cost| cost.counted.unwrap())
        .collect();
    assert_eq!(fuel[0], fuel[1]);
    assert!(
        fuel[0].fuel.unwrap() > 5 && fuel[0].memory_bytes == 128 << 10,
        "{fuel:?}"
    );

    let plain = World::new();
    drop(effects(plain.run(ping("(call $ok)", "")).await));
    assert_eq!(plain.costs()[0].counted.unwrap().fuel, None);
    let endless = World::new().limits(|limits| limits.timeout = Duration::from_millis(50));
    drop(endless.run(ping("(loop (br 0)) (call $ok)", "")).await);
    assert_eq!(
        endless.costs()[0].counted,
        None,
        "nobody is there to be asked"
    );
}

/// Emits `a.b` with a key, due as these three words of the contract say: which case,
/// the number or the text's address, the text's length.
fn emit_later(key: &str, (case, value, length): (u32, u64, usize), time: &str) -> Vec<u8> {
    let key_bytes = key.len();
    let body = "(call $once)
         (if (i32.load8_u (i32.const 5000))
            (then (call $say-field (i32.const 5000) (i32.const 8)))
            (else (call $say-field (i32.const 5000) (i32.const 4))))
         (call $ok)";
    let fields = format!(
        "(func $once (call $emit-event (i32.const 4096) (i32.const 3) (i32.const 1)
            (i32.const 4100) (i32.const 2) (i32.const 1) (i32.const 4400) (i32.const {key_bytes})
            (i32.const 1) (i32.const {case}) (i64.const {value}) (i32.const {length}) (i32.const 5000)))
         (data (i32.const 4096) \"a.b\") (data (i32.const 4100) \"{{}}\")
         (data (i32.const 4200) {time:?}) (data (i32.const 4400) {key:?})"
    );
    ping(body, &fields)
}

fn after(ms: u64) -> (u32, u64, usize) {
    (0, ms, 0)
}

/// At the text that lies in the guest.
fn at(time: &str) -> (u32, u64, usize) {
    (1, 4200, time.len())
}

#[tokio::test]
async fn an_emitted_event_has_the_key_and_the_time_that_it_was_given() {
    const NEW_YEAR: &str = "2027-01-01T00:00:00+01:00";
    const DAYS_366: u64 = 366 * 24 * 60 * 60 * 1000;
    let utc = "2026-12-31T23:00:00Z".parse().unwrap();
    for (due, time, expected) in [
        (after(0), "", Due::After(Duration::ZERO)),
        (after(1_500), "", Due::After(Duration::from_millis(1_500))),
        (
            after(DAYS_366),
            "",
            Due::After(Duration::from_millis(DAYS_366)),
        ),
        (at(NEW_YEAR), NEW_YEAR, Due::At(utc)),
    ] {
        let outcome = World::new().run(emit_later("order 7", due, time)).await;
        let emitted = effects(outcome).emitted;
        let key = emitted[0].0.ordering_key.as_ref().unwrap();
        assert_eq!(key.as_str(), "order 7");
        assert_eq!(emitted[0].due(), expected);
    }
}

#[tokio::test]
async fn a_key_or_a_time_that_cannot_be_is_told_to_the_guest() {
    const DAYS_367: u64 = 367 * 24 * 60 * 60 * 1000;
    // The clock stands at 2026-03-01.
    const FAR: &str = "2027-03-04T00:00:00Z";
    for (key, due, time, why) in [
        ("", after(1), "", "ordering key"),
        (" a", after(1), "", "ordering key"),
        (&*"k".repeat(256), after(1), "", "ordering key"),
        ("a", after(DAYS_367), "", "within 366 days"),
        ("a", after(u64::MAX >> 1), "", "within 366 days"),
        ("a", at(FAR), FAR, "within 366 days"),
        (
            "a",
            at("tomorrow"),
            "tomorrow",
            "`tomorrow`, which is no time",
        ),
        ("a", at("2026-03-01"), "2026-03-01", "no time"),
    ] {
        let world = World::new();
        let outcome = world.run(emit_later(key, due, time)).await;
        assert!(effects(outcome).emitted.is_empty());
        let logged = world.logged().pop().unwrap();
        assert!(logged.contains(why), "{key} {time}: {logged}");
    }
}

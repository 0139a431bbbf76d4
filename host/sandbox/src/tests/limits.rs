//! Guests that do their worst, each on its own budget.

use std::time::Duration;

use qx_events::Outcome;

use super::world::{World, effects, failure};
use crate::LoadStep;
use crate::testing::{PING, component, ping};

/// Long enough for a test to be sure, short enough to wait for.
const PATIENCE: Duration = Duration::from_millis(150);

fn impatient() -> World {
    World::new().limits(|limits| limits.timeout = PATIENCE)
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline() {
    let (breach, detail) = failure(
        impatient()
            .run(ping("(loop (br 0)) (unreachable)", ""))
            .await,
    );
    assert_eq!(breach, "deadline");
    assert!(detail.contains("150 ms"), "{detail}");
}

#[tokio::test]
async fn processor_time_ends_at_its_limit_and_the_outcome_says_so() {
    let world = World::new().limits(|limits| limits.cpu = Duration::from_millis(50));
    let (breach, detail) = failure(world.run(ping("(loop (br 0)) (unreachable)", "")).await);
    assert_eq!(breach, "cpu");
    assert!(
        detail.contains("50 ms of processor time (limits.cpu_ms)"),
        "{detail}"
    );
    assert_eq!(world.limits_hit(), ["cpu"]);
}

#[tokio::test]
async fn a_trap_tells_its_functions_as_far_as_they_have_names() {
    for (body, told) in [
        ("(call $fall) (call $ok)", "instruction executed in fall"),
        ("(unreachable)", "instruction executed"),
    ] {
        let module = ping(body, "(func $fall (unreachable))");
        let (breach, detail) = failure(World::new().run(module).await);
        assert_eq!(breach, "trap");
        assert!(detail.ends_with(told), "{detail}");
    }
}

#[tokio::test]
async fn what_does_not_come_up_is_not_loaded_and_told_why() {
    for (fields, part) in [
        ("(func $spin (loop (br 0))) (start $spin)", "cpu: used more"),
        ("(func $fall (unreachable)) (start $fall)", "trap: "),
        (
            "(func $grow (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
                (unreachable)) (start $grow)",
            "memory: ",
        ),
    ] {
        let world = World::new().limits(|limits| limits.cpu = Duration::from_millis(50));
        let bytes = ping("(call $ok)", fields);
        let error = world.try_load(bytes.clone()).await.unwrap_err();
        assert_eq!(error.step(), LoadStep::Instantiate, "{error}");
        let refusal = world.refusal(bytes).await;
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
}

#[tokio::test]
async fn a_neighbour_keeps_working_beside_a_guest_that_spins() {
    let world = World::new();
    let spinner = world.load(ping("(loop (br 0)) (unreachable)", "")).await;
    let neighbour = world.load(ping("(call $ok)", "")).await;
    // One thread for both: what the spinner holds, the neighbour does not get.
    let spin = world.call(&spinner);
    let work = async {
        let mut done = 0_u32;
        while done < 5 {
            effects(world.call(&neighbour).await);
            done += 1;
        }
        done
    };
    tokio::select! {
        biased;
        outcome = spin => panic!("the neighbour had to wait for {outcome:?}"),
        done = work => assert_eq!(done, 5),
    }
}

#[tokio::test]
async fn more_calls_than_slots_wait_for_one() {
    let world = World::with(|config| config.instances_max = 1);
    let loaded = world.load(ping("(call $ok)", "")).await;
    let calls = tokio::join!(
        world.call(&loaded),
        world.call(&loaded),
        world.call(&loaded)
    );
    for outcome in [calls.0, calls.1, calls.2] {
        effects(outcome);
    }
}

#[tokio::test]
async fn memory_ends_at_its_limit_and_the_outcome_says_so() {
    let world = World::new().limits(|limits| limits.memory_bytes = 1 << 20);
    let hog = "
        (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
        (unreachable)";
    let (breach, detail) = failure(world.run(ping(hog, "")).await);
    assert_eq!(breach, "memory");
    assert!(detail.contains("limit is 1048576"), "{detail}");
}

#[tokio::test]
async fn a_guest_that_copes_with_too_little_memory_may_go_on() {
    let world = World::new().limits(|limits| limits.memory_bytes = 1 << 20);
    let modest = "(drop (memory.grow (i32.const 100))) (call $ok)";
    effects(world.run(ping(modest, "")).await);
}

#[tokio::test]
async fn a_component_that_begins_with_too_much_memory_is_not_loaded() {
    let world = World::new().limits(|limits| limits.memory_bytes = 1 << 16);
    let refusal = world.refusal(ping("(call $ok)", "")).await;
    assert!(
        refusal.contains("131072") && refusal.contains("65536"),
        "{refusal}"
    );
    let world = World::new().limits(|limits| limits.memory_bytes = 5 << 30);
    let refusal = world.refusal(ping("(call $ok)", "")).await;
    assert!(refusal.contains("[limits]"), "{refusal}");
}

#[tokio::test]
async fn tables_end_at_their_limit() {
    let fields = "(table $t 1 funcref)";
    let grow = "
        (loop (br_if 0 (i32.ne (i32.const -1)
            (table.grow $t (ref.null func) (i32.const 1000)))))
        (unreachable)";
    let (breach, detail) = failure(World::new().run(ping(grow, fields)).await);
    assert_eq!(breach, "tables");
    assert!(detail.contains("20000"), "{detail}");
}

#[tokio::test]
async fn recursion_without_an_end_is_a_trap() {
    let fields = "(func $down (param i32) (call $down (local.get 0)) (call $down (local.get 0)))";
    let (breach, detail) = failure(
        World::new()
            .run(ping("(call $down (i32.const 0)) (call $ok)", fields))
            .await,
    );
    assert_eq!(breach, "stack");
    assert!(detail.contains("524288 bytes of stack"), "{detail}");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted() {
    let world = World::new();
    let flood = "
        (local $n i32)
        (loop
            (call $say (i32.const 4096) (i32.const 4))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 5000))))
        (call $ok)";
    effects(world.run(ping(flood, "")).await);
    let logged = world.logged();
    assert_eq!(logged.len(), 101);
    assert!(logged[100].contains("4900 more lines"), "{}", logged[100]);
}

#[tokio::test]
async fn too_many_calls_of_the_host_end_the_call() {
    let world = World::new().limits(|limits| limits.host_calls = 50);
    let flood = "(loop (call $say (i32.const 4096) (i32.const 4)) (br 0)) (unreachable)";
    let (breach, detail) = failure(world.run(ping(flood, "")).await);
    assert_eq!(breach, "host_calls");
    assert!(detail.contains("more than 50 times"), "{detail}");
}

#[tokio::test]
async fn a_text_of_many_megabytes_is_not_copied() {
    let world = World::new();
    let grown = "(drop (memory.grow (i32.const 600)))";
    let line = format!("{grown} (call $say (i32.const 0) (i32.const 30000000)) (call $ok)");
    let answer = format!("{grown} (call $reject (i32.const 0) (i32.const 30000000))");
    for body in [line, answer] {
        let (breach, detail) = failure(world.run(ping(&body, "")).await);
        assert_eq!(breach, "host_data", "{detail}");
        assert!(detail.contains("1048576 bytes"), "{detail}");
    }
}

#[tokio::test]
async fn a_long_reason_is_cut() {
    let reason = "(memory.fill (i32.const 4096) (i32.const 120) (i32.const 50000))
        (call $reject (i32.const 4096) (i32.const 50000))";
    let outcome = World::new().run(ping(reason, "")).await;
    let Outcome::Rejected { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.len() < 1_100 && reason.ends_with('…'),
        "{}",
        reason.len()
    );
}

/// Sets `key` to a value of that many bytes and says whether it was refused.
fn set(bytes: u32, times: u32) -> Vec<u8> {
    let body = format!(
        "(local $n i32)
        (drop (memory.grow (i32.const 16)))
        (memory.fill (i32.const 65536) (i32.const 120) (i32.const {bytes}))
        (loop
            (i32.store8 (i32.const 4096) (i32.add (i32.const 33) (local.get $n)))
            (call $set (i32.const 4096) (i32.const 1) (i32.const 65536) (i32.const {bytes}) (i32.const 5000))
            (if (i32.load8_u (i32.const 5000))
                (then (call $say-field (i32.const 5000) (i32.const 8))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const {times}))))
        (call $ok)"
    );
    ping(&body, "")
}

#[tokio::test]
async fn a_value_has_a_largest_size_and_so_have_all_together() {
    let world = World::new();
    let effects_of_one = effects(world.run(set(300_000, 1)).await);
    assert!(effects_of_one.writes.is_empty());
    assert!(
        world.logged()[0].contains("at most 262144 bytes"),
        "{:?}",
        world.logged()
    );
    let world = World::new();
    let effects_of_many = effects(world.run(set(262_144, 40)).await);
    assert_eq!(effects_of_many.writes.len(), 31);
    assert!(
        world.logged()[0].contains("at most 8388608 bytes in all"),
        "{:?}",
        world.logged()
    );
}

#[tokio::test]
async fn state_that_is_larger_than_a_call_may_hold_ends_the_call() {
    let body = "(call $get (i32.const 4096) (i32.const 4) (i32.const 5000)) (call $ok)";
    let (breach, detail) = failure(
        World::new()
            .run(ping(body, r#"(data (i32.const 4096) "huge")"#))
            .await,
    );
    assert_eq!(breach, "host_data");
    assert!(detail.contains("8388608"), "{detail}");
}

#[tokio::test]
async fn emitted_events_are_limited() {
    let world = World::new().limits(|limits| limits.emitted_events = 2);
    let body = "
        (local $n i32)
        (loop
            (call $emit (i32.const 4096) (i32.const 1) (i32.const 1) (i32.const 4100) (i32.const 2) (i32.const 5000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 3))))
        (call $say-field (i32.const 5000) (i32.const 8))
        (call $ok)";
    let fields = r#"(data (i32.const 4096) "a") (data (i32.const 4100) "{}")"#;
    assert_eq!(
        effects(world.run(ping(body, fields)).await).emitted.len(),
        2
    );
    assert_eq!(
        world.logged(),
        ["emitted_events: a call emits at most 2 events"]
    );
    assert_eq!(world.limits_hit(), ["emitted_events"]);
}

#[tokio::test]
async fn a_trap_says_what_the_guest_logged_last_and_where_it_was() {
    let world = World::new();
    let body = "
        (call $log (i32.const 4) (i32.const 4096) (i32.const 4))
        (call $fall) (call $ok)";
    let fields = r#"(func $fall (unreachable)) (data (i32.const 4096) "boom")"#;
    let (breach, detail) = failure(world.run(ping(body, fields)).await);
    assert_eq!(breach, "trap");
    assert!(detail.starts_with("boom: "), "{detail}");
    assert!(
        detail.contains("unreachable") && detail.contains("fall"),
        "{detail}"
    );
}

#[tokio::test]
async fn nothing_is_left_of_a_call_that_failed() {
    let world = World::new();
    let body = "
        (if (i32.eq (i32.load8_u (i32.load offset=76 (local.get $event))) (i32.const 49))
            (then (unreachable)))
        (call $ok)";
    let loaded = world
        .load(component(
            PING,
            &format!("(func (export \"on-ping\") (param $event i32) (result i32) {body})"),
        ))
        .await;
    for _ in 0..3 {
        failure(world.call_with(&loaded, "1").await);
        effects(world.call_with(&loaded, "2").await);
    }
}

//! Instances that serve more than one call: where the component asks for it, within
//! its bounds, and with nothing of the call before.
//!
//! The guests count their calls in a global of their own, and log as many letters of
//! `none`: `n` is the first call of an instance, `no` its second.

use std::time::Duration;

use qx_events::{Outcome, Reuse};

use super::world::{World, effects, failure};
use crate::testing::ping;
use crate::{Life, Loaded, Retired};

const REUSE: Reuse = Reuse {
    uses: 100,
    memory_bytes: 1 << 20,
    idle: Duration::from_mins(10),
    instances: 4,
    across_tenants: false,
};

/// Counts its calls, says how many there were, and then does this.
fn counting(body: &str) -> Vec<u8> {
    let count = "
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (call $say (i32.const 3072) (global.get $n))";
    ping(
        &format!("{count} {body}"),
        "(global $n (mut i32) (i32.const 0))",
    )
}

/// The same, on its second call only; `ok` otherwise.
fn second(body: &str) -> Vec<u8> {
    counting(&format!(
        "(if (i32.eq (global.get $n) (i32.const 2)) (then {body})) (call $ok)"
    ))
}

fn world(reuse: Reuse) -> World {
    let mut world = World::new();
    world.manifest.settings.reuse = Some(reuse);
    world
}

async fn calls(world: &World, loaded: &Loaded, times: usize) {
    for _ in 0..times {
        effects(world.call(loaded).await);
    }
}

#[tokio::test]
async fn without_being_asked_each_call_has_an_instance_of_its_own() {
    let world = World::new();
    let loaded = world.load(counting("(call $ok)")).await;
    calls(&world, &loaded, 3).await;
    assert_eq!(world.logged(), ["n", "n", "n"]);
    assert_eq!(world.lives(), [], "nobody is told of them");
}

#[tokio::test]
async fn an_instance_serves_as_many_calls_as_it_may() {
    let world = world(Reuse { uses: 2, ..REUSE });
    let loaded = world.load(counting("(call $ok)")).await;
    calls(&world, &loaded, 3).await;
    assert_eq!(world.logged(), ["n", "no", "n"]);
    let uses = Life::Retired(Retired::Uses);
    assert_eq!(world.lives(), [Life::Made, Life::Reused, uses, Life::Made]);
}

#[tokio::test]
async fn calls_at_the_same_time_have_an_instance_each() {
    let world = world(REUSE);
    let wait = "(call $get (i32.const 3072) (i32.const 4) (i32.const 512)) (call $ok)";
    let loaded = world.load(counting(wait)).await;
    tokio::join!(world.call(&loaded), world.call(&loaded));
    assert_eq!(world.logged(), ["n", "n"]);
    calls(&world, &loaded, 2).await;
    assert_eq!(world.logged()[2..], ["no", "non"]);
}

#[tokio::test]
async fn an_instance_serves_one_tenant_unless_its_component_says_otherwise() {
    for (across_tenants, expected) in [
        (false, ["n", "n", "n", "no", "no", "no"]),
        (true, ["n", "no", "non", "none", "none", "none"]),
    ] {
        let world = world(Reuse {
            across_tenants,
            ..REUSE
        });
        let bytes = counting(
            "(if (i32.gt_u (global.get $n) (i32.const 3)) (then (global.set $n (i32.const 3)))) (call $ok)",
        );
        let loaded = world.load(bytes).await;
        for tenant in [Some(1), Some(2), None, Some(1), Some(2), None] {
            effects(world.call_of(&loaded, tenant).await);
        }
        assert_eq!(world.logged(), expected, "{across_tenants}");
    }
}

#[tokio::test]
async fn after_a_trap_a_limit_or_a_deadline_nothing_of_an_instance_is_used_again() {
    let table = [
        ("a trap", "(unreachable)"),
        ("a deadline", "(loop (br 0))"),
        (
            "too many calls of the host",
            "(loop (call $say (i32.const 3072) (i32.const 0)) (br 0))",
        ),
        (
            "memory that was denied, though the guest coped",
            "(drop (memory.grow (i32.const 9999)))",
        ),
        (
            "a fault of the host",
            "(i64.store (i32.const 512) (i64.const 0x6e656b6f7262)) (call $get (i32.const 512) (i32.const 6) (i32.const 520))",
        ),
        (
            "a panic of the host",
            "(i64.store (i32.const 512) (i64.const 0x63696e6170)) (call $get (i32.const 512) (i32.const 5) (i32.const 520))",
        ),
    ];
    for (what, body) in table {
        let world = world(REUSE).limits(|limits| {
            limits.timeout = Duration::from_millis(200);
            limits.host_calls = 300;
            limits.log_lines = 10_000;
        });
        let loaded = world.load(second(body)).await;
        for _ in 0..3 {
            drop(world.call(&loaded).await);
        }
        let mut said = world.logged();
        said.retain(|line| !line.is_empty());
        assert_eq!(said, ["n", "no", "n"], "after {what}");
        assert!(world.one_failed().await, "after {what}");
    }
}

#[tokio::test]
async fn what_a_handler_refuses_or_puts_off_ends_no_instance() {
    for body in [
        "(return (call $reject (i32.const 3072) (i32.const 4)))",
        "(return (call $retry (i32.const 3072) (i32.const 4) (i64.const 0)))",
    ] {
        let world = world(REUSE);
        let loaded = world.load(second(body)).await;
        for _ in 0..3 {
            drop(world.call(&loaded).await);
        }
        assert_eq!(world.logged(), ["n", "no", "non"]);
    }
}

#[tokio::test]
async fn a_call_that_was_cancelled_takes_its_instance_with_it() {
    let world = world(REUSE);
    let loaded = world.load(second("(loop (br 0))")).await;
    calls(&world, &loaded, 1).await;
    {
        let second = world.call(&loaded);
        tokio::pin!(second);
        let begun = async {
            while world.logged().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            outcome = &mut second => panic!("{outcome:?}"),
            () = begun => {}
        }
    }
    calls(&world, &loaded, 1).await;
    assert_eq!(world.logged(), ["n", "no", "n"]);
    assert!(world.one_failed().await);
}

#[tokio::test]
async fn every_budget_is_that_of_one_call() {
    // One line for the count, five more calls of the host, an event, and a value.
    let body = "
        (call $say (i32.const 3072) (i32.const 0))
        (call $emit (i32.const 520) (i32.const 3) (i32.const 1) (i32.const 528) (i32.const 1) (i32.const 544))
        (if (i32.load8_u (i32.const 544)) (then (unreachable)))
        (call $set (i32.const 520) (i32.const 3) (i32.const 3072) (i32.const 4) (i32.const 544))
        (if (i32.load8_u (i32.const 544)) (then (unreachable)))
        (call $ok)";
    let fields = "(data (i32.const 520) \"a.b\") (data (i32.const 528) \"1\")
        (global $n (mut i32) (i32.const 0))";
    let world = world(REUSE).limits(|limits| {
        limits.host_calls = 3;
        limits.log_lines = 1;
        limits.emitted_events = 1;
        limits.value_bytes = 4;
    });
    let loaded = world.load(ping(body, fields)).await;
    for _ in 0..40 {
        let effects = effects(world.call(&loaded).await);
        assert_eq!((effects.emitted.len(), effects.writes.len()), (1, 1));
    }
    assert_eq!(world.limits_hit(), [""; 0]);
    let made = world.lives();
    assert_eq!(made.iter().filter(|life| **life == Life::Made).count(), 1);
}

#[tokio::test]
async fn processor_time_is_counted_for_each_call() {
    let spin = "(local $i i32) (local.set $i (i32.const 40000000))
        (loop (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if 0 (local.get $i)))
        (call $ok)";
    let world = world(REUSE).limits(|limits| limits.cpu = Duration::from_mins(1));
    let loaded = world.load(ping(spin, "")).await;
    let one = world.lasts(&loaded).await;
    let mut world = world;
    world.manifest.settings.limits.cpu = one * 4;
    let loaded = world.load(ping(spin, "")).await;
    calls(&world, &loaded, 12).await;
}

#[tokio::test]
async fn what_a_call_wrote_and_nobody_committed_is_not_there_for_the_next() {
    // On its first call it writes; on the second it reads the same key.
    let body = "
        (if (i32.eq (global.get $n) (i32.const 1))
            (then (call $set (i32.const 3072) (i32.const 4) (i32.const 3072) (i32.const 4) (i32.const 544)))
            (else (call $get (i32.const 3072) (i32.const 4) (i32.const 544))
                (if (i32.load8_u (i32.const 544)) (then (unreachable)))))
        (call $ok)";
    let world = world(REUSE);
    let loaded = world.load(counting(body)).await;
    let first = effects(world.call(&loaded).await);
    let second = effects(world.call(&loaded).await);
    assert_eq!((first.writes.len(), first.reads.len()), (1, 0));
    assert_eq!((second.writes.len(), second.reads.len()), (0, 1));
    assert_eq!(world.logged(), ["n", "no"]);
}

#[tokio::test]
async fn lines_belong_to_the_call_that_said_them() {
    let world = world(REUSE);
    let loaded = world.load(counting("(call $ok)")).await;
    let before = world.call(&loaded).await;
    effects(before);
    effects(
        world
            .call_of(&loaded, Some(0x22222222_7d2f_4a35_9d2c_8e0f4a3f1b10))
            .await,
    );
    let callers = world.callers();
    assert_eq!(callers.len(), 2);
    assert_eq!(world.logged(), ["n", "no"], "the same tenant");
}

#[tokio::test]
async fn memory_that_grew_over_many_calls_is_bounded_as_that_of_one() {
    let grow =
        "(if (i32.eq (i32.const -1) (memory.grow (i32.const 4))) (then (unreachable))) (call $ok)";
    // It begins with two pages, and each call takes four more.
    let bounded = |limit: usize, kept: usize| {
        let memory_bytes = kept << 16;
        world(Reuse {
            memory_bytes,
            ..REUSE
        })
        .limits(|limits| limits.memory_bytes = limit << 16)
    };
    let world = bounded(100, 9);
    let loaded = world.load(counting(grow)).await;
    calls(&world, &loaded, 3).await;
    assert_eq!(world.logged(), ["n", "no", "n"]);
    assert!(world.lives().contains(&Life::Retired(Retired::Memory)));

    let world = bounded(9, 9);
    let loaded = world.load(counting(grow)).await;
    calls(&world, &loaded, 1).await;
    let (breach, _) = failure(world.call(&loaded).await);
    assert_eq!(breach, "memory", "the limit is that of the instance");
}

#[tokio::test]
async fn a_build_that_rests_keeps_nothing_and_what_is_kept_is_in_nobodys_way() {
    let mut world = World::with(|config| config.instances_max = 2);
    world.manifest.settings.reuse = Some(REUSE);
    let bytes = counting("(call $ok)");
    let (first, second) = (world.load(bytes.clone()).await, world.load(bytes).await);
    calls(&world, &first, 1).await;
    first.handler.rest();
    assert_eq!(world.lives(), [Life::Made, Life::Retired(Retired::Rest)]);
    // Two tenants of the first fill every slot; then the second needs one.
    for tenant in [1, 2] {
        effects(world.call_of(&first, Some(tenant)).await);
    }
    calls(&world, &second, 1).await;
    let room = Life::Retired(Retired::Room);
    assert_eq!(world.lives(), [Life::Made, Life::Made, room, Life::Made]);
    // A build that is gone takes its instances along.
    drop((first, second));
    let rest = Life::Retired(Retired::Rest);
    assert_eq!(world.lives(), [rest, rest]);
}

#[tokio::test]
async fn an_instance_that_nobody_needed_for_long_is_not_used() {
    let world = world(Reuse {
        idle: Duration::ZERO,
        ..REUSE
    });
    let loaded = world.load(counting("(call $ok)")).await;
    calls(&world, &loaded, 2).await;
    assert_eq!(world.logged(), ["n", "n"]);
}

impl World {
    /// Two were made, and the first has failed. What was cut off ends its turn first, on
    /// a thread of the guests.
    async fn one_failed(&self) -> bool {
        let mut lives = Vec::new();
        let failed = Life::Retired(Retired::Failed);
        let waits = async {
            while !lives.contains(&failed) {
                lives.extend(self.lives());
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), waits).await;
        let made = lives.iter().filter(|life| **life == Life::Made).count();
        let reused = lives.iter().filter(|life| **life == Life::Reused).count();
        waited.is_ok() && (made, reused, lives.len()) == (2, 1, 4)
    }

    /// How long a call works.
    async fn lasts(&self, loaded: &Loaded) -> Duration {
        let begun = std::time::Instant::now();
        let outcome = self.call(loaded).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        begun.elapsed()
    }
}

//! The consumer alone: a stream that is full, a component that is put into the
//! folder, and the time until all of it is handled. Beside pull, parse and
//! acknowledge without a sandbox or a ledger, and beside the predecessor's worker.

use anyhow::ensure;

use crate::cpu::Cpu;
use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, Tuning, World};
use crate::lab::{Lab, Size};
use crate::peers::seed;
use crate::report::Report;
use crate::sections::raw::Acks;
use crate::sections::{Section, progress, raw};

const HERE: Section = Section::Consumer;

/// Messages of a full run.
const MESSAGES: u64 = 60_000;

/// Messages that come before those that count: a host that has just started writes
/// down that a call begins, for as many as may have been in hand when it died.
const WARM: u64 = 6_000;

/// Messages for the predecessor at its best, and at its defaults.
const MESSAGES_SEED: u64 = 12_000;
const MESSAGES_SEED_DEFAULT: u64 = 1_500;

/// What the ledger must hold afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expects {
    /// Nothing: the component has no effect, and its file asks for no marks.
    Nothing,
    /// A mark for each event.
    Marks,
    /// A mark, a count in the state and an emitted event for each.
    Effects,
}

/// One way of ours.
struct Way {
    name: &'static str,
    component: &'static str,
    expects: Expects,
    tuning: Tuning,
}

const LEAST_ONCE: Way = Way {
    name: "no-op, at least once",
    component: "bench-noop",
    expects: Expects::Nothing,
    tuning: BEST,
};
const MARKED: Way = Way {
    name: "no-op, marked in the inbox",
    component: "bench-noop",
    expects: Expects::Marks,
    tuning: BEST,
};
const EFFECT: Way = Way {
    name: "effect once",
    component: "bench-effect",
    expects: Expects::Effects,
    tuning: BEST,
};
const DEFAULTS: Way = Way {
    name: "effect once at the defaults",
    component: "bench-effect",
    expects: Expects::Effects,
    tuning: Tuning {
        batch: None,
        concurrency: None,
        in_flight: None,
    },
};

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let count = lab.size.of(MESSAGES);
    for _ in 0..lab.runs {
        pull(lab, report, count, Acks::Sent).await?;
        ours(lab, report, count, &LEAST_ONCE).await?;
        ours(lab, report, count, &MARKED).await?;
        pull(lab, report, count, Acks::Confirmed).await?;
        ours(lab, report, count, &EFFECT).await?;
        ours(lab, report, count / 2, &DEFAULTS).await?;
        ledger(lab, report, count).await?;
        let few = lab.size.of(MESSAGES_SEED);
        seed::worker(lab, report, HERE, few, seed::Manner::Best).await?;
    }
    let few = lab.size.of(MESSAGES_SEED_DEFAULT);
    seed::worker(lab, report, HERE, few, seed::Manner::Default).await
}

async fn pull(lab: &Lab, report: &mut Report, count: u64, acks: Acks) -> anyhow::Result<()> {
    let name = match acks {
        Acks::Sent => "raw pull, parse, ack",
        Acks::Confirmed => "raw pull, parse, confirmed ack",
    };
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), BEST).await?;
    raw::make_stream(&world).await?;
    raw::publish(&world, &orders(0, count, ENVELOPE_BYTES)?).await?;
    let before = Cpu {
        host: crate::cpu::own(),
        ..world.cpu(None)
    };
    let seconds = raw::pull(&world, count, acks).await?;
    let after = Cpu {
        host: crate::cpu::own(),
        ..world.cpu(None)
    };
    report.add_with_cpu(
        HERE,
        name,
        count as f64 / seconds,
        after.since(before).per(count),
    );
    world.tidy().await
}

async fn ours(lab: &Lab, report: &mut Report, count: u64, way: &Way) -> anyhow::Result<()> {
    let Way {
        name,
        component,
        expects,
        tuning,
    } = *way;
    let broker = &lab.servers().await?.broker;
    let world = World::new(lab, Ground::Servers(broker), tuning).await?;
    let host = world.run("consumer").await?;
    raw::make_stream(&world).await?;
    let warm = if lab.size == Size::Smoke { 0 } else { WARM };
    raw::publish(&world, &orders(0, warm + count, ENVELOPE_BYTES)?).await?;
    if expects == Expects::Nothing {
        let file = world.path(&format!("components/{component}.toml"));
        std::fs::write(file, "inbox = \"effects\"\n")?;
    }
    world.put(component, &lab.component(component)?)?;
    let speed = progress::consumed(&world, host.pid(), warm, warm + count).await?;
    report.add_with_cpu(HERE, name, speed.rate, speed.cpu);
    drop(host);
    check(&world, warm + count, expects).await?;
    world.tidy().await
}

/// Speed that loses or repeats an event counts for nothing.
pub(crate) async fn check(world: &World<'_>, count: u64, expects: Expects) -> anyhow::Result<()> {
    let pool = world.pool().await?;
    let found = raw::counts(
        &pool,
        &[
            ("marks", "SELECT count(*) FROM qx_inbox"),
            (
                "state",
                "SELECT coalesce(sum(value::bigint), 0)::bigint FROM qx_state",
            ),
            (
                "emitted",
                "SELECT count(*) FROM qx_outbox_events WHERE event_name = 'bench.order.counted'",
            ),
            ("letters", "SELECT count(*) FROM qx_dead_letters"),
        ],
    )
    .await?;
    pool.close().await;
    let marks = found.get("marks").copied().unwrap_or(-1);
    let (all, effects) = match expects {
        // Those whose beginning was written down are marked all the same.
        Expects::Nothing => (u64::try_from(marks)?, 0),
        Expects::Marks => (count, 0),
        Expects::Effects => (count, count),
    };
    let expected = [
        ("marks", all.min(count)),
        ("state", effects),
        ("emitted", effects),
        ("letters", 0),
    ];
    for (name, wanted) in expected {
        let seen = found.get(name).copied();
        ensure!(
            seen == i64::try_from(wanted).ok(),
            "{name}: {seen:?}, not {wanted}"
        );
    }
    Ok(())
}

async fn ledger(lab: &Lab, report: &mut Report, count: u64) -> anyhow::Result<()> {
    let world = World::new(lab, Ground::Servers(&lab.servers().await?.broker), BEST).await?;
    let pool = world.pool().await?;
    let seconds = raw::ledger_insert(&pool, &orders(0, count, ENVELOPE_BYTES)?).await?;
    report.add(
        HERE,
        "bare ledger insert",
        "marks/s",
        count as f64 / seconds,
    );
    pool.close().await;
    world.tidy().await
}

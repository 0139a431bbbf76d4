//! Up to a thousand components, each another build: how long a host takes to have
//! them in service, from the compiler and from its cache, what each weighs, and
//! what a host that has nothing to do takes of the machine.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cpu;
use crate::host::{Ground, Host, LOOK, Tuning, World};
use crate::lab::{Lab, PATIENCE, Size};
use crate::report::Report;
use crate::sections::Section;

const HERE: Section = Section::Fleet;

/// Idling that is measured.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_SMOKE: Duration = Duration::from_millis(500);

/// A host that just started still has things to do.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let counts: &[usize] = match lab.size {
        Size::Smoke => &[2],
        Size::Quick => &[1, 100],
        Size::Full => &[1, 100, 1_000],
    };
    for count in counts {
        one(lab, report, *count).await?;
    }
    if let (Some(few), Some(many)) = (
        report.get(HERE, "memory, 1 components"),
        report.get(HERE, "memory, 1000 components"),
    ) {
        report.add(
            HERE,
            "memory of one idle component",
            "MB",
            (many - few) / 999.0,
        );
    }
    Ok(())
}

async fn one(lab: &Lab, report: &mut Report, count: usize) -> anyhow::Result<()> {
    let world = World::new(
        lab,
        Ground::Servers(&lab.servers().await?.broker),
        Tuning::default(),
    )
    .await?;
    let bytes = lab.component("bench-noop")?;
    for number in 0..count {
        let build = rebuilt(&bytes, &format!("fleet {number}"));
        world.put(&format!("bench-{number}"), &build)?;
    }
    let mut host = world.start("relay,consumer")?;
    let compiled = serving(&mut host, count).await?;
    report.add(
        HERE,
        &format!("first start, {count} components"),
        "s",
        compiled.as_secs_f64(),
    );
    drop(host);
    for _ in 0..lab.runs_of_long() {
        let mut host = world.start("relay,consumer")?;
        let took = serving(&mut host, count).await?;
        report.add(
            HERE,
            &format!("start from the cache, {count} components"),
            "s",
            took.as_secs_f64(),
        );
        let (settle, idle) = match lab.size {
            Size::Smoke => (IDLE_SMOKE, IDLE_SMOKE),
            Size::Quick | Size::Full => (SETTLE, IDLE),
        };
        tokio::time::sleep(settle).await;
        let (before, begun) = (cpu::of_tree(host.pid()), Instant::now());
        tokio::time::sleep(idle).await;
        let share = (cpu::of_tree(host.pid()) - before) / begun.elapsed().as_secs_f64();
        report.add(
            HERE,
            &format!("idling, {count} components"),
            "% of a core",
            share * 100.0,
        );
        let bytes = cpu::resident_bytes(host.pid()) as f64;
        report.add(
            HERE,
            &format!("memory, {count} components"),
            "MB",
            bytes / 1e6,
        );
    }
    world.tidy().await
}

/// Waits until all are in service; returns the time since the start. The list of a
/// thousand is work for the host, so it is asked for once it says that it is ready.
async fn serving(host: &mut Host, count: usize) -> anyhow::Result<Duration> {
    loop {
        let mut listed = String::new();
        if host.is_ready().await {
            listed = host.ask("/api/handlers").await.unwrap_or_default();
            if listed.matches("\"serving\"").count() >= count {
                return Ok(host.begun.elapsed());
            }
        }
        host.alive()?;
        ensure!(
            host.begun.elapsed() < PATIENCE,
            "not all are in service: {}",
            listed.get(..500).unwrap_or(&listed)
        );
        tokio::time::sleep(LOOK * 4).await;
    }
}

/// Another build of the same component: a custom section at its end makes its
/// digest another.
pub(crate) fn rebuilt(bytes: &[u8], mark: &str) -> Vec<u8> {
    let mut build = bytes.to_vec();
    let length = u8::try_from(mark.len() + 2).unwrap_or(2).min(0x7f);
    build.extend([0, length, 1, b'm']);
    build.extend(mark.bytes().take(usize::from(length) - 2));
    build
}

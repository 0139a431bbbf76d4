//! A component that is replaced every half second while events are handled, beside
//! the same without: what the throughput loses, and the longest standstill.

use std::time::{Duration, Instant};

use crate::events::{ENVELOPE_BYTES, orders};
use crate::host::{BEST, Ground, World};
use crate::lab::{Lab, PATIENCE};
use crate::report::Report;
use crate::sections::fleet::rebuilt;
use crate::sections::{Section, progress, raw};

const HERE: Section = Section::Swap;

/// Messages of a full run.
const MESSAGES: u64 = 60_000;

/// Between two builds.
const SWAP_EVERY: Duration = Duration::from_millis(500);

/// Between two looks: the standstill is known to this much.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn run(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let count = lab.size.of(MESSAGES);
    for _ in 0..lab.runs_of_long() {
        for swaps in [false, true] {
            let (rate, standstill, builds) = one(lab, count, swaps).await?;
            let word = if swaps {
                "while it is replaced"
            } else {
                "undisturbed"
            };
            report.add(HERE, &format!("throughput {word}"), "events/s", rate);
            report.add(
                HERE,
                &format!("longest standstill {word}"),
                "ms",
                standstill.as_secs_f64() * 1e3,
            );
            if swaps {
                report.add(
                    HERE,
                    "builds that came into service",
                    "builds",
                    builds as f64,
                );
            }
        }
    }
    Ok(())
}

async fn one(lab: &Lab, count: u64, swaps: bool) -> anyhow::Result<(f64, Duration, usize)> {
    let world = World::new(lab, Ground::Servers(&lab.servers().await?.broker), BEST).await?;
    let bytes = lab.component("bench-noop")?;
    let builds = [rebuilt(&bytes, "one"), rebuilt(&bytes, "two")];
    let [first, second] = &builds;
    // Both are in the cache before the clock runs.
    world.put("bench-noop", second)?;
    let mut host = world.run("consumer").await?;
    world.put("bench-noop", first)?;
    let begun = Instant::now();
    while !host.ask("/api/handlers").await?.contains("\"serving\"") && begun.elapsed() < PATIENCE {
        host.alive()?;
        tokio::time::sleep(LOOK).await;
    }
    raw::make_stream(&world).await?;
    let consumer = progress::the_consumer(&world).await?;
    raw::publish(&world, &orders(0, count, ENVELOPE_BYTES)?).await?;
    let from = consumer.settled().await?;
    let (begun, mut moved, mut seen, mut standstill) =
        (Instant::now(), Instant::now(), from, Duration::ZERO);
    let (mut swapped, mut number) = (Instant::now(), 0);
    while consumer.left().await? > 0 && begun.elapsed() < PATIENCE {
        let settled = consumer.settled().await?;
        if settled > seen {
            standstill = standstill.max(moved.elapsed());
            (seen, moved) = (settled, Instant::now());
        }
        if swaps && swapped.elapsed() >= SWAP_EVERY {
            number += 1;
            let build = if number % 2 == 1 { second } else { first };
            world.put("bench-noop", build)?;
            swapped = Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
    let rate = (count - from.min(count)) as f64 / begun.elapsed().as_secs_f64();
    drop(host);
    world.tidy().await?;
    Ok((rate, standstill, number))
}

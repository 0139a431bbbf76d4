//! `make bench`: what the host does in a second, beside what this machine can do
//! at most and beside what people would use instead. One run, one machine.
//!
//! Compared things take turns (A B A B), and each figure is the median of its
//! runs. Nothing is asserted about time: a slow machine is no failure.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and times become ratios; none is near 2^53"
)]

mod bars;
mod cpu;
mod disk;
mod events;
mod host;
mod lab;
mod machine;
mod markdown;
mod peers;
mod plot;
mod report;
mod sections;
mod terminal;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::disk::Disk;
use crate::lab::{Lab, Size};
use crate::peers::Installed;
use crate::report::Report;
use crate::sections::Section;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(
    about = "Measures the host beside the raw limits and beside what people would use instead"
)]
struct Args {
    /// The sections to run, with commas between them; all when not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Section>,
    /// A few seconds for each section: figures are coarse.
    #[arg(long)]
    quick: bool,
    /// Only whether the harness works: a few events each, one run.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Also the backlog of ten million rows: needs some 15 GB and half an hour.
    #[arg(long)]
    huge: bool,
    /// Runs of each figure; the median counts.
    #[arg(long)]
    runs: Option<usize>,
    /// The binary that is measured.
    #[arg(long, default_value = "target/release/qx-host")]
    host: PathBuf,
    /// Where `bench-noop.wasm` and `bench-effect.wasm` lie.
    #[arg(long, default_value = "target/bench/components")]
    components: PathBuf,
    #[command(flatten)]
    peers: Installed,
    /// Where `report.json` goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Writes the report for people, with its plots, into this folder.
    #[arg(long)]
    docs: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let size = match (args.smoke, args.quick) {
        (true, _) => Size::Smoke,
        (false, true) => Size::Quick,
        (false, false) => Size::Full,
    };
    let runs = args.runs.unwrap_or(size.runs());
    std::fs::create_dir_all(&args.out).context("make the folder for the report")?;
    let lab = Lab::open(&args.host, &args.components, args.peers, size, runs)?;
    let mut report = Report::new(machine::look(&args.host).await, runs, size);
    terminal::begin(&report);
    let disk = Disk::new(size, args.huge);
    for section in Section::ALL {
        if args.only.is_empty() || args.only.contains(&section) {
            terminal::section(section);
            let begun = std::time::Instant::now();
            disk.watch(Box::pin(section.run(&lab, &mut report, args.huge)))
                .await
                .with_context(|| format!("section {section}"))?;
            report.ran(section, begun.elapsed());
            terminal::figures(&report, section);
            report.save(&args.out.join("report.json"))?;
        }
    }
    if size != Size::Smoke {
        let judged = bars::judge(&report); // A smoke measures nothing.
        report.judged(judged);
    }
    report.save(&args.out.join("report.json"))?;
    terminal::end(&report);
    if let Some(docs) = &args.docs {
        markdown::write(&report, docs)?;
    }
    Ok(())
}

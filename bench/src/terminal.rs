//! The report on the terminal: figures as they come, and the bars in the end.

use comfy_table::{Table, presets};

use crate::lab::Size;
use crate::report::{Figure, Report, Verdict, shown};
use crate::sections::Section;

/// On what is measured.
pub(crate) fn begin(report: &Report) {
    for line in machine(report) {
        println!("{line}");
    }
}

/// The machine and the versions, a line each.
pub(crate) fn machine(report: &Report) -> Vec<String> {
    let m = &report.machine;
    vec![
        format!(
            "{}, {} cores, {} MB, {}",
            m.processor, m.cores, m.memory_mb, m.system
        ),
        format!(
            "a synced write of 4 KiB: {} µs; load when it began: {}",
            shown(m.sync_us),
            shown(m.load_before)
        ),
        format!("{} · {} · {}", m.postgres, m.nats, m.rustc),
        format!(
            "{} at {} · {} · {}median of {} runs",
            m.host,
            m.commit,
            m.when,
            how(report.size),
            report.runs
        ),
    ]
}

const fn how(size: Size) -> &'static str {
    match size {
        Size::Smoke => "a smoke, which measures nothing · ",
        Size::Quick => "a coarse run (QUICK=1), where what takes long was run once · ",
        Size::Full => "",
    }
}

/// A section begins.
pub(crate) fn section(section: Section) {
    println!("\n== {}  ({section})", section.title());
}

/// What a section measured.
pub(crate) fn figures(report: &Report, section: Section) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for figure in report.of(section) {
        table.add_row(row(figure));
    }
    println!("{table}");
    for (_, remark) in report.remarks.iter().filter(|(of, _)| *of == section) {
        println!("  {remark}");
    }
    if let Some(ran) = report.sections.iter().find(|ran| ran.section == section) {
        println!("  {} s, load {}", shown(ran.seconds), shown(ran.load));
    }
}

/// A figure's name, its median, its span and its processor time.
pub(crate) fn row(figure: &Figure) -> [String; 4] {
    let median = figure.median().unwrap_or(f64::NAN);
    let low = figure.runs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = figure
        .runs
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let span = if figure.runs.len() > 1 {
        format!("{} … {}", shown(low), shown(high))
    } else {
        String::new()
    };
    let cpu = figure
        .median_cpu()
        .map_or_else(String::new, |[host, broker, database]| {
            format!("{host:.0} + {broker:.0} + {database:.0} µs")
        });
    [
        figure.name.clone(),
        format!("{} {}", shown(median), figure.unit),
        span,
        cpu,
    ]
}

/// The bars.
pub(crate) fn end(report: &Report) {
    println!("\n== The bars\n");
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["FIGURE", "MEASURED", "BAR", "STRETCH", ""]);
    for one in &report.judged {
        table.add_row([
            one.figure,
            &one.measured,
            one.bar,
            one.stretch,
            word(one.verdict),
        ]);
    }
    println!("{table}");
    println!(
        "\ntarget/bench/report.json has every run. Processor time is host (or peer) + broker + database, for each event."
    );
}

/// A verdict in a word.
pub(crate) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stretch => "met, and the stretch",
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Unknown => "",
    }
}

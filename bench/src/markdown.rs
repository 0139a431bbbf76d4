//! The report for people: `benchmark.md` with every figure and two plots, and the
//! table between the marks of the README. Findings that a person wrote stand
//! between marks of their own, and stay.

use std::fmt::Write as _;
use std::path::Path;

use crate::plot::bars;
use crate::report::{Report, shown};
use crate::sections::Section;
use crate::terminal;

const FINDINGS_BEGIN: &str = "<!-- findings: written by hand, kept by the bench -->";
const FINDINGS_END: &str = "<!-- end of findings -->";
const TABLE_BEGIN: &str = "<!-- written by make bench -->";
const TABLE_END: &str = "<!-- end -->";

/// Writes the report and its plots into the folder, and the README's table.
pub(crate) fn write(report: &Report, docs: &Path) -> anyhow::Result<()> {
    let path = docs.join("benchmark.md");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let findings = between(&before, FINDINGS_BEGIN, FINDINGS_END).unwrap_or("\n");
    std::fs::write(&path, page(report, findings))?;
    std::fs::write(docs.join("benchmark-throughput.svg"), throughput(report))?;
    std::fs::write(docs.join("benchmark-latency.svg"), latency(report))?;
    let readme = docs.join("../README.md");
    let text = std::fs::read_to_string(&readme)?;
    if let Some(old) = between(&text, TABLE_BEGIN, TABLE_END) {
        let new = format!("\n{}", verdicts(report));
        std::fs::write(&readme, text.replacen(old, &new, 1))?;
    }
    Ok(())
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

fn page(report: &Report, findings: &str) -> String {
    let ran: Vec<Section> = report.sections.iter().map(|ran| ran.section).collect();
    let mut text = format!(
        "# Benchmark\n\n{}; every run is in `target/bench/report.json`.\n\n",
        made_by(&ran)
    );
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for fact in terminal::machine(report) {
        line(&format!("- {fact}"));
    }
    line(
        "\nCompared things take turns in one run on one machine. Processor time is that of the host (or the peer, or the bare client) + broker + database, for each event: it says more than the clock where others use the machine too.",
    );
    line("\n## The bars\n");
    line(verdicts(report).trim_end());
    line("\n![throughput](benchmark-throughput.svg)\n\n![latency](benchmark-latency.svg)\n");
    line("## Findings\n");
    line(&format!("{FINDINGS_BEGIN}{findings}{FINDINGS_END}\n"));
    line("## Every figure");
    for section in Section::ALL {
        if report.of(section).next().is_some() {
            line(&figures(report, section));
        }
    }
    text
}

/// What the page comes from, and which sections where it is not from all.
fn made_by(ran: &[Section]) -> String {
    if Section::ALL.iter().all(|section| ran.contains(section)) {
        return "Made by `make bench`".to_owned();
    }
    let names: Vec<String> = ran.iter().map(|section| format!("`{section}`")).collect();
    format!(
        "Made by `make bench`, of which these sections were run: {}",
        names.join(", ")
    )
}

fn verdicts(report: &Report) -> String {
    let mut text = String::from("| | measured | bar | stretch | |\n|---|---|---|---|---|\n");
    for one in &report.judged {
        let word = terminal::word(one.verdict);
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {word} |",
            one.figure, one.measured, one.bar, one.stretch
        );
    }
    text
}

fn figures(report: &Report, section: Section) -> String {
    let mut text = format!("\n### {}\n\n", section.title());
    text += "| | median | runs | processor time of an event |\n|---|---|---|---|\n";
    for figure in report.of(section) {
        _ = writeln!(text, "| {} |", terminal::row(figure).join(" | "));
    }
    for (_, remark) in report.remarks.iter().filter(|(of, _)| *of == section) {
        _ = writeln!(text, "\n{remark}");
    }
    if let Some(ran) = report.sections.iter().find(|ran| ran.section == section) {
        _ = write!(
            text,
            "\nTook {} s; load of the machine at its end: {}.",
            shown(ran.seconds),
            shown(ran.load)
        );
    }
    text
}

fn throughput(report: &Report) -> String {
    let wanted = [
        (Section::Relay, "raw pipelined publish", false),
        (Section::Relay, "relay", true),
        (Section::Relay, "qx-events relay at its best", false),
        (Section::Relay, "faststream-outbox relay at its best", false),
        (Section::Consumer, "raw pull, parse, ack", false),
        (Section::Consumer, "no-op, at least once", true),
        (Section::Consumer, "effect once", true),
        (Section::Consumer, "qx-worker at its best", false),
        (Section::EndToEnd, "effect once", true),
        (
            Section::EndToEnd,
            "qx-events and qx-worker at their best",
            false,
        ),
        (
            Section::EndToEnd,
            "graphile-worker, row and job, at least once",
            false,
        ),
        (Section::Embedded, "end to end, effect once", true),
    ];
    let values: Vec<_> = wanted
        .into_iter()
        .filter_map(|(section, name, ours)| {
            Some((
                format!("{section}: {name}"),
                report.get(section, name)?,
                ours,
            ))
        })
        .collect();
    bars("Events per second (logarithmic)", "/s", &values)
}

fn latency(report: &Report) -> String {
    let values: Vec<_> = report
        .of(Section::Latency)
        .filter(|figure| figure.unit == "ms" && !figure.name.starts_with("stage"))
        .filter_map(|figure| {
            Some((
                figure
                    .name
                    .replace("qx-events and qx-worker at their defaults", "predecessor"),
                figure.median()?,
                figure.name.starts_with("commit") || figure.name.starts_with("the first"),
            ))
        })
        .collect();
    bars("Commit to effect (logarithmic)", "ms", &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_sections_that_it_comes_from_unless_it_comes_from_all() {
        assert_eq!(made_by(&Section::ALL), "Made by `make bench`");
        let some = made_by(&[Section::Relay, Section::EndToEnd]);
        assert!(some.ends_with("were run: `relay`, `end-to-end`"), "{some}");
    }
}

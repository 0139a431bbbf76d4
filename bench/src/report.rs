//! What was measured: each figure with all its runs, and what the bars
//! say of them. Written as JSON, and read by everything that shows it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cpu::Cpu;
use crate::lab::Size;
use crate::machine::Machine;
use crate::sections::Section;

/// Everything of one run of the bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) size: Size,
    pub(crate) runs: usize,
    pub(crate) sections: Vec<Ran>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) remarks: Vec<(Section, String)>,
    pub(crate) judged: Vec<Judged>,
}

/// A section that ran.
#[derive(Debug, Serialize)]
pub(crate) struct Ran {
    pub(crate) section: Section,
    pub(crate) seconds: f64,
    /// Processes that wanted the processors when it ended, over a minute.
    pub(crate) load: f64,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) section: Section,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// One for each run, in their order.
    pub(crate) runs: Vec<f64>,
    /// Microseconds of processor time for an event, by process: each run's.
    pub(crate) cpu_us: Vec<[f64; 3]>,
}

/// A bar of the issue and what was reached.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) figure: &'static str,
    pub(crate) measured: String,
    pub(crate) bar: &'static str,
    pub(crate) stretch: &'static str,
    pub(crate) verdict: Verdict,
}

/// Whether a bar is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The stretch too.
    Stretch,
    /// The bar.
    Met,
    /// Not even the bar.
    Missed,
    /// Something it needs was not measured.
    Unknown,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(machine: Machine, runs: usize, size: Size) -> Self {
        Self {
            machine,
            size,
            runs,
            sections: Vec::new(),
            figures: Vec::new(),
            remarks: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// Adds one run of a figure.
    pub(crate) fn add(&mut self, section: Section, name: &str, unit: &'static str, value: f64) {
        self.figure(section, name, unit).runs.push(value);
    }

    /// Adds one run of a figure, with the processor time of each event.
    pub(crate) fn add_with_cpu(&mut self, section: Section, name: &str, rate: f64, cpu: Cpu) {
        let figure = self.figure(section, name, "events/s");
        figure.runs.push(rate);
        figure.cpu_us.push([cpu.host, cpu.broker, cpu.database]);
    }

    /// Says something beside the figures, once.
    pub(crate) fn remark(&mut self, section: Section, text: impl Into<String>) {
        let remark = (section, text.into());
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    fn figure(&mut self, section: Section, name: &str, unit: &'static str) -> &mut Figure {
        let at = self
            .figures
            .iter()
            .position(|figure| figure.section == section && figure.name == name);
        let at = at.unwrap_or_else(|| {
            self.figures.push(Figure {
                section,
                name: name.to_owned(),
                unit,
                runs: Vec::new(),
                cpu_us: Vec::new(),
            });
            self.figures.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed above")]
        &mut self.figures[at]
    }

    /// A section is done.
    pub(crate) fn ran(&mut self, section: Section, took: Duration) {
        self.sections.push(Ran {
            section,
            seconds: took.as_secs_f64(),
            load: crate::machine::load(),
        });
    }

    /// What the bars say.
    pub(crate) fn judged(&mut self, judged: Vec<Judged>) {
        self.judged = judged;
    }

    /// The median of a figure.
    pub(crate) fn get(&self, section: Section, name: &str) -> Option<f64> {
        let mut figures = self.figures.iter();
        let figure = figures.find(|figure| figure.section == section && figure.name == name)?;
        figure.median()
    }

    /// The figures of a section.
    pub(crate) fn of(&self, section: Section) -> impl Iterator<Item = &Figure> {
        self.figures
            .iter()
            .filter(move |figure| figure.section == section)
    }

    /// Writes the whole as JSON.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?)?;
        Ok(())
    }
}

impl Figure {
    /// The middle one of the runs.
    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.runs)
    }

    /// The medians of the processor time.
    pub(crate) fn median_cpu(&self) -> Option<[f64; 3]> {
        let column = |index: usize| {
            let column: Vec<f64> = self
                .cpu_us
                .iter()
                .filter_map(|run| run.get(index).copied())
                .collect();
            median(&column)
        };
        Some([column(0)?, column(1)?, column(2)?])
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50)
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A number as people read it.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_and_the_percentile_the_nearest_rank() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(&[]), None);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 99), Some(99.0));
        assert_eq!(percentile(&[5.0], 99), Some(5.0));
    }

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        for (value, text) in [
            (0.5, "0.50"),
            (12.34, "12.3"),
            (123.4, "123"),
            (12_345.6, "12,346"),
            (1e6, "1,000,000"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}

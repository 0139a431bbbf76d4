//! All scenarios of one component: run, compared, and recorded where that was asked
//! for.

use std::path::{Path, PathBuf};

use qx_sandbox::Cost;

use super::bench::{Bench, BenchError, Built};
use super::compare::{Difference, differences};
use super::expect::Outcome;
use super::file::{Scenario, ScenarioFault};
use super::record::recorded;
use super::seen::Seen;
use crate::cli::chain;

/// What is done with a scenario that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It is told.
    No,
    /// What came of it is written into its file.
    Write,
}

/// One component, and what became of its scenarios.
#[derive(Debug)]
pub struct Suite {
    /// The component.
    pub component: String,
    /// Its file.
    pub wasm: PathBuf,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Its scenarios.
    pub cases: Vec<CaseReport>,
}

/// What became of a scenario.
#[derive(Debug)]
pub struct CaseReport {
    /// The scenario's name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it shows.
    pub about: String,
    /// How it ended.
    pub ran: Ran,
}

/// How a scenario ended.
#[derive(Debug)]
pub enum Ran {
    /// Every event was given to the component.
    Through(Vec<StepReport>),
    /// As [`Ran::Through`]; what came of it is now what the file says.
    Recorded(Vec<StepReport>),
    /// It could not be run to its end, and why.
    Broken(String),
}

/// What became of one event.
#[derive(Debug)]
pub struct StepReport {
    /// The event's name.
    pub event: String,
    /// The outcome, as a scenario says it.
    pub outcome: Outcome,
    /// What it used; `None` when it was not called.
    pub cost: Option<Cost>,
    /// The parts that are not as expected.
    pub differences: Vec<Difference>,
    /// Whether the scenario says what must come of it.
    pub is_expected: bool,
}

impl StepReport {
    /// Whether the event came to what it should.
    pub fn holds(&self) -> bool {
        self.is_expected && self.differences.is_empty()
    }
}

impl CaseReport {
    /// Whether the file is as the component is.
    pub fn holds(&self) -> bool {
        match &self.ran {
            Ran::Through(steps) => steps.iter().all(StepReport::holds),
            Ran::Recorded(_) => true,
            Ran::Broken(_) => false,
        }
    }

    /// Its events, where it could be run.
    pub fn steps(&self) -> &[StepReport] {
        match &self.ran {
            Ran::Through(steps) | Ran::Recorded(steps) => steps,
            Ran::Broken(_) => &[],
        }
    }
}

impl Suite {
    /// Runs scenarios against a component.
    pub async fn run(
        bench: &Bench,
        built: &Built,
        scenarios: &[Scenario],
        update: Update,
    ) -> Result<Self, BenchError> {
        let opened = bench.open(built).await?;
        let mut cases = Vec::new();
        for scenario in scenarios {
            let ran = match bench.run(&opened, scenario).await {
                Ok(seen) => settle(scenario, &seen, update),
                Err(error) => Ran::Broken(chain(&error)),
            };
            cases.push(CaseReport {
                name: scenario.name.clone(),
                path: scenario.path.clone(),
                about: scenario.about.clone(),
                ran,
            });
        }
        Ok(Self {
            component: built.name.to_string(),
            wasm: built.wasm.clone(),
            digest: opened.digest(),
            cases,
        })
    }

    /// How many scenarios hold, and how many do not.
    pub fn counts(&self) -> (usize, usize) {
        let held = self.cases.iter().filter(|case| case.holds()).count();
        (held, self.cases.len() - held)
    }
}

/// Compares, and records where that was asked for and something is to be recorded.
fn settle(scenario: &Scenario, seen: &[Seen], update: Update) -> Ran {
    let report = |(step, seen): (&super::file::Step, &Seen)| StepReport {
        event: step.event.name.clone(),
        outcome: seen.outcome.clone(),
        cost: seen.cost,
        differences: step
            .expect
            .as_ref()
            .map_or_else(Vec::new, |expect| differences(expect, seen)),
        is_expected: step.expect.is_some(),
    };
    let steps: Vec<StepReport> = scenario.steps.iter().zip(seen).map(report).collect();
    if update == Update::No || steps.iter().all(StepReport::holds) {
        return Ran::Through(steps);
    }
    match write(scenario, seen, &steps) {
        Ok(()) => Ran::Recorded(steps),
        Err(why) => Ran::Broken(format!(
            "{} cannot be written: {why}",
            scenario.path.display()
        )),
    }
}

fn write(scenario: &Scenario, seen: &[Seen], steps: &[StepReport]) -> Result<(), String> {
    let text = std::fs::read_to_string(&scenario.path).map_err(|error| error.to_string())?;
    let news: Vec<_> = scenario
        .steps
        .iter()
        .zip(seen)
        .zip(steps)
        .map(|((step, seen), report)| (!report.holds()).then_some((step.expect.as_ref(), seen)))
        .collect();
    let new = recorded(&text, &news).map_err(|error| error.to_string())?;
    std::fs::write(&scenario.path, new).map_err(|error| error.to_string())
}

/// The scenarios in files and folders, in order of their names; all that is wrong
/// with them at once.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Scenario>, Vec<ScenarioFault>> {
    let (mut scenarios, mut faults) = (Vec::new(), Vec::new());
    for path in paths {
        let files = match files(path) {
            Ok(files) => files,
            Err(error) => {
                faults.push(ScenarioFault::new(path, format!("cannot be read: {error}")));
                continue;
            }
        };
        for file in files {
            match Scenario::load(&file) {
                Ok(scenario) => scenarios.push(scenario),
                Err(fault) => faults.push(fault),
            }
        }
    }
    if faults.is_empty() {
        Ok(scenarios)
    } else {
        Err(faults)
    }
}

/// A file itself, or those with scenarios in a folder.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

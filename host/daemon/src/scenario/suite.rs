//! All scenarios of one component: run, compared, and recorded where that was asked
//! for.

use std::path::{Path, PathBuf};

use qx_sandbox::Cost;

use super::bench::{Bench, BenchError, Built, Opened};
use super::compare::{Difference, differences};
use super::expect::Outcome;
use super::fault::ScenarioFault;
use super::file::{Scenario, Step};
use super::record::{News, Part, recorded};
use super::seen::Seen;
use crate::cli::chain;

/// Times that a scenario is run until what its handler asks for is written down: each
/// adds one call at least, and a call has few.
const ROUNDS_MAX: usize = 128;

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
    /// Requests that the handler made, those that were refused included.
    pub http_requests: usize,
    /// Statements that it ran, likewise.
    pub sql_statements: usize,
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
            let ran = play(bench, &opened, scenario, update).await;
            let ran = ran.unwrap_or_else(Ran::Broken);
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

/// Runs, compares, and records where that was asked for and something is to be recorded.
async fn play(
    bench: &Bench,
    opened: &Opened,
    scenario: &Scenario,
    update: Update,
) -> Result<Ran, String> {
    let seen = run(bench, opened, scenario).await?;
    let steps = reports(scenario, &seen);
    if update == Update::No || steps.iter().all(StepReport::holds) {
        return Ok(Ran::Through(steps));
    }
    let path = &scenario.path;
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{shown} cannot be read again: {error}"))?;
    let (text, steps) = record(bench, opened, (scenario, &text), seen).await?;
    std::fs::write(path, text).map_err(|error| format!("{shown} cannot be written: {error}"))?;
    Ok(Ran::Recorded(steps))
}

async fn run(bench: &Bench, opened: &Opened, scenario: &Scenario) -> Result<Vec<Seen>, String> {
    let seen = bench.run(opened, scenario).await;
    seen.map_err(|error| chain(&error))
}

/// The text of a scenario that holds. What a handler is answered decides what it asks
/// for next, and what comes of the event: so the scenario is run again until the handler
/// asks for nothing new, and then what came of it is written down.
async fn record(
    bench: &Bench,
    opened: &Opened,
    (scenario, text): (&Scenario, &str),
    seen: Vec<Seen>,
) -> Result<(String, Vec<StepReport>), String> {
    let (mut text, is_done) = written(scenario, text, &seen)?;
    if is_done {
        return Ok((text, reports(scenario, &seen)));
    }
    for _ in 0..ROUNDS_MAX {
        let again = Scenario::parse(&scenario.path, &text).map_err(|fault| fault.to_string())?;
        let seen = run(bench, opened, &again).await?;
        let is_done;
        (text, is_done) = written(&again, &text, &seen)?;
        if is_done {
            return Ok((text, reports(&again, &seen)));
        }
    }
    Err(format!(
        "asked for something else each of {ROUNDS_MAX} times it was run: a request or a statement \
         depends on the time or on random numbers, so name only its other parts"
    ))
}

/// The text with what came of it, and whether the handler asked for what was expected.
fn written(scenario: &Scenario, text: &str, seen: &[Seen]) -> Result<(String, bool), String> {
    let each = scenario.steps.iter().zip(seen);
    let news: Vec<Option<News<'_>>> = each
        .map(|(step, seen)| {
            let holds = report(step, seen).holds();
            (!holds).then_some(News { step, seen })
        })
        .collect();
    let is_done = !news.iter().flatten().any(News::asks_otherwise);
    let part = if is_done {
        Part::Expectations
    } else {
        Part::Exchanges
    };
    let text = recorded(text, part, &news).map_err(|error| error.to_string())?;
    Ok((text, is_done))
}

fn reports(scenario: &Scenario, seen: &[Seen]) -> Vec<StepReport> {
    let each = scenario.steps.iter().zip(seen);
    each.map(|(step, seen)| report(step, seen)).collect()
}

fn report(step: &Step, seen: &Seen) -> StepReport {
    StepReport {
        event: step.event.name.clone(),
        outcome: seen.outcome.clone(),
        cost: seen.cost,
        http_requests: seen.http.len(),
        sql_statements: seen.sql.len(),
        differences: differences(step, seen),
        is_expected: step.expect.is_some(),
    }
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

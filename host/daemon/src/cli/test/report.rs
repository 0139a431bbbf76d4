//! What became of the scenarios, for people and for programs.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cli::screen::{plain, say};
use crate::scenario::{CaseReport, Difference, Outcome, Ran, StepReport, Suite};

/// One component, scenario by scenario.
pub(super) fn text(suite: &Suite) {
    say(&format!("{} ({})", suite.component, suite.wasm.display()));
    let width = suite
        .cases
        .iter()
        .map(|case| case.name.chars().count())
        .max();
    for case in &suite.cases {
        say(&line(case, width.unwrap_or(0)));
        if !case.holds() {
            say(why(case).trim_end());
        }
    }
    say("");
}

/// The last line.
pub(super) fn sum(suites: &[Suite]) {
    let counts = suites.iter().map(Suite::counts);
    let (held, not) = counts.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let recorded = suites.iter().flat_map(|suite| &suite.cases);
    let recorded = recorded
        .filter(|case| matches!(case.ran, Ran::Recorded(_)))
        .count();
    let noun = if held + not == 1 {
        "scenario"
    } else {
        "scenarios"
    };
    let mut text = if not == 0 {
        format!("{held} {noun} held.")
    } else {
        format!("{} {noun}: {held} held, {not} did not.", held + not)
    };
    if recorded > 0 {
        let news = format!(" Written anew: {recorded}; look at what changed.");
        text.push_str(&news);
    } else if not > 0 {
        text.push_str(" If what came of them is right, `qx-host test --update` writes it down.");
    }
    say(&text);
}

fn line(case: &CaseReport, width: usize) -> String {
    let mark = match &case.ran {
        Ran::Recorded(_) => "NEW ",
        Ran::Through(_) | Ran::Broken(_) if case.holds() => "ok  ",
        Ran::Through(_) | Ran::Broken(_) => "FAIL",
    };
    let about = plain(&case.about);
    format!(
        "  {mark} {:width$}  {}  {about}",
        case.name,
        used(case.steps())
    )
}

/// Time and steps of all events together, and memory of the one that had most.
fn used(steps: &[StepReport]) -> String {
    let costs: Vec<_> = steps.iter().filter_map(|step| step.cost).collect();
    let counted: Vec<_> = costs.iter().filter_map(|cost| cost.counted).collect();
    let wall: Duration = costs.iter().map(|cost| cost.wall).sum();
    let memory = counted.iter().map(|counted| counted.memory_bytes).max();
    let fuel: u64 = counted.iter().filter_map(|counted| counted.fuel).sum();
    format!(
        "{:>8.1} ms {:>7} KB {:>11} fuel",
        wall.as_secs_f64() * 1e3,
        memory.unwrap_or(0) / 1024,
        fuel,
    )
}

/// Why a scenario does not hold, indented.
pub(super) fn why(case: &CaseReport) -> String {
    let mut text = format!("       {}\n", case.path.display());
    match &case.ran {
        Ran::Broken(why) => indent(&mut text, &plain(why)),
        Ran::Through(steps) | Ran::Recorded(steps) => {
            for (number, step) in (1..).zip(steps).filter(|(_, step)| !step.holds()) {
                let of = if steps.len() > 1 {
                    format!("event {number} ({}): ", plain(&step.event))
                } else {
                    String::new()
                };
                if !step.is_expected {
                    indent(
                        &mut text,
                        &format!(
                            "{of}nothing is expected yet; `--update` writes down what came of it"
                        ),
                    );
                }
                for difference in &step.differences {
                    indent(
                        &mut text,
                        &format!("{of}{} (- expected, + seen)", difference.part),
                    );
                    for line in difference.to_string().lines() {
                        indent(&mut text, &format!("  {}", plain(line)));
                    }
                }
            }
        }
    }
    text
}

fn indent(text: &mut String, line: &str) {
    for line in line.lines() {
        text.push_str("       ");
        text.push_str(line);
        text.push('\n');
    }
}

#[derive(Serialize)]
pub(super) struct Report<'a> {
    held: usize,
    failed: usize,
    components: Vec<ComponentView<'a>>,
}

#[derive(Serialize)]
struct ComponentView<'a> {
    component: &'a str,
    wasm: String,
    digest: &'a str,
    scenarios: Vec<ScenarioView<'a>>,
}

#[derive(Serialize)]
struct ScenarioView<'a> {
    name: &'a str,
    file: String,
    about: &'a str,
    holds: bool,
    recorded: bool,
    /// Why it could not be run.
    error: Option<&'a str>,
    events: Vec<EventView<'a>>,
}

#[derive(Serialize)]
struct EventView<'a> {
    event_name: &'a str,
    outcome: &'a Outcome,
    holds: bool,
    /// `null` when it was not called; the last two, when the host gave up on it.
    wall_us: Option<u64>,
    cpu_us: Option<u64>,
    memory_bytes: Option<usize>,
    fuel: Option<u64>,
    http_requests: usize,
    sql_statements: usize,
    differences: &'a [Difference],
}

/// All of it.
pub(super) fn json(suites: &[Suite]) -> Report<'_> {
    let counts = suites.iter().map(Suite::counts);
    let (held, failed) = counts.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let components = suites.iter().map(|suite| ComponentView {
        component: &suite.component,
        wasm: suite.wasm.display().to_string(),
        digest: &suite.digest,
        scenarios: suite.cases.iter().map(scenario).collect(),
    });
    Report {
        held,
        failed,
        components: components.collect(),
    }
}

fn scenario(case: &CaseReport) -> ScenarioView<'_> {
    let error = match &case.ran {
        Ran::Broken(why) => Some(why.as_str()),
        Ran::Through(_) | Ran::Recorded(_) => None,
    };
    ScenarioView {
        name: &case.name,
        file: case.path.display().to_string(),
        about: &case.about,
        holds: case.holds(),
        recorded: matches!(case.ran, Ran::Recorded(_)),
        error,
        events: case.steps().iter().map(event).collect(),
    }
}

fn event(step: &StepReport) -> EventView<'_> {
    let counted = step.cost.and_then(|cost| cost.counted);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    EventView {
        event_name: &step.event,
        outcome: &step.outcome,
        holds: step.holds(),
        wall_us: step.cost.map(|cost| micros(cost.wall)),
        cpu_us: step.cost.map(|cost| micros(cost.cpu)),
        memory_bytes: counted.map(|counted| counted.memory_bytes),
        fuel: counted.and_then(|counted| counted.fuel),
        http_requests: step.http_requests,
        sql_statements: step.sql_statements,
        differences: &step.differences,
    }
}

/// What of a step is a number of its use, in the JSON report.
const USED: [&str; 6] = [
    "wall_us",
    "cpu_us",
    "memory_bytes",
    "fuel",
    "http_requests",
    "sql_statements",
];

/// What a step used, by the names of the JSON report.
pub(super) fn properties(steps: &[StepReport]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (number, step) in (1..).zip(steps) {
        let Ok(Value::Object(view)) = serde_json::to_value(event(step)) else {
            continue;
        };
        for key in USED {
            if let Some(Value::Number(value)) = view.get(key) {
                found.push((format!("event.{number}.{key}"), value.to_string()));
            }
        }
    }
    found
}

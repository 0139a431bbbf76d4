//! `qx-host test`: builds handlers, and holds them against their scenarios in the
//! sandbox. No server, no database, and nothing of a running host.

mod junit;
mod report;

use std::path::{Path, PathBuf};

use qx_events::ComponentName;

use super::args::{Output, TestArgs};
use super::exit::{Exit, Failure, chain};
use super::screen;
use crate::config::Config;
use crate::guest::{compile, project};
use crate::scenario::{self, Bench, Built, Scenario, Suite, Update};

/// Where a project's component and its native code are put, below the project.
const OUT: &str = "target/qx/test";

/// A component, and the scenarios it is held against.
struct Subject {
    built: Built,
    scenarios: Vec<Scenario>,
    /// Where native code is kept between two runs; nowhere for one that was named.
    cache: Option<PathBuf>,
}

pub(super) async fn test(config: Option<&Path>, args: &TestArgs) -> Result<Exit, Failure> {
    let host = match config {
        Some(path) => Config::load(Some(path), crate::open::environment(), &[])?.components,
        None => scenario::no_host()?,
    };
    let subjects = match &args.component {
        Some(wasm) => vec![of_component(wasm, args)?],
        None => of_projects(args)?,
    };
    let update = if args.update {
        Update::Write
    } else {
        Update::No
    };
    // Scenarios with settings of their own load a component once more.
    let for_now = tempfile::tempdir().map_err(|error| Failure::failed("make a folder", error))?;
    let mut suites = Vec::new();
    for subject in subjects {
        let cache = subject
            .cache
            .unwrap_or_else(|| for_now.path().join("cache"));
        let bench = Bench::new(host.clone(), cache)
            .map_err(|error| Failure::failed("start the sandbox", error))?;
        let name = subject.built.name.to_string();
        let suite = Suite::run(&bench, &subject.built, &subject.scenarios, update)
            .await
            .map_err(|error| Failure::failed(&format!("load {name}"), error))?;
        if args.output == Output::Text {
            report::text(&suite);
        }
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        junit::write(path, &suites)
            .map_err(|error| Failure::failed(&format!("write {}", path.display()), error))?;
    }
    match args.output {
        Output::Json => screen::json(&report::json(&suites))?,
        Output::Text => report::sum(&suites),
    }
    let all_hold = suites.iter().all(|suite| suite.counts().1 == 0);
    Ok(if all_hold { Exit::Done } else { Exit::Failed })
}

/// A component that is there, beside scenarios that are named or lie here.
fn of_component(wasm: &Path, args: &TestArgs) -> Result<Subject, Failure> {
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy();
    let name = ComponentName::parse(&stem)
        .map_err(|error| Failure::usage(format!("{}: {error}", wasm.display())))?;
    let scenarios = scenarios(Path::new(""), args)?;
    Ok(Subject {
        built: Built {
            name,
            wasm: wasm.to_owned(),
            sidecar: wasm.with_extension("toml"),
        },
        scenarios,
        cache: None,
    })
}

/// Projects that are built first. Scenarios are read before anything is compiled.
fn of_projects(args: &TestArgs) -> Result<Vec<Subject>, Failure> {
    let mut found = Vec::new();
    for dir in &args.projects {
        let projects = project::below(dir)
            .map_err(|error| Failure::failed(&format!("read {}", dir.display()), error))?;
        if projects.is_empty() {
            return Err(Failure::usage(format!(
                "{} holds no handler: name the folder of one, or a component with --component",
                dir.display()
            )));
        }
        for project in projects {
            let scenarios = scenarios(&project, args)?;
            found.push((project, scenarios));
        }
    }
    found
        .into_iter()
        .map(|(project, scenarios)| {
            let out = project.join(OUT);
            // Not on stdout, which is the report. Python takes its time.
            screen::complain(&format!("build     {}", project.display()));
            let built = compile::build(&project, &out)
                .map_err(|error| Failure::failed(&format!("build {}", project.display()), error))?;
            let sidecar = project.join(format!("{}.toml", built.name));
            Ok(Subject {
                built: Built {
                    name: built.name,
                    wasm: built.path,
                    sidecar,
                },
                scenarios,
                cache: Some(out.join("cache")),
            })
        })
        .collect()
}

/// What is named, or what lies in the project's folder of scenarios. None at all is a
/// mistake: a test that runs nothing must not pass.
fn scenarios(project: &Path, args: &TestArgs) -> Result<Vec<Scenario>, Failure> {
    let usual = project.join(scenario::FOLDER);
    let paths = if args.cases.is_empty() {
        if !usual.is_dir() {
            return Err(Failure::usage(format!(
                "{} is not there: put a scenario into it, such as hello.json\n  \
                 {{\"about\": \"what it shows\", \"event\": {{\"name\": \"order.placed\", \"payload\": {{}}}}}}\n\
                 and let `qx-host test --update` write down what comes of it",
                usual.display()
            )));
        }
        vec![usual.clone()]
    } else {
        args.cases.clone()
    };
    let mut scenarios = scenario::read(&paths).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| chain(fault)).collect();
        Failure::usage(faults.join("\n"))
    })?;
    if let Some(filter) = &args.filter {
        scenarios.retain(|scenario| scenario.name().contains(filter.as_str()));
    }
    if scenarios.is_empty() {
        let shown: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let shown = shown.join(", ");
        return Err(Failure::usage(match &args.filter {
            Some(filter) => format!("no scenario in {shown} has `{filter}` in its name"),
            None => format!("{shown}: no scenario there, which is a file *.json"),
        }));
    }
    Ok(scenarios)
}

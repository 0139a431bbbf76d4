//! Every example is held against its `cases/*.json` in the real sandbox, by what
//! `qx-host test` is made of: the built component, its sidecar, the event, what was
//! there before, what must come of it.
//!
//! The examples' own tests give the same files to their handlers natively.
#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use acceptance::{component, repository};
use qx_events::ComponentName;
use qx_host::scenario::{self, Bench, Built, Ran, Scenario, Suite, Update};

/// Examples' folders: a project that makes a component.
fn examples() -> Vec<PathBuf> {
    qx_host::guest::project::below(&repository().join("examples")).unwrap()
}

fn cases(example: &Path) -> Vec<Scenario> {
    let folder = example.join(scenario::FOLDER);
    if !folder.is_dir() {
        return Vec::new();
    }
    scenario::read(&[folder]).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn name(example: &Path) -> &str {
    example.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_example_has_cases() {
    let examples = examples();
    assert!(
        examples.len() >= 6,
        "the examples were not found: {examples:?}"
    );
    let without: Vec<PathBuf> = examples
        .into_iter()
        .filter(|path| cases(path).is_empty())
        .collect();
    assert!(without.is_empty(), "no cases/*.json in {without:#?}");
}

#[test]
fn every_example_is_built_by_make_components() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let names = |variable: &str| {
        let mut lines = makefile.lines();
        let line = lines.find_map(|line| line.strip_prefix(variable)).unwrap();
        line.split_whitespace().map(ToOwned::to_owned)
    };
    let mut listed: Vec<String> = names("EXAMPLES := ")
        .chain(names("LANGUAGES := "))
        .collect();
    listed.sort_unstable();
    let examples = examples();
    let found: Vec<_> = examples.iter().map(|path| name(path)).collect();
    assert_eq!(
        listed, found,
        "left: EXAMPLES and LANGUAGES in the Makefile, right: examples/"
    );
}

#[test]
fn every_case_says_everything_that_comes_of_it() {
    for example in examples() {
        for case in cases(&example) {
            let name = case.name();
            assert!(case.is_complete(), "{}: {name}", example.display());
        }
    }
}

#[tokio::test]
async fn every_case_holds_in_the_real_sandbox() {
    let cache = tempfile::tempdir().unwrap();
    let host = scenario::no_host().unwrap();
    let bench = Bench::new(host, cache.path().join("cache")).unwrap();
    let (mut wrong, mut held) = (String::new(), 0);
    for example in examples() {
        let wasm = component(name(&example));
        let built = Built {
            name: ComponentName::parse(name(&example)).unwrap(),
            sidecar: wasm.with_extension("toml"),
            wasm,
        };
        let suite = Suite::run(&bench, &built, &cases(&example), Update::No).await;
        for case in suite
            .unwrap_or_else(|error| panic!("{built:?}: {error}"))
            .cases
        {
            if case.holds() {
                held += 1;
                continue;
            }
            writeln!(wrong, "{} ({})", case.about, case.path.display()).unwrap();
            if let Ran::Broken(why) = &case.ran {
                writeln!(wrong, "  {why}").unwrap();
            }
            for difference in case.steps().iter().flat_map(|step| &step.differences) {
                writeln!(wrong, "  {}\n{difference}", difference.part).unwrap();
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{held} cases hold, these do not:\n{wrong}"
    );
    assert!(held >= examples().len(), "{held} cases");
}

/// Every block of code of a page stands in the file that the line before it names,
/// and that file is compiled, and run here or by `sql.rs` and `reach.rs`.
#[test]
fn the_code_of_the_languages_pages_is_that_of_the_examples() {
    let folder = repository().join("docs/languages");
    let mut blocks = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        for part in page.split("<!-- ").skip(1) {
            let (file, rest) = part.split_once(" -->\n```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (code, _) = rest.split_once("\n```").unwrap();
            let source = fs::read_to_string(repository().join(file)).unwrap();
            assert!(
                source.contains(code),
                "{}: not in {file}:\n{code}",
                path.display()
            );
            blocks += 1;
        }
        let fenced = ["```c\n", "```ts\n", "```python\n"].map(|fence| page.matches(fence).count());
        assert_eq!(
            fenced.iter().sum::<usize>(),
            page.matches("<!-- examples/").count() + page.matches("<!-- tests/guests/").count(),
            "{}: code that no example has",
            path.display()
        );
    }
    assert!(blocks >= 5, "{blocks} blocks");
}

/// A scenario that a page shows is a file that is run here.
#[test]
fn the_scenarios_of_the_page_of_tests_are_those_of_the_examples() {
    let page = fs::read_to_string(repository().join("docs/testing.md")).unwrap();
    let mut blocks = 0;
    for part in page.split("<!-- ").skip(1) {
        let (file, rest) = part.split_once(" -->\n```json\n").unwrap();
        let (shown, _) = rest.split_once("```").unwrap();
        let own = fs::read_to_string(repository().join(file)).unwrap();
        assert_eq!(shown, own, "{file}");
        blocks += 1;
    }
    assert!(blocks >= 1, "{blocks} blocks");
}

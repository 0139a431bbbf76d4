//! The promise of `qx-host new`: what it writes builds and passes its test.

use std::process::Command;

use super::*;
use crate::config::Config;
use crate::guest::compile::Built;
use crate::guest::compile::tests::{build_in, cache};
use crate::scenario::{self, Bench, Suite, Update};

/// Holds a built project against the scenario that came with it.
fn holds_its_scenario(project: &Path, built: &Built, cache: &Path) {
    let host = Config::parse(Path::new("qx-host.toml"), "", [], &[]).unwrap();
    let bench = Bench::new(host.components, cache.join("native")).unwrap();
    let subject = scenario::Built {
        name: built.name.clone(),
        wasm: built.path.clone(),
        sidecar: project.join("none.toml"),
    };
    let scenarios = scenario::read(&[project.join(scenario::FOLDER)]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let suite = runtime.block_on(Suite::run(&bench, &subject, &scenarios, Update::No));
    let suite = suite.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(suite.counts(), (1, 0), "{suite:#?}");
}

#[test]
fn a_new_project_passes_its_test_and_builds_a_component_that_holds_its_scenario() {
    let home = cache("scaffold");
    let (project, target) = (home.join("count-orders"), home.join("target"));
    drop(fs::remove_dir_all(&project)); // Of an earlier run, whose compiled crates are kept.
    new("count-orders", Language::Rust, &project).unwrap();

    let tested = Command::new("cargo")
        .args(["test", "--target-dir"])
        .arg(&target)
        .current_dir(&project)
        .env_remove("RUSTFLAGS")
        .status()
        .unwrap();
    assert!(tested.success(), "the new project's own test failed");

    let built =
        build_in(&project, &home.join("out"), &target).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(built.path, home.join("out/count-orders.wasm"));
    let written = fs::read(&built.path).unwrap();
    assert_eq!(written.len() as u64, built.bytes);
    holds_its_scenario(&project, &built, &home);
    assert!(crate::guest::encode::component(written).is_ok());
}

#[test]
fn a_folder_that_has_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let error = new("x", Language::Rust, folder.path().parent().unwrap()).unwrap_err();
    assert!(matches!(error, ScaffoldError::NotEmpty(_)), "{error:?}");
    assert!(error.to_string().contains("another name"), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(
        new("x", Language::Rust, &file),
        Err(ScaffoldError::NotEmpty(_))
    ));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_name_that_no_component_or_crate_can_have_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for bad in [
        "", "A", "a_b", "../a", "0x", "match", "test", "serde", "qx-guest",
    ] {
        let error = new(bad, Language::Rust, &folder.path().join("new"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("use ") || error.contains("would do"),
            "{bad}: {error}"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_sdk_is_written_whole_and_without_what_a_build_left() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("empty-is-fine");
    fs::create_dir(&project).unwrap();
    new("x", Language::Rust, &project).unwrap();
    let sdk = project.join(SDK_FOLDER);
    for there in [
        "Cargo.toml",
        "src/lib.rs",
        "macros/src/lib.rs",
        "LICENSE-MIT",
    ] {
        assert!(sdk.join(there).is_file(), "{there}");
    }
    assert!(!sdk.join("target").exists());
}

/// Writes a new project in a language, and builds it.
fn built(language: Language) -> Vec<u8> {
    let home = cache(&format!("scaffold-{}", language.as_str()));
    let project = home.join("count-orders");
    drop(fs::remove_dir_all(&project));
    new("count-orders", language, &project).unwrap();
    let built =
        build_in(&project, &home.join("out"), &home).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(built.path, home.join("out/count-orders.wasm"));
    holds_its_scenario(&project, &built, &home);
    fs::read(&built.path).unwrap()
}

fn says(component: &[u8], text: &str) -> bool {
    component
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn a_new_project_in_every_language_builds_a_component_that_holds_its_scenario() {
    for language in Language::ALL
        .into_iter()
        .filter(|own| *own != Language::Rust)
    {
        let component = built(language);
        assert!(says(&component, "qx:routes"), "{language:?}");
        assert!(
            says(&component, "handler\torder.placed\t1\n"),
            "{language:?}"
        );
        let is_c = language == Language::C;
        assert_eq!(says(&component, "wasi:"), !is_c, "{language:?}");
        // A trap names the functions that it was in, whichever compiler this machine has.
        assert!(!is_c || says(&component, "count_order"));
        assert!(!says(&component, ".debug_info"), "{language:?}");
    }
}

#[test]
fn a_new_project_in_python_passes_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("count-orders");
    new("count-orders", Language::Python, &project).unwrap();
    let tested = Command::new("python3")
        .args(["-m", "unittest"])
        .current_dir(&project)
        .status()
        .unwrap();
    assert!(tested.success(), "the new project's own test failed");
}

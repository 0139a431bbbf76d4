//! What a build says when it cannot be a handler. That it can, the scaffold's
//! test shows.

use super::rust::{Artifact, the_one};
use super::*;

/// Where cargo's files of the tests lie: beside those of the test itself, so that
/// a second run is quick.
pub(in super::super) fn cache(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<test>
    let target = exe.ancestors().nth(3);
    let target = target.expect("the test lies in a target folder");
    target.join("guest-tests").join(name)
}

pub(in super::super) fn build_in(
    project: &Path,
    out: &Path,
    cache: &Path,
) -> Result<Built, BuildError> {
    build_below(project, out, Some(cache))
}

fn error(name: &str, manifest: &str, source: &str) -> BuildError {
    let folder = tempfile::tempdir().unwrap();
    let header = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
    );
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), header + manifest).unwrap();
    fs::write(folder.path().join("src/lib.rs"), source).unwrap();
    build_in(folder.path(), folder.path(), &cache(name)).unwrap_err()
}

const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";

#[test]
fn a_folder_without_a_project_is_told_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = build(folder.path(), folder.path()).unwrap_err();
    assert!(error.to_string().contains("qx-host new"), "{error}");
}

#[test]
fn a_crate_that_does_not_compile_has_cargos_exit_code() {
    let error = error("broken", CDYLIB, "fn f() -> u8 { \"\" }");
    assert!(
        matches!(error, BuildError::Compile { code: 101, .. }),
        "{error:?}"
    );
}

#[test]
fn a_library_for_rust_is_told_the_lines_that_it_lacks() {
    let error = error("rlib-only", "", "");
    assert!(matches!(error, BuildError::NoCdylib), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("crate-type = [\"cdylib\", \"rlib\"]"),
        "{error}"
    );
}

#[test]
fn wasm_that_takes_no_events_is_no_handler() {
    let source = "#[unsafe(no_mangle)] pub extern \"C\" fn f(n: u32) -> u32 { n }";
    let error = error("no_handler", CDYLIB, source);
    let BuildError::Encode { name, source } = error else {
        panic!("{error:?}");
    };
    assert_eq!(name, "no-handler");
    assert!(source.to_string().contains("#[handler("), "{source}");
}

#[test]
fn a_name_that_no_component_can_have_is_refused() {
    let error = error("Shouting", CDYLIB, "");
    assert!(matches!(error, BuildError::Name(_)), "{error:?}");
}

#[test]
fn of_several_crates_the_projects_own_is_taken_and_a_choice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = fs::canonicalize(folder.path()).unwrap().join("Cargo.toml");
    fs::write(&own, "").unwrap();
    let artifact = |name: &str, manifest: &Path, wasm: Option<&str>| Artifact {
        name: name.to_owned(),
        manifest: manifest.to_owned(),
        wasm: wasm.map(PathBuf::from),
    };
    let other = |name| artifact(name, Path::new("/other/Cargo.toml"), Some("o.wasm"));
    let chosen = |found| the_one(found, folder.path()).map(|(name, _)| name);
    let mine = artifact("mine", &own, Some("m.wasm"));
    assert_eq!(chosen(vec![other("a"), mine]).unwrap(), "mine");
    assert_eq!(chosen(vec![other("a")]).unwrap(), "a");
    let several = chosen(vec![other("a"), other("c")]).unwrap_err();
    assert!(several.to_string().contains("(a, c)"), "{several}");
    // A handler that the project merely depends on is not the project.
    let plain = artifact("mine", &own, None);
    assert!(matches!(
        chosen(vec![other("a"), plain]),
        Err(BuildError::NoCdylib)
    ));
}

#[test]
fn a_build_begins_when_another_of_the_same_project_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "handler.toml",
        "name = \"stars\"\nlanguage = \"c\"\nsources = [\"stars.c\"]\n",
    );
    write("stars.c", "#error \"nobody is to read this\"\n");
    let other = alone::in_folder(&build_folder(folder.path()).unwrap(), |_| ()).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| build(folder.path(), folder.path()));
        write(
            "stars.c",
            "#include \"qx.h\"\nQX_HANDLER(count, \"star.created\") { (void)event; return qx_done(); }\n",
        );
        drop(other);
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn a_component_that_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let name = ComponentName::parse("stars").unwrap();
    // A folder of that name cannot be replaced by a file.
    fs::create_dir_all(folder.path().join("stars.wasm/x")).unwrap();
    assert!(put(folder.path(), &name, b"new").is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

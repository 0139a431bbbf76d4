//! What a project's own file may say.

use super::*;

fn said(text: &str) -> String {
    let error = parse(text).unwrap_err();
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[test]
fn a_name_and_a_language_are_enough() {
    let project = parse("name = \"wiki\"\nlanguage = \"c\"\n").unwrap();
    let Project::C(described) = project else {
        panic!("{project:?}");
    };
    assert_eq!(described.name.as_str(), "wiki");
    assert_eq!(described.sources, [PathBuf::from("src")]);
    assert!(described.flags.is_empty());
    for (language, usual) in [
        ("typescript", "src/handler.ts"),
        ("python", "src/handler.py"),
    ] {
        let text = format!("name = \"wiki\"\nlanguage = \"{language}\"\n");
        let (Project::TypeScript(module) | Project::Python(module)) = parse(&text).unwrap() else {
            panic!("{language} is one module");
        };
        assert_eq!(module.entry, PathBuf::from(usual));
        let own = parse(&format!("{text}entry = \"a/b\"\n")).unwrap();
        assert!(format!("{own:?}").contains("a/b"));
    }
}

#[test]
fn a_world_of_its_own_stands_in_the_folder_wit_unless_another_is_named() {
    for language in ["c", "python", "typescript"] {
        let text = format!("name = \"a\"\nlanguage = \"{language}\"\nworld = \"a:b/c\"\n");
        let world = |text: &str| match parse(text).unwrap() {
            Project::TypeScript(module) | Project::Python(module) => module.world,
            Project::C(sources) => sources.world,
            Project::Crate => None,
        };
        let own = |wit: &str| {
            Some(OwnWorld {
                name: "a:b/c".to_owned(),
                wit: PathBuf::from(wit),
            })
        };
        assert_eq!(world(&text), own("wit"));
        assert_eq!(world(&format!("{text}wit = \"../x\"\n")), own("../x"));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("language = \"c\"", "name: missing"),
        ("name = \"wiki\"", "language: missing"),
        ("name = 5\nlanguage = \"c\"", "name: expected text"),
        ("name = \"Wiki\"\nlanguage = \"c\"", "name: "),
        (
            "name = \"a\"\nlanguage = \"cobol\"",
            "`cobol` is unknown; one of \"typescript\", \"python\", \"c\"",
        ),
        ("name = \"a\"\nlanguage = \"rust\"", "it has a Cargo.toml"),
        (
            "name = \"a\"\nlanguage = \"c\"\nflag = []",
            "flag: unknown key; known are name, language, sources, flags, world, wit",
        ),
        (
            "name = \"a\"\nlanguage = \"c\"\nflags = \"-g\"",
            "flags: expected a list of texts",
        ),
        (
            "name = \"a\"\nlanguage = \"typescript\"\nwit = \"wit\"",
            "wit: says where a world stands; add world = ",
        ),
        ("name = ", "is no TOML"),
    ];
    for (text, expected) in table {
        assert!(said(text).contains(expected), "{text}\n{}", said(text));
    }
}

#[test]
fn a_folder_without_either_file_is_told_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("qx-host new"), "{error}");
    assert!(!is_handler(folder.path()));
    fs::write(folder.path().join(FILE_NAME), "").unwrap();
    assert!(is_handler(folder.path()));
    fs::write(folder.path().join("Cargo.toml"), "").unwrap();
    assert!(read(folder.path()).is_err(), "the description decides");
}

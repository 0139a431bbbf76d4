//! A module of Python: componentize-py runs it up to the end of its imports, in the
//! interpreter that the component has, and keeps that.
//!
//! The SDK leaves the routes of the handlers in that interpreter's memory, marked, so
//! that they are found in the component.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use include_dir::{Dir, include_dir};
use qx_events::ComponentName;

use super::world::{Around, World};
use super::{BuildError, build_folder, failed, put_file, sdk, with_routes};
use crate::guest::contract;
use crate::guest::encode;
use crate::guest::project::Module;
use crate::guest::tools::{PyPackage, python};

/// The SDK as it was when this binary was compiled.
pub(in crate::guest) static SDK: Dir<'_> =
    include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/python");

/// The interpreter, and what makes a component of it.
const TOOL: PyPackage = PyPackage {
    name: "componentize-py",
    version: "0.25.1",
    about: "Python for WebAssembly, 50 MB, once",
};

/// What would do instead of it.
const INSTEAD: &str = "build where PyPI is to be reached: a component runs everywhere";

/// The module that componentize-py begins with. It is no package of the project's.
const FIRST: &str = "qx_component";

/// The world that is written for each build.
const WORLD: &str = "handler";

/// Calls the tool, which is a library with one entry.
const CALL: &str = "import sys\nfrom componentize_py import script\nsys.exit(script())\n";

/// What stands before the routes, and after them.
const ROUTES_BEGIN: &str = "qx:routes:begin\n";
const ROUTES_END: &str = "qx:routes:end\n";

/// The component of a module.
pub(super) fn component(
    project: &Path,
    module: Module,
) -> Result<(ComponentName, Vec<u8>), BuildError> {
    let entry = project.join(&module.entry);
    let entry = fs::canonicalize(&entry).map_err(failed("finding", &entry))?;
    let (Some(sources), Some(stem)) = (entry.parent(), entry.file_stem()) else {
        return Err(BuildError::NoSources {
            kind: ".py",
            folder: project.to_owned(),
        });
    };
    let folder = build_folder(project)?;
    let made = folder.join("component.wasm");
    let stem = stem.to_string_lossy();
    let (wit, export) = if let Some(own) = &module.world {
        let around = Around {
            name: WORLD,
            imports: &imports(&reach(sources)?),
            packages: &[],
        };
        let world = World::write((project, own), folder.join("wit-of-world"), &around)?;
        let export = format!("typed\nWitWorld = typed({stem}.WitWorld)");
        (world.folder, export)
    } else {
        let wit = folder.join("wit-of-handlers");
        put_file(&wit.join("deps/events/events.wit"), contract::TEXT)?;
        put_file(&wit.join("world.wit"), &own_world(&reach(sources)?))?;
        (wit, "Handler".to_owned())
    };
    let first = format!("import {stem}\nfrom qx_guest.component import seal, {export}\nseal()\n");
    put_file(&folder.join("first").join(format!("{FIRST}.py")), &first)?;
    let sdk = sdk(project, &folder, "qx_guest/component.py", &SDK)?;
    let paths: [&Path; 3] = [&folder.join("first"), sources, &sdk];
    let mut component = run(&wit, &paths, &made)?;
    // With a world of its own the exports' names say it, or the component's file.
    if module.world.is_none() {
        let routes = routes(&component).ok_or(BuildError::NoRoutes(
            "mark a function with @handler(\"event.name\")",
        ))?;
        with_routes(&mut component, &routes);
    }
    let component = encode::component(component).map_err(|source| BuildError::Encode {
        name: module.name.to_string(),
        source,
    })?;
    Ok((module.name, component))
}

/// Runs the tool: for a folder of WIT, from folders of Python.
fn run(wit: &Path, paths: &[&Path], made: &Path) -> Result<Vec<u8>, BuildError> {
    let tool = TOOL.get(INSTEAD)?;
    let mut build = Command::new(python().unwrap_or("python3"));
    build
        .args(["-c", CALL, "-d"])
        .arg(wit)
        .args(["-w", WORLD, "componentize", FIRST, "-o"])
        .arg(made);
    for path in paths {
        build.arg("-p").arg(path);
    }
    let output = build
        .env("PYTHONPATH", &tool)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::NotRun {
            tool: "python3".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(BuildError::Python {
            words: relevant(&String::from_utf8_lossy(&output.stderr)),
        });
    }
    fs::read(made).map_err(failed("reading", made))
}

/// Looks through the sources for what needs a right of its own.
const REACH: &str = include_str!("python/reach.py");

/// The parts of the SDK that reach outside the host, as far as the sources use them.
fn reach(sources: &Path) -> Result<String, BuildError> {
    let output = Command::new(python().unwrap_or("python3"))
        .args(["-c", REACH])
        .arg(sources)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::NotRun {
            tool: "python3".to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BuildError::Python {
        words: relevant(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// What a handler imports: what stays inside the host, and what of the rest it uses. The
/// interpreter would import all of a larger world.
fn imports(reach: &str) -> String {
    let import = |name: &str| format!("  import qx:events/{name}@1.0.0;\n");
    let inside = ["types", "log", "config", "state", "emit"].into_iter();
    inside.chain(reach.lines()).map(import).collect()
}

/// The world of a handler that takes every event through one function.
fn own_world(reach: &str) -> String {
    let imports = imports(reach);
    format!(
        "package qx:build;\n\nworld {WORLD} {{\n{imports}  export qx:events/handler@1.0.0;\n}}\n"
    )
}

/// The traceback of the author's own module, without what the tool says of itself.
fn relevant(output: &str) -> String {
    let own = output.split("\n\nCaused by:").next().unwrap_or(output);
    own.trim_end().to_owned()
}

/// Most bytes of routes that are looked for: the host reads no more.
const ROUTES_BYTES_MAX: usize = 64 << 10;

/// The routes that the SDK left in the interpreter's memory. There are copies that it
/// has freed and written over since: the first that is whole counts.
fn routes(component: &[u8]) -> Option<String> {
    let mut rest = component;
    loop {
        let begin = position(rest, ROUTES_BEGIN)?.checked_add(ROUTES_BEGIN.len())?;
        rest = rest.get(begin..)?;
        let most = rest.get(..ROUTES_BYTES_MAX).unwrap_or(rest);
        let text = position(most, ROUTES_END).and_then(|end| most.get(..end));
        if let Some(text) = text.and_then(|text| str::from_utf8(text).ok())
            && is_whole(text)
        {
            return Some(text.to_owned());
        }
    }
}

fn position(bytes: &[u8], mark: &str) -> Option<usize> {
    let mark = mark.as_bytes();
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Lines of three fields each, and nothing else.
fn is_whole(routes: &str) -> bool {
    let line = |line: &str| line.starts_with("handler\t") && line.split('\t').count() == 3;
    let strange = |c: char| c.is_control() && c != '\t' && c != '\n';
    routes.ends_with('\n') && routes.lines().all(line) && !routes.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_asks_for_what_it_imports_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let put = |text: &str| fs::write(folder.path().join("handler.py"), text).unwrap();
        for (text, expected) in [
            (
                "import http, secrets\nfrom qx_guest import handler, log\n",
                "",
            ),
            (
                "from qx_guest import (\n  http,\n  secrets as s,\n)\n",
                "http\nsecrets\n",
            ),
            ("import qx_guest.http\n", "http\n"),
            (
                "import qx_guest\ndef f():\n  qx_guest.secrets.get('x')\n",
                "secrets\n",
            ),
            ("from qx_guest.http import get\n", "http\n"),
            ("from qx_guest import handler, sql\n", "sql\n"),
            ("def broken(:\n", ""),
        ] {
            put(text);
            assert_eq!(reach(folder.path()).unwrap(), expected, "{text}");
        }
        assert!(own_world("http\n").contains("  import qx:events/http@1.0.0;\n"));
        assert!(!own_world("").contains("http"));
    }

    #[test]
    fn routes_are_found_between_their_marks() {
        let memory = format!("\0\x01{ROUTES_BEGIN}handler\ta.b\t1\n{ROUTES_END}\0");
        assert_eq!(routes(memory.as_bytes()).unwrap(), "handler\ta.b\t1\n");
        assert_eq!(
            routes(format!("{ROUTES_BEGIN}{ROUTES_END}").as_bytes()),
            None
        );
        assert_eq!(routes(ROUTES_BEGIN.as_bytes()), None);
        let overwritten = format!("{ROUTES_BEGIN}handler\ta.b\t1\nqx:routes:endP\0{memory}");
        assert_eq!(routes(overwritten.as_bytes()).unwrap(), "handler\ta.b\t1\n");
        assert_eq!(routes(b""), None);
    }
}

//! A module of TypeScript or JavaScript, on `QuickJS`: esbuild makes one file of it
//! and what it imports, componentize-qjs a component of that.
//!
//! The module is run once, by Node, to see which events its handlers take.

use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use qx_events::ComponentName;

use super::{BuildError, build_folder, failed, put_file, sdk, with_routes};
use crate::guest::contract;
use crate::guest::encode;
use crate::guest::project::Module;
use crate::guest::tools::{NpmPackages, node};

/// The SDK as it was when this binary was compiled.
pub(in crate::guest) static SDK: Dir<'_> =
    include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/typescript");

/// Bundler and engine.
const TOOLS: NpmPackages = NpmPackages {
    name: "componentize-qjs-0.4.5-esbuild-0.28.2",
    package: include_str!("typescript/package.json"),
    lock: include_str!("typescript/package-lock.json"),
    about: "QuickJS and a bundler, 50 MB, once",
};

/// What the build writes for its tools, below its folder.
const INPUTS: [(&str, &str); 4] = [
    ("build.mjs", include_str!("typescript/build.mjs")),
    ("wit/world.wit", include_str!("typescript/world.wit")),
    (
        "wit/deps/random/random.wit",
        include_str!("typescript/random.wit"),
    ),
    ("wit/deps/events/events.wit", contract::TEXT),
];

/// The component of a module.
pub(super) fn component(
    project: &Path,
    module: Module,
) -> Result<(ComponentName, Vec<u8>), BuildError> {
    let entry = project.join(&module.entry);
    let entry = fs::canonicalize(&entry).map_err(failed("finding", &entry))?;
    let folder = build_folder(project)?;
    for (name, text) in INPUTS {
        put_file(&folder.join(name), text)?;
    }
    let sdk = sdk(project, &folder, "component.js", &SDK)?;
    let node = node()?;
    let tools = TOOLS.get(&node)?;
    let mut build = node.command();
    build
        .arg(folder.join("build.mjs"))
        .args([&tools, &sdk, &entry, &folder])
        .current_dir(project);
    let status = build.status().map_err(|source| BuildError::NotRun {
        tool: "node".to_owned(),
        source,
    })?;
    if !status.success() {
        return Err(BuildError::Compile {
            tool: "node",
            code: status.code().unwrap_or(-1),
        });
    }
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(failed("reading", &path))
    };
    let routes = String::from_utf8_lossy(&read("routes.txt")?).into_owned();
    if routes.is_empty() {
        return Err(BuildError::NoRoutes(
            "call handler(\"event.name\", (event) => { … }) at the top of the module",
        ));
    }
    let mut component = read("component.wasm")?;
    with_routes(&mut component, &routes);
    let component = encode::component(component).map_err(|source| BuildError::Encode {
        name: module.name.to_string(),
        source,
    })?;
    Ok((module.name, component))
}

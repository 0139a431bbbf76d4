//! A module of TypeScript or JavaScript, on `QuickJS`: esbuild makes one file of it
//! and what it imports, componentize-qjs a component of that.
//!
//! The module is run once, by Node, to see which events its handlers take.

use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use qx_events::ComponentName;

use super::world::{Around, World};
use super::{BuildError, build_folder, failed, put_file, sdk, with_routes};
use crate::guest::contract;
use crate::guest::encode;
use crate::guest::project::Module;
use crate::guest::tools::{NpmPackages, node};

mod types;

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

/// What is run by Node.
const BUILD: &str = include_str!("typescript/build.mjs");

/// The world, as the build script completes it.
const WORLD: &str = include_str!("typescript/world.wit");

/// Numbers that are the same in no two instances.
const RANDOM: (&str, &str) = ("random/random.wit", include_str!("typescript/random.wit"));

/// What every handler imports, whatever its world exports.
const IMPORTS: &str = "  import qx:events/log@1.0.0;
  import qx:events/config@1.0.0;
  import qx:events/state@1.0.0;
  import qx:events/emit@1.0.0;
  import wasi:random/random@0.2.0;
";

/// The component of a module.
pub(super) fn component(
    project: &Path,
    module: Module,
) -> Result<(ComponentName, Vec<u8>), BuildError> {
    let entry = project.join(&module.entry);
    let entry = fs::canonicalize(&entry).map_err(failed("finding", &entry))?;
    let folder = build_folder(project)?;
    put_file(&folder.join("build.mjs"), BUILD)?;
    let exports = world(project, &module, &folder)?;
    let sdk = sdk(project, &folder, "component.js", &SDK)?;
    let node = node()?;
    let tools = TOOLS.get(&node)?;
    let mut build = node.command();
    build
        .arg(folder.join("build.mjs"))
        .args([&tools, &sdk, &entry, &folder])
        .args(&exports)
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
    // With a world of its own the exports' names say it, or the component's file.
    if routes.is_empty() && module.world.is_none() {
        return Err(BuildError::NoRoutes(
            "call handler(\"event.name\", (event) => { … }) at the top of the module",
        ));
    }
    let mut component = read("component.wasm")?;
    if !routes.is_empty() {
        with_routes(&mut component, &routes);
    }
    let component = encode::component(component).map_err(|source| BuildError::Encode {
        name: module.name.to_string(),
        source,
    })?;
    Ok((module.name, component))
}

/// Writes the world into `wit`; the functions that it exports, where it is the project's.
fn world(project: &Path, module: &Module, folder: &Path) -> Result<Vec<String>, BuildError> {
    let wit = folder.join("wit");
    let Some(own) = &module.world else {
        put_file(&wit.join("world.wit"), WORLD)?;
        put_file(&wit.join("deps/events/events.wit"), contract::TEXT)?;
        put_file(&wit.join("deps").join(RANDOM.0), RANDOM.1)?;
        return Ok(Vec::new());
    };
    let around = Around {
        name: "handler",
        imports: IMPORTS,
        packages: &[RANDOM],
    };
    let world = World::write((project, own), wit, &around)?;
    put_file(&folder.join("world.d.ts"), &types::declarations(&world))?;
    let names = world.exported().map(|(name, _)| name.to_owned());
    Ok(names.collect())
}

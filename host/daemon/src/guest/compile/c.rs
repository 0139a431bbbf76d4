//! Sources in C, with `qx.h` and the bindings of the contract beside them: one run
//! of a compiler that knows WebAssembly.
//!
//! It is looked for in this order: the WASI SDK that `WASI_SDK_PATH` names, the
//! machine's clang where it has a C library for WASI, and Zig's, which is fetched
//! from `PyPI` when there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use include_dir::{Dir, include_dir};
use qx_events::ComponentName;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use super::world::{Around, World};
use super::{BuildError, build_folder, debug_info, encoded, failed, put_file, sdk};
use crate::guest::contract;
use crate::guest::project::{OwnWorld, Sources};
use crate::guest::tools::PyPackage;

/// The SDK as it was when this binary was compiled.
pub(in crate::guest) static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/c");

/// A compiler for C, C++ and Zig with a C library for WASI, as a wheel.
const ZIG: PyPackage = PyPackage {
    name: "ziglang",
    version: "0.16.0",
    about: "a C compiler for WebAssembly, 100 MB, once",
};

/// What would do instead of it.
const INSTEAD: &str = "sudo apt-get install -y --no-install-recommends clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc";

/// Debian's names for clang, the newest first, and everybody's.
const CLANGS: [&str; 9] = [
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16",
    "clang-15",
];

/// What every compiler is told.
const FLAGS: [&str; 7] = [
    "-mexec-model=reactor",
    // With what POSIX has beside the standard: clocks, random numbers.
    "-std=gnu17",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wl,-z,stack-size=131072",
    "-Wl,--no-entry",
];

/// The stack lies below the data, so that an overflow is a trap and not silence.
/// Zig does so by itself and knows no such flag.
const STACK_FIRST: &str = "-Wl,--stack-first";

/// A compiler, and what it must be told to compile for WASI.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Compiler {
    program: PathBuf,
    args: Vec<&'static str>,
}

/// The component of a project in C.
pub(super) fn component(
    project: &Path,
    described: Sources,
) -> Result<(ComponentName, Vec<u8>), BuildError> {
    let folder = build_folder(project)?;
    let sdk = sdk(project, &folder, "qx.h", &SDK)?;
    let mut files = Vec::new();
    for source in &described.sources {
        sources(&project.join(source), &mut files)?;
    }
    if files.is_empty() {
        return Err(BuildError::NoSources {
            kind: ".c",
            folder: project.to_owned(),
        });
    }
    let own = match &described.world {
        Some(world) => Some(bindings(project, world, &folder)?),
        None => None,
    };
    // A copy in the project may be older, and have fewer.
    let of_the_sdk = SDK.files().map(|file| sdk.join(file.path()));
    let is_source = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "c");
    files.extend(of_the_sdk.filter(|path| is_source(path) && path.is_file()));
    let mut command = compiler()?.command();
    command.args(FLAGS).args(&described.flags);
    if let Some(own) = &own {
        // Before those of the SDK, which have the same names.
        command.arg("-I").arg(&own.folder);
        let replaced = |file: &PathBuf| {
            *file == sdk.join(SDK_BINDINGS)
                || (*file == sdk.join(SDK_HANDLE) && !own.world.exports_handler())
        };
        files.retain(|file| !replaced(file));
        files.push(own.folder.join(SDK_BINDINGS));
    }
    let module = folder.join("module.wasm");
    let status = command
        .arg("-I")
        .arg(&sdk)
        .args(&files)
        .arg("-o")
        .arg(&module)
        .status()
        .map_err(|source| BuildError::NotRun {
            tool: "the C compiler".to_owned(),
            source,
        })?;
    if !status.success() {
        return Err(BuildError::Compile {
            tool: "the C compiler",
            code: status.code().unwrap_or(-1),
        });
    }
    let wasm = fs::read(&module).map_err(failed("reading", &module))?;
    let mut wasm = debug_info::strip(wasm);
    let marked = match &own {
        Some(Own { world, folder: _ }) => contract::mark_as(&mut wasm, &world.resolve, world.id),
        None => contract::mark(&mut wasm),
    };
    marked.map_err(BuildError::Contract)?;
    let component = encoded(&described.name, wasm)?;
    Ok((described.name, component))
}

/// The SDK's bindings of the contract, and the export that takes every event.
const SDK_BINDINGS: &str = "component.c";
const SDK_HANDLE: &str = "qx_handle.c";

/// A world of the project's own, and the folder of its bindings.
struct Own {
    world: World,
    folder: PathBuf,
}

/// Makes the bindings of the project's world. It has all that the SDK calls: what is not
/// called is not imported.
fn bindings(project: &Path, own: &OwnWorld, folder: &Path) -> Result<Own, BuildError> {
    let around = Around {
        name: contract::WORLD,
        imports: "  include qx:events/imports@1.0.0;\n",
        packages: &[],
    };
    let world = World::write((project, own), folder.join("wit-of-world"), &around)?;
    let files = generated(&world.folder).map_err(|source| BuildError::World {
        name: own.name.clone(),
        source,
    })?;
    let folder = folder.join("bindings");
    for (name, bytes) in files.iter() {
        put_file(&folder.join(name), &String::from_utf8_lossy(bytes))?;
    }
    Ok(Own { world, folder })
}

/// What the generator makes of the world in a folder.
fn generated(wit: &Path) -> anyhow::Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(contract::WORLD))?;
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

/// A file, or every file of C below a folder, in the order of their names.
fn sources(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(failed("reading", path))?;
    let mut below: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    below.sort();
    for path in below {
        if path.is_dir() || path.extension().is_some_and(|kind| kind == "c") {
            sources(&path, found)?;
        }
    }
    Ok(())
}

impl Compiler {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command
    }

    /// Whether it makes a module with a C library in it.
    fn works(&self) -> bool {
        let Ok(folder) = ProbeFolder::make() else {
            return false;
        };
        let source = folder.0.join("probe.c");
        let written = fs::write(
            &source,
            "#include <stdlib.h>\nint f(char *s) { return atoi(s); }\n",
        );
        let mut command = self.command();
        command
            .args(["-mexec-model=reactor", "-Wl,--export=f"])
            .arg(&source)
            .arg("-o")
            .arg(folder.0.join("probe.wasm"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        written.is_ok() && command.status().is_ok_and(|status| status.success())
    }
}

/// A folder for one look at a compiler.
struct ProbeFolder(PathBuf);

impl ProbeFolder {
    fn make() -> std::io::Result<Self> {
        let name = format!("qx-probe-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for ProbeFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0)); // Best effort: it is the system's to clear.
    }
}

fn compiler() -> Result<Compiler, BuildError> {
    let sdk = std::env::var_os("WASI_SDK_PATH").filter(|path| !path.is_empty());
    if let Some(sdk) = sdk {
        return Ok(Compiler {
            program: PathBuf::from(sdk).join("bin/clang"),
            args: vec!["--target=wasm32-wasip1", STACK_FIRST],
        });
    }
    let machines = CLANGS.into_iter().map(|name| Compiler {
        program: PathBuf::from(name),
        // The old name: Debian's C library knows only this one.
        args: vec!["--target=wasm32-wasi", "-Wno-deprecated", STACK_FIRST],
    });
    if let Some(found) = machines.into_iter().find(Compiler::works) {
        return Ok(found);
    }
    let zig = ZIG.get(INSTEAD)?;
    Ok(Compiler {
        program: zig.join("ziglang/zig"),
        args: vec!["cc", "-target", "wasm32-wasi"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_below_a_folder_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("more")).unwrap();
        for name in ["b.c", "a.c", "a.h", "more/c.c"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found = Vec::new();
        sources(folder.path(), &mut found).unwrap();
        let expected = ["a.c", "b.c", "more/c.c"].map(|name| folder.path().join(name));
        assert_eq!(found, expected);
    }

    /// With `QX_BLESS=1` they are written.
    #[test]
    fn the_bindings_of_the_sdk_are_what_the_generator_makes_of_the_contract() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let made = generated(&repository.join("wit/1.0.0/events.wit")).unwrap();
        for (name, bytes) in made.iter() {
            let path = repository.join("guest-sdk/c").join(name);
            if std::env::var_os("QX_BLESS").is_some() {
                fs::write(&path, bytes).unwrap();
            }
            assert!(fs::read(&path).unwrap() == bytes, "{name} is another");
        }
    }

    #[test]
    fn a_compiler_that_is_not_there_does_not_work() {
        let none = Compiler {
            program: PathBuf::from("/no/such/clang"),
            args: Vec::new(),
        };
        assert!(!none.works());
    }
}

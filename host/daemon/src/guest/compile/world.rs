//! A world of the project's own, for handlers with types of their own: written beside the
//! contract, as a part of the world that a tool makes bindings of.

use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::{Function, Resolve, WorldId, WorldItem, WorldKey};

use super::{BuildError, failed, put_file};
use crate::guest::contract;
use crate::guest::project::OwnWorld;

/// The interface through which a component takes events that have no type.
const HANDLER: &str = "qx:events/handler@";

/// The world of a tool, with the project's own in it.
pub(super) struct World {
    /// The folder with its WIT.
    pub(super) folder: PathBuf,
    /// What it is, as far as it can be read.
    pub(super) resolve: Resolve,
    /// Itself.
    pub(super) id: WorldId,
}

/// What a tool wants around the project's own world.
pub(super) struct Around<'a> {
    /// The name of the world that it makes bindings of.
    pub(super) name: &'a str,
    /// What the SDK imports.
    pub(super) imports: &'a str,
    /// Packages that those are of, beside the contract: file and text.
    pub(super) packages: &'a [(&'a str, &'a str)],
}

impl World {
    /// Writes a world into `folder` that has what `own` has, and what stands around it.
    pub(super) fn write(
        (project, own): (&Path, &OwnWorld),
        folder: PathBuf,
        around: &Around<'_>,
    ) -> Result<Self, BuildError> {
        let deps = folder.join("deps");
        put_file(&deps.join("events/events.wit"), contract::TEXT)?;
        for (file, text) in around.packages {
            put_file(&deps.join(file), text)?;
        }
        copy(&project.join(&own.wit), &deps.join("qx-own"), &deps)?;
        let world = &own.name;
        let Around {
            name,
            imports,
            packages: _,
        } = around;
        let text =
            format!("package qx:build;\n\nworld {name} {{\n{imports}  include {world};\n}}\n");
        put_file(&folder.join("world.wit"), &text)?;
        Self::read(folder, name).map_err(|source| BuildError::World {
            name: world.clone(),
            source,
        })
    }

    fn read(folder: PathBuf, name: &str) -> anyhow::Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(&folder)?;
        let id = resolve.select_world(&[package], Some(name))?;
        Ok(Self {
            folder,
            resolve,
            id,
        })
    }

    /// The functions that it exports, by name.
    pub(super) fn exported(&self) -> impl Iterator<Item = (&str, &Function)> {
        let world = self.resolve.worlds.get(self.id);
        let exports = world.into_iter().flat_map(|world| &world.exports);
        exports.filter_map(|(key, item)| match (key, item) {
            (WorldKey::Name(name), WorldItem::Function(function)) => {
                Some((name.as_str(), function))
            }
            (_, WorldItem::Function(_) | WorldItem::Interface { .. } | WorldItem::Type { .. }) => {
                None
            }
        })
    }

    /// Whether it takes events that have no type, too.
    pub(super) fn exports_handler(&self) -> bool {
        let world = self.resolve.worlds.get(self.id);
        let mut keys = world.into_iter().flat_map(|world| world.exports.keys());
        keys.any(|key| self.resolve.name_world_key(key).starts_with(HANDLER))
    }
}

/// Copies the project's WIT: its own files, and the packages that it depends on. What an
/// earlier build found there and is gone is removed; the rest stays in its place, for
/// another build of the same project that reads it now.
fn copy(from: &Path, own: &Path, deps: &Path) -> Result<(), BuildError> {
    let mut kept = Vec::new();
    for path in entries(from)? {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name == "deps" {
            copy_packages(&path, deps)?;
        } else if path.extension().is_some_and(|kind| kind == "wit") {
            copy_file(&path, &own.join(name))?;
            kept.push(own.join(name));
        }
    }
    if own.is_dir() {
        for path in entries(own)?.iter().filter(|path| !kept.contains(path)) {
            fs::remove_file(path).map_err(failed("removing", path))?;
        }
    }
    Ok(())
}

fn copy_packages(from: &Path, to: &Path) -> Result<(), BuildError> {
    for path in entries(from)? {
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_packages(&path, &to)?;
        } else {
            copy_file(&path, &to)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = fs::read_dir(folder).map_err(failed("reading", folder))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(failed("reading", folder))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), BuildError> {
    let text = fs::read_to_string(from).map_err(failed("reading", from))?;
    put_file(to, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIT: &str = "package a:b;
        interface events { record order { id: u64 } }
        world typed {
            use qx:events/types@1.0.0.{failure};
            use events.{order};
            export on-order: func(order: order) -> result<_, failure>;
        }
        world both { include typed; export qx:events/handler@1.0.0; }";

    fn written(name: &str) -> Result<World, BuildError> {
        let project = tempfile::tempdir().unwrap();
        put_file(&project.path().join("wit/own.wit"), WIT).unwrap();
        let own = OwnWorld {
            name: name.to_owned(),
            wit: PathBuf::from("wit"),
        };
        let around = Around {
            name: "component",
            imports: "  import a:c/d;\n",
            packages: &[("c/c.wit", "package a:c; interface d { f: func(); }")],
        };
        let folder = project.path().join("written");
        World::write((project.path(), &own), folder, &around)
    }

    fn functions(world: &World) -> Vec<&str> {
        world.exported().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_world_has_what_the_project_exports_and_what_stands_beside_it() {
        let world = written("a:b/typed").unwrap();
        assert_eq!(functions(&world), ["on-order"]);
        assert!(!world.exports_handler());
        let both = written("a:b/both").unwrap();
        assert_eq!(functions(&both), ["on-order"]);
        assert!(both.exports_handler());
        let imports = &both.resolve.worlds[both.id].imports;
        let names: Vec<String> = imports
            .keys()
            .map(|key| both.resolve.name_world_key(key))
            .collect();
        assert!(names.contains(&"a:c/d".to_owned()), "{names:?}");
    }

    #[test]
    fn a_world_that_is_not_there_is_named() {
        let error = written("a:b/other").err().unwrap().to_string();
        assert!(error.contains("a:b/other"), "{error}");
    }
}

//! Compiled components on disk, seen from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qx_events::Outcome;

use super::world::{World, effects};
use crate::testing::ping;
use crate::{ChildCompiler, Compilation};

fn cached(folder: &Path) -> World {
    World::with(|config| config.cache_dir = Some(folder.to_owned()))
}

fn accepts() -> Vec<u8> {
    ping("(call $ok)", "")
}

fn rejects() -> Vec<u8> {
    ping("(call $reject (i32.const 0) (i32.const 0))", "")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn the_second_load_runs_what_the_cache_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    effects(cached(folder.path()).run(accepts()).await);
    let [entry] = &entries(folder.path())[..] else {
        panic!("one entry");
    };
    // The code of another component in its place shows which of the two is run.
    let other = tempfile::tempdir().unwrap();
    cached(other.path()).load(rejects()).await;
    fs::copy(&entries(other.path())[0], entry).unwrap();
    let outcome = cached(folder.path()).run(accepts()).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
}

/// Much longer than a component takes that waits for nobody.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_is_compiled_already_does_not_wait_for_what_is_being_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    cached(&cache).load(accepts()).await;
    let begun = folder.path().join("begun");
    let script = format!("touch {}; exec sleep 1000", begun.display());
    let never = ChildCompiler::new("/bin/sh".into(), vec!["-c".into(), script.into()]);
    let world = World::with(|config| {
        config.cache_dir = Some(cache.clone());
        config.compilation = Compilation::Child(never);
    });
    let meanwhile = async {
        while !begun.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let loaded = tokio::time::timeout(PATIENCE, world.load(accepts())).await;
        effects(world.call(&loaded.unwrap()).await);
    };
    tokio::select! {
        ended = world.try_load(rejects()) => panic!("{ended:?}"),
        () = meanwhile => {}
    }
}

/// Of the processors that it is tested on.
const PAGE_BYTES_MAX: u64 = 4096;

/// Bytes of an entry that are in this process's memory: of each mapping `smaps` has a line
/// that ends with its file, and lines of figures.
fn resident(entry: &Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut is_ours, mut kb) = (false, 0);
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap();
        if !first.ends_with(':') {
            is_ours = line.ends_with(entry.to_str().unwrap());
        } else if is_ours && first == "Rss:" {
            let figure = line.split_whitespace().nth(1).unwrap();
            kb += figure.parse::<u64>().unwrap();
        }
    }
    kb * 1024
}

#[tokio::test]
async fn code_that_waits_for_events_is_given_back_and_runs_when_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let world = cached(folder.path());
    let loaded = world.load(accepts()).await;
    let entry = entries(folder.path()).pop().unwrap();
    // It was read, linked and tried out. Pages that are the entry's in part stay.
    let idle = resident(&entry);
    assert!(idle <= 2 * PAGE_BYTES_MAX, "{idle}");
    effects(world.call(&loaded).await);
    assert!(resident(&entry) > idle, "it is mapped from the entry");
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_again_and_put_right() {
    let folder = tempfile::tempdir().unwrap();
    effects(cached(folder.path()).run(accepts()).await);
    let entry = entries(folder.path()).pop().unwrap();
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, &whole[..whole.len() / 2]).unwrap();
    effects(cached(folder.path()).run(accepts()).await);
    assert_eq!(fs::read(&entry).unwrap().len(), whole.len());
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    effects(cached(folder.path()).run(accepts()).await);
    assert!(entries(folder.path()).is_empty());
}

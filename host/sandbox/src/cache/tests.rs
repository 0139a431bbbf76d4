//! What a folder must be like, and what an entry survives.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::engine::Metering;

fn component() -> (Engine, Vec<u8>, Digest) {
    let engine = crate::engine::build(1, 1 << 20, Metering::Off).unwrap();
    let code = engine.precompile_component(&wat::parse_str("(component)").unwrap());
    (engine, code.unwrap(), Digest::new([7; 32]))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_folder_is_made_for_the_host_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    Cache::open(&folder).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    assert!(entries(&folder).is_empty());
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o707] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = Cache::open(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }
}

#[test]
fn a_link_and_a_file_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let link = parent.path().join("link");
    symlink(parent.path(), &link).unwrap();
    assert!(matches!(Cache::open(&link), Err(CacheRefused::NoFolder)));
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Cache::open(&file).is_err());
}

#[test]
fn what_was_put_is_found_again_and_only_for_this_component() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let (engine, component, digest) = component();
    assert!(cache.get(&engine, digest).is_none());
    cache.put(&engine, &component, digest).unwrap();
    assert!(cache.get(&engine, digest).is_some());
    assert!(cache.get(&engine, Digest::new([8; 32])).is_none());
    let entry = entries(folder.path()).pop().unwrap();
    assert_eq!(fs::metadata(entry).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_entry_is_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let (engine, component, digest) = component();
    cache.put(&engine, &component, digest).unwrap();
    let entry = entries(folder.path()).pop().unwrap();
    let whole = fs::read(&entry).unwrap();
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &whole[..middle], b"", b"not native code"] {
        fs::write(&entry, damaged).unwrap();
        assert!(cache.get(&engine, digest).is_none());
    }
    cache.put(&engine, &component, digest).unwrap();
    assert!(cache.get(&engine, digest).is_some());
}

#[test]
fn an_engine_with_other_settings_has_other_entries() {
    let digest = Digest::new([7; 32]);
    let (engine, ..) = component();
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(false);
    let other = Engine::new(&config).unwrap();
    assert_ne!(key(&engine, digest), key(&other, digest));
    assert_eq!(key(&engine, digest), key(&component().0, digest));
}

#[test]
fn a_file_that_was_left_half_written_is_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let (engine, component, digest) = component();
    let unfinished = cache.path(&engine, digest).with_extension("1.cwasm.new");
    fs::write(&unfinished, "half of it").unwrap();
    assert!(cache.get(&engine, digest).is_none());
    cache.put(&engine, &component, digest).unwrap();
    assert!(cache.get(&engine, digest).is_some());
}

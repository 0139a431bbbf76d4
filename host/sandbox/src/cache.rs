//! Compiled components on disk, so that a restart takes milliseconds.
//!
//! An entry is native code: whoever can write it can run anything. So the folder
//! is the host's alone, or there is no cache. An entry that is damaged, or made by
//! another build of the engine, is compiled again and never an error.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use qx_events::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::native::Native;

/// Grows when the form of an entry changes.
const FORMAT: &str = "qx-cwasm-1";

/// Bytes of the sum at the end of an entry.
const SUM_BYTES: usize = 32;

/// Bytes of an entry that are read at once, to add them up.
const PIECE_BYTES: usize = 64 << 10;

/// Most bytes of all entries: some 30 of the largest. The oldest are dropped.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// How an entry's name ends.
const SUFFIX: &str = ".cwasm";

/// How the name of one ends that is being written.
const SUFFIX_UNFINISHED: &str = ".cwasm.new";

/// Rights of others in a folder's mode.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A folder that was checked.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// The folder cannot hold native code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheRefused {
    #[error("it cannot be made or written: give the host a folder of its own")]
    Io(#[from] io::Error),
    #[error("it is no folder, or a symbolic link: name the folder itself")]
    NoFolder,
    #[error("it belongs to another user: run `chown` on it, or name another")]
    Foreign,
    #[error("others can write to it: run `chmod 700` on it")]
    Writable,
}

impl Cache {
    /// Makes the folder where it is missing, and checks whose it is.
    pub(crate) fn open(folder: &Path) -> Result<Self, CacheRefused> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let found = fs::symlink_metadata(folder)?;
        if !found.is_dir() {
            return Err(CacheRefused::NoFolder);
        }
        if found.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(CacheRefused::Writable);
        }
        // What we make is ours, and says who we are.
        let probe = folder.join(format!("probe-{}{SUFFIX_UNFINISHED}", std::process::id()));
        let ours = create(&probe)?.metadata()?.uid();
        fs::remove_file(&probe)?;
        if found.uid() != ours {
            return Err(CacheRefused::Foreign);
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The compiled component, when there is one that this engine can run.
    pub(crate) fn get(&self, engine: &Engine, digest: Digest) -> Option<Native> {
        let path = self.path(engine, digest);
        if !is_whole(&path)? {
            tracing::warn!(path = %path.display(), "compiling again: a cache entry is damaged");
            return None;
        }
        #[expect(unsafe_code, reason = "the engine cannot know who made the file")]
        // SAFETY: the folder is ours and nobody else can write to it (`open`), the
        // name holds the component's digest and the engine's, and the sum at the
        // end shows that these are the bytes that `put` wrote.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        component
            .inspect_err(|error| {
                let error = format_args!("{error:#}");
                tracing::warn!(path = %path.display(), %error, "compiling again: a cache entry does not load");
            })
            .ok()
            .map(Native::mapped)
    }

    /// Keeps a component's native code. Written aside and renamed: an entry is whole
    /// or not there.
    pub(crate) fn put(&self, engine: &Engine, code: &[u8], digest: Digest) -> io::Result<()> {
        let path = self.path(engine, digest);
        let mut unfinished = path.clone();
        unfinished.set_extension(format!("{}{SUFFIX_UNFINISHED}", std::process::id()));
        let mut file = create(&unfinished)?;
        file.write_all(code)?;
        file.write_all(&Sha256::digest(code))?;
        file.sync_all()?;
        // Who dies here leaves a file that nobody reads, until it is the oldest.
        fs::rename(&unfinished, &path)?;
        self.drop_oldest()
    }

    fn path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}{SUFFIX}", key(engine, digest)))
    }

    /// Drops entries until the rest fits the bound. An entry in use stays mapped.
    fn drop_oldest(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(SUFFIX) || name.ends_with(SUFFIX_UNFINISHED) {
                let found = entry.metadata()?;
                entries.push((found.modified()?, found.len(), entry.path()));
            }
        }
        entries.sort_unstable();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= CACHE_BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// A new file that only we can read, in place of one that was left behind.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Whether the entry ends in the sum of what stands before it; `None` when there
/// is no entry. Read piece by piece: entries have tens of megabytes, and many are read
/// at once when the host starts.
fn is_whole(path: &Path) -> Option<bool> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let Some(code) = length.checked_sub(SUM_BYTES as u64) else {
        return Some(false);
    };
    let mut sum = Sha256::new();
    let mut reader = BufReader::with_capacity(PIECE_BYTES, (&file).take(code));
    loop {
        let piece = reader.fill_buf().ok()?;
        if piece.is_empty() {
            break;
        }
        sum.update(piece);
        let read = piece.len();
        reader.consume(read);
    }
    let mut written = Vec::with_capacity(SUM_BYTES);
    file.read_to_end(&mut written).ok()?;
    Some(sum.finalize().as_slice() == written)
}

/// What an entry depends on: the component, the engine with its settings and the
/// processor, and our own form.
fn key(engine: &Engine, digest: Digest) -> Digest {
    let mut hasher = Sha(Sha256::new());
    hasher.write(FORMAT.as_bytes());
    hasher.write(digest.to_string().as_bytes());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Digest::new(hasher.0.finalize().into())
}

/// SHA-256 where the standard library wants a hasher.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked: the whole sum is read instead.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;

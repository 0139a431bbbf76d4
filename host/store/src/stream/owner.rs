//! One process owns a stream: an advisory lock on a file beside it, which the
//! system lets go when the process ends, however it ends.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The right to use a file as a stream.
pub(super) struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(stream: &Path) -> Result<Self, StoreError> {
        let path = lock_path(stream);
        let broken = |source| StoreError::Lock {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = stream.to_path_buf();
                return Err(StoreError::StreamInUse {
                    path,
                    owner: owner(stream),
                });
            }
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .map_err(broken)?;
        write!(file, "{}", std::process::id()).map_err(broken)?;
        Ok(Self { _file: file })
    }
}

fn lock_path(stream: &Path) -> PathBuf {
    let mut path = stream.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Who has the lock, as far as its file tells.
fn owner(stream: &Path) -> String {
    let text = fs::read_to_string(lock_path(stream)).unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(id) if id == std::process::id() => "this process already".to_owned(),
        Ok(id) => format!("process {id}"),
        Err(_not_a_number) => "another process".to_owned(),
    }
}

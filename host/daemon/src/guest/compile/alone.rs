//! One build at a time of a project: its compilers write files of fixed names.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::{BuildError, failed};

/// The file that is locked. It stays: a lock on a file that somebody removes is none.
const FILE_NAME: &str = "lock";

/// Another build of the project is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    folder: PathBuf,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(
            f,
            "waiting   another build of this project is at work in {folder}"
        )
    }
}

/// Waits until no other build works in `folder`; as long as the file lives, none does.
/// The lock is the system's, so one that died holds nothing up.
pub(super) fn in_folder(folder: &Path, tell: impl FnOnce(&Waiting)) -> Result<File, BuildError> {
    let path = folder.join(FILE_NAME);
    let file = File::create(&path).map_err(failed("making", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => tell(&Waiting {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => return Err(failed("locking", &path)(source)),
    }
    file.lock().map_err(failed("locking", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_second_build_says_that_it_waits_and_goes_on_when_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = in_folder(folder.path(), |_| panic!("nobody is at work")).unwrap();
        let (told, hears) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                in_folder(folder.path(), |waiting| {
                    told.send(waiting.to_string()).unwrap();
                })
            });
            let said = hears.recv().unwrap();
            assert!(
                said.contains("another build") && said.contains(&*folder.path().to_string_lossy())
            );
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
        drop(in_folder(folder.path(), |_| panic!("both have ended")).unwrap());
    }
}

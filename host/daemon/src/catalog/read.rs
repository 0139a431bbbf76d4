//! Reads a file of the folder: once, whole, and never one that lies elsewhere.
//!
//! The last step of a path is not followed if it is a link, and what was opened is
//! asked again what it is: between the look and the reading anybody who can write to
//! the folder may have put something else there.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Why a file of the folder is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// What lies there is no file.
    #[error("{file} is {what}")]
    NotAFile {
        /// Its name.
        file: String,
        /// What it is, with what to do.
        what: &'static str,
    },
    /// Too large.
    #[error("{file} is larger than {bytes_max} bytes: {remedy}")]
    TooLarge {
        /// Its name.
        file: String,
        /// What it may have.
        bytes_max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The system says no.
    #[error("{file} cannot be read: make it readable for this user")]
    Io {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A link in the folder.
const LINK: &str = "a symbolic link, and those are not followed: copy the file into the folder";

/// What it is, if it is no file that could be read.
pub(super) fn refusal(kind: std::fs::FileType) -> Option<&'static str> {
    if kind.is_symlink() {
        return Some(LINK);
    }
    if kind.is_file() {
        return None;
    }
    Some(if kind.is_dir() {
        "not a file but a folder: remove it from the folder of components"
    } else if kind.is_fifo() {
        "not a file but a named pipe: remove it from the folder of components"
    } else if kind.is_socket() {
        "not a file but a socket: remove it from the folder of components"
    } else {
        "not a file but a device: remove it from the folder of components"
    })
}

/// Reads a file of at most so many bytes; `remedy` is for one that has more.
pub(super) async fn read(
    path: &Path,
    bytes_max: u64,
    remedy: &'static str,
) -> Result<Vec<u8>, Unread> {
    let (path, shown) = (path.to_owned(), name(path));
    let read = tokio::task::spawn_blocking(move || read_now(&path, bytes_max, remedy));
    read.await.unwrap_or_else(|panic| {
        Err(Unread::Io {
            file: shown,
            source: io::Error::other(panic),
        })
    })
}

/// As [`read`], on a thread that may be blocked.
pub(super) fn read_now(
    path: &Path,
    bytes_max: u64,
    remedy: &'static str,
) -> Result<Vec<u8>, Unread> {
    let file = name(path);
    let open = open(path).and_then(|open| Ok((open.metadata()?.file_type(), open)));
    let (kind, open) = match open {
        Ok(found) => found,
        Err(source) if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(Unread::NotAFile { file, what: LINK });
        }
        Err(source) => return Err(Unread::Io { file, source }),
    };
    if let Some(what) = refusal(kind) {
        return Err(Unread::NotAFile { file, what });
    }
    let mut bytes = Vec::new();
    match open
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
    {
        Ok(_) if bytes.len() as u64 > bytes_max => Err(Unread::TooLarge {
            file,
            bytes_max,
            remedy,
        }),
        Ok(_) => Ok(bytes),
        Err(source) => Err(Unread::Io { file, source }),
    }
}

/// Opens what is there, whatever it is, without waiting for anybody: a pipe would
/// wait for its writer.
fn open(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What is said of a file that was put in the place of another one after the look.
    fn said(make: impl FnOnce(&Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stars.wasm");
        make(&path);
        read_now(&path, 4, "make it smaller")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_was_put_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
        let fifo = |path: &Path| {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        };
        let socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
        for (said, part) in [
            (said(|path| symlink("/etc/hostname", path).unwrap()), "link"),
            (said(|path| symlink("/dev/zero", path).unwrap()), "link"),
            (said(|path| std::fs::create_dir(path).unwrap()), "a folder"),
            (said(fifo), "a named pipe"),
            (said(socket), "cannot be read"),
            (said(|_| {}), "cannot be read"),
            (
                said(|path| std::fs::write(path, "12345").unwrap()),
                "larger than 4 bytes",
            ),
        ] {
            assert!(said.starts_with("stars.wasm"), "{said}");
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_file_of_just_the_size_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stars.wasm");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read_now(&path, 4, "").unwrap(), b"1234");
    }

    #[test]
    fn a_device_is_opened_and_not_read() {
        let said = read_now(Path::new("/dev/zero"), 4, "")
            .unwrap_err()
            .to_string();
        assert!(said.contains("a device"), "{said}");
    }
}

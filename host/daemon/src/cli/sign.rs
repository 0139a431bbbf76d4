//! `qx-host sign`: a signature beside each file, as minisign makes it.
//!
//! Written aside and renamed: a running host never sees half a signature.

use std::path::{Path, PathBuf};

use qx_events::Digest;
use qx_events::ports::Clock;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::args::{Output, SignArgs};
use super::exit::{Exit, Failure};
use super::password::{Ask, password};
use super::screen;
use crate::clock::SystemClock;
use crate::signing::{SIGNATURE_SUFFIX, SecretKey, StoredKey, TEXT_BYTES_MAX};

/// Largest file that is signed or verified, in bytes: the largest component that any
/// host can be made to take.
const FILE_BYTES_MAX: u64 = 512 << 20;

#[derive(Debug, Serialize)]
struct Signed {
    file: PathBuf,
    signature: PathBuf,
    key_id: String,
    digest: String,
    trusted_comment: String,
}

pub(super) fn sign(args: &SignArgs) -> Result<Exit, Failure> {
    let key = key(args)?;
    let mut signed = Vec::new();
    for file in &args.files {
        let one = one(&key, file)?;
        if args.output == Output::Text {
            let (to, by) = (one.signature.display(), &one.key_id);
            screen::say(&format!("{to}  by {by}  sha256 {}", one.digest));
        }
        signed.push(one);
    }
    if args.output == Output::Json {
        screen::json(&signed)?;
    }
    Ok(Exit::Done)
}

fn key(args: &SignArgs) -> Result<SecretKey, Failure> {
    let doing = format!("read the key {}", args.key.display());
    let bytes = read(&args.key, TEXT_BYTES_MAX).map_err(|error| Failure::failed(&doing, error))?;
    let stored = StoredKey::parse(&String::from_utf8_lossy(&bytes));
    match stored.map_err(|error| Failure::failed(&doing, error))? {
        StoredKey::Open(key) => Ok(key),
        StoredKey::Locked(locked) => {
            let password = password(&args.password, &args.key, Ask::Once)?;
            let unlocked = locked.unlock(password.expose());
            unlocked.map_err(|error| Failure::failed(&doing, error))
        }
    }
}

fn one(key: &SecretKey, file: &Path) -> Result<Signed, Failure> {
    let doing = format!("sign {}", file.display());
    let wrong = |error| Failure::failed(&doing, error);
    let bytes = read(file, FILE_BYTES_MAX).map_err(wrong)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(['\t', '\n', '\r']) {
        return Err(Failure::usage(
            "a name with a tab or a line break in it cannot be signed: rename the file",
        ));
    }
    let (at, digest) = (SystemClock.now().timestamp(), digest(&bytes));
    // As minisign writes it, and the digest that a host shows.
    let comment = format!("timestamp:{at}\tfile:{name}\thashed\tsha256:{digest}");
    let signature = key.sign(&bytes, &comment);
    let to = signature_of(file);
    // A name with a dot in front is none of a component.
    let aside = to.with_file_name(format!(".{name}{SIGNATURE_SUFFIX}.new"));
    std::fs::write(&aside, signature.to_string())
        .and_then(|()| std::fs::rename(&aside, &to))
        .map_err(wrong)?;
    Ok(Signed {
        file: file.to_owned(),
        signature: to,
        key_id: signature.key().to_string(),
        digest,
        trusted_comment: comment,
    })
}

/// Where a file's signature is.
pub(super) fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(SIGNATURE_SUFFIX);
    file.with_file_name(name)
}

/// Reads a file that somebody named on the command line.
pub(super) fn read_file(file: &Path) -> std::io::Result<Vec<u8>> {
    read(file, FILE_BYTES_MAX)
}

/// Reads a signature.
pub(super) fn read_signature(file: &Path) -> std::io::Result<Vec<u8>> {
    read(file, TEXT_BYTES_MAX)
}

fn read(file: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::metadata(file)?.len();
    if bytes > bytes_max {
        let text = format!("larger than {bytes_max} bytes; is it the right file?");
        return Err(std::io::Error::other(text));
    }
    std::fs::read(file)
}

/// As `handlers list` shows it.
pub(super) fn digest(bytes: &[u8]) -> String {
    Digest::new(Sha256::digest(bytes).into()).to_string()
}

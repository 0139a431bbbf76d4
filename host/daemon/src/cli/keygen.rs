//! `qx-host keygen`: a key that signs, for its owner alone, and the one that others
//! check its signatures with.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::args::{KeygenArgs, Output};
use super::exit::{Exit, Failure};
use super::password::{Ask, password};
use super::screen;
use crate::config::Secret;
use crate::signing::SecretKey;

/// For the owner alone.
const SECRET_MODE: u32 = 0o600;

pub(super) fn keygen(args: &KeygenArgs) -> Result<Exit, Failure> {
    let public_path = args.key.with_extension("pub");
    if public_path == args.key {
        return Err(Failure::usage(
            "--key names the secret key, and the public one gets the ending .pub: name it otherwise",
        ));
    }
    // Before anybody types a password.
    let taken = [&args.key, &public_path]
        .into_iter()
        .find(|path| path.exists());
    if let Some(taken) = taken.filter(|_| !args.force) {
        return Err(there(taken));
    }
    let password = if args.no_password {
        None
    } else {
        Some(password(&args.password, &args.key, Ask::Twice)?)
    };
    let wrong = |error| Failure::failed("make a key", error);
    let key = SecretKey::generate().map_err(wrong)?;
    let text = key.file(password.as_ref().map(Secret::expose));
    let public = key.public();
    write_secret(args, &text.map_err(wrong)?)?;
    std::fs::write(&public_path, public.file())
        .map_err(|error| Failure::failed(&format!("write {}", public_path.display()), error))?;
    match args.output {
        Output::Json => screen::json(&json!({
            "key_id": public.id().to_string(),
            "public_key": public.to_string(),
            "public_file": public_path,
            "secret_file": args.key,
        }))?,
        Output::Text => {
            let (secret, file) = (args.key.display(), public_path.display());
            screen::say(&format!(
                "secret key  {secret}  (keep it where you sign; lost is lost)"
            ));
            screen::say(&format!("public key  {file}"));
            screen::say("\nFor hosts that are to trust it, in qx-host.toml:\n");
            screen::say(&format!("  [components]\n  trusted_keys = [\"{public}\"]"));
            screen::say(&format!("\nThen: qx-host sign <name>.wasm --key {secret}"));
        }
    }
    Ok(Exit::Done)
}

fn write_secret(args: &KeygenArgs, text: &str) -> Result<(), Failure> {
    let shown = args.key.display();
    if args.force {
        // Its rights would be those of the file that is there.
        match std::fs::remove_file(&args.key) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::failed(&format!("replace {shown}"), error)),
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(SECRET_MODE);
    let write = |mut file: File| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    match options.open(&args.key).and_then(write) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(there(&args.key)),
        Err(error) => Err(Failure::failed(&format!("write {shown}"), error)),
    }
}

fn there(key: &Path) -> Failure {
    Failure::usage(format!(
        "{} is there already: name another with --key, or replace it with --force, after which nothing more can be signed with it",
        key.display()
    ))
}

//! Passwords of keys: from a file, a variable or the terminal. Shows none, keeps none.

use std::path::Path;

use super::args::PasswordArgs;
use super::exit::Failure;
use crate::config::Secret;

/// The variable, for machines that sign.
const VARIABLE: &str = "QX_SIGNING_PASSWORD";

/// How often the terminal is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Once: a wrong one is found out.
    Once,
    /// Twice: a slip would lock the key for ever.
    Twice,
}

/// The password of the key in this file.
pub(super) fn password(args: &PasswordArgs, key: &Path, ask: Ask) -> Result<Secret, Failure> {
    if let Some(file) = &args.password_file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::failed(&format!("read {}", file.display()), error))?;
        return given(text.lines().next().unwrap_or_default());
    }
    if let Some(text) = std::env::var_os(VARIABLE) {
        return given(&text.to_string_lossy());
    }
    let prompt = format!("password of {}: ", key.display());
    let first = asked(&prompt)?;
    if ask == Ask::Twice && asked("the same again: ")? != first {
        return Err(Failure::usage("the two passwords differ: try again"));
    }
    given(&first)
}

fn given(text: &str) -> Result<Secret, Failure> {
    if text.is_empty() {
        let text = "the password is empty: give one, or make a key without with --no-password";
        return Err(Failure::usage(text));
    }
    Ok(Secret::new(text))
}

fn asked(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt).map_err(|error| {
        Failure::usage(format!(
            "there is no terminal to ask for the password on ({error}): use --password-file or {VARIABLE}"
        ))
    })
}

//! A value that must not be seen: nothing prints it by accident.
//!
//! In a file or a variable it can be written as it is, with `${env:NAME}` inside
//! it, or as `file:/run/secrets/name` for the whole of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Longest secret that is read from a file, in bytes: a token or a URL, not a
/// mistaken path to something large.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A password, a token, or a URL with one in it. Has no `Display`, and its
/// `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The file that `raw` refers to, if it does.
pub(super) fn file_of(raw: &str, folder: &Path) -> Option<PathBuf> {
    raw.strip_prefix("file:").map(|path| folder.join(path))
}

/// Follows the references in `raw`. The error is a text for the operator and does
/// not repeat the value.
pub(super) fn resolve(
    raw: &str,
    folder: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<String, String> {
    match file_of(raw, folder) {
        Some(path) => read_file(&path),
        None => with_variables(raw, variables),
    }
}

/// The whole of a secret's file. The error does not repeat what is in it.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.len() > SECRET_BYTES_MAX => Err(format!(
            "the secret's file {} is larger than {SECRET_BYTES_MAX} bytes; is it the right one?",
            path.display()
        )),
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(format!(
            "the secret's file {} cannot be read ({error}); create it, or make it readable for this user",
            path.display()
        )),
    }
}

fn with_variables(raw: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, reference)) = rest.split_once("${env:") {
        let (name, after) = reference
            .split_once('}')
            .ok_or("`${env:` has no `}`; write ${env:NAME}")?;
        let found = variables.get(name).filter(|found| !found.is_empty());
        value.push_str(before);
        value.push_str(found.ok_or_else(|| {
            format!("the environment variable `{name}` that it refers to is not set; set it")
        })?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(raw: &str, folder: &Path) -> Result<String, String> {
        let variables = BTreeMap::from([("PW".to_owned(), "s3cret".to_owned())]);
        resolve(raw, folder, &variables)
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "[redacted]");
    }

    #[test]
    fn references_to_variables_are_followed_wherever_they_stand() {
        let here = Path::new("");
        assert_eq!(resolved("plain", here).unwrap(), "plain");
        assert_eq!(
            resolved("a:${env:PW}@b ${env:PW}", here).unwrap(),
            "a:s3cret@b s3cret"
        );
        assert!(
            resolved("${env:OTHER}", here)
                .unwrap_err()
                .contains("`OTHER`")
        );
        assert!(resolved("${env:PW", here).is_err());
    }

    #[test]
    fn a_secrets_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), "s3cret\n").unwrap();
        assert_eq!(resolved("file:pw", folder.path()).unwrap(), "s3cret");
        let missing = resolved("file:other", folder.path()).unwrap_err();
        assert!(
            missing.contains("other") && missing.contains("create it"),
            "{missing}"
        );
    }
}

//! Settings that the operator wrote into the component's `<name>.toml`, under
//! `[config]`.

use std::fmt;
use std::str::FromStr;

use crate::host;

/// A setting that cannot be read as what the handler needs. `?` makes a retry of
/// it, so that the event waits while the operator puts it right.
#[derive(Debug)]
pub struct Error<E> {
    key: String,
    source: E,
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the setting `{}` is not legal", self.key)
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A setting, as the operator wrote it.
pub fn get(key: &str) -> Option<String> {
    host::config_get(key)
}

/// A setting, read as a `T`.
///
/// ```
/// # use qx_guest::prelude::*;
/// # fn f() -> Result<(), Failure> {
/// let step: u64 = config::parse("step")?.unwrap_or(100);
/// # Ok(()) }
/// # f().unwrap();
/// ```
pub fn parse<T: FromStr>(key: &str) -> Result<Option<T>, Error<T::Err>> {
    let Some(text) = get(key) else {
        return Ok(None);
    };
    let value = text.parse().map_err(|source| Error {
        key: key.to_owned(),
        source,
    })?;
    Ok(Some(value))
}

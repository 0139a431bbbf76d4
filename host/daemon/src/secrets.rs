//! Secrets of the configuration while the host runs: one that is kept in a file is
//! read again, so that it can be changed without a restart.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::SecretSource;
use tokio::time::Instant;

use crate::config::{NamedSecret, read_secret_file};

/// A value that was read longer ago than this is read again before it is given away.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Values of one secret that are remembered, to be kept out of what guests say: one
/// that was replaced may still be in the memory of a call.
const REMEMBERED_MAX: usize = 4;

/// One secret.
pub(crate) struct LiveSecret {
    name: String,
    file: Option<PathBuf>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// The newest last. Never empty.
    values: Vec<Arc<str>>,
    at: Instant,
    failing: bool,
}

impl LiveSecret {
    /// As the configuration has it.
    pub(crate) fn new(name: &str, secret: &NamedSecret) -> Self {
        Self {
            name: name.to_owned(),
            file: secret.file.clone(),
            seen: Mutex::new(Seen {
                values: vec![Arc::from(secret.value.expose())],
                at: Instant::now(),
                failing: false,
            }),
        }
    }

    /// The file, when it is this caller's turn to read it: the others go on with what
    /// is known meanwhile.
    fn due(&self) -> Option<PathBuf> {
        let file = self.file.as_ref()?;
        let mut seen = self.lock();
        if seen.at.elapsed() < AGE_MAX {
            return None;
        }
        seen.at = Instant::now();
        Some(file.clone())
    }

    fn take(&self, read: Result<String, String>) {
        let mut seen = self.lock();
        match read {
            Ok(value) if value.is_empty() => {
                self.said_once(&mut seen, "its file is empty");
            }
            Ok(value) => {
                seen.failing = false;
                if seen.values.last().map(AsRef::as_ref) != Some(value.as_str()) {
                    tracing::info!(secret = self.name, "secret was changed");
                    seen.values.push(Arc::from(value));
                    let too_many = seen.values.len().saturating_sub(REMEMBERED_MAX);
                    seen.values.drain(..too_many);
                }
            }
            Err(reason) => self.said_once(&mut seen, &reason),
        }
    }

    fn said_once(&self, seen: &mut Seen, reason: &str) {
        if !std::mem::replace(&mut seen.failing, true) {
            tracing::warn!(
                secret = self.name,
                reason,
                "secret cannot be read again; its last value counts"
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretSource for LiveSecret {
    async fn value(&self) -> Arc<str> {
        if let Some(file) = self.due() {
            let read = tokio::task::spawn_blocking(move || read_secret_file(&file)).await;
            self.take(read.unwrap_or_else(|panic| Err(panic.to_string())));
        }
        let seen = self.lock();
        seen.values.last().map_or_else(|| Arc::from(""), Arc::clone)
    }

    fn known(&self) -> Vec<Arc<str>> {
        self.lock().values.clone()
    }
}

/// Its name only.
impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSecret({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn in_file(path: &std::path::Path) -> LiveSecret {
        let secret = NamedSecret {
            value: Secret::new("first-value"),
            file: Some(path.to_owned()),
        };
        LiveSecret::new("token", &secret)
    }

    #[tokio::test(start_paused = true)]
    async fn a_secrets_file_is_read_again_and_its_old_value_is_still_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = in_file(&path);
        std::fs::write(&path, "second-value\n").unwrap();
        assert_eq!(&*secret.value().await, "first-value", "not so soon");
        tokio::time::advance(AGE_MAX).await;
        assert_eq!(&*secret.value().await, "second-value");
        let known: Vec<String> = secret.known().iter().map(ToString::to_string).collect();
        assert_eq!(known, ["first-value", "second-value"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_gone_or_empty_leaves_the_last_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = in_file(&path);
        tokio::time::advance(AGE_MAX).await;
        assert_eq!(&*secret.value().await, "first-value");
        std::fs::write(&path, "\n").unwrap();
        tokio::time::advance(AGE_MAX).await;
        assert_eq!(&*secret.value().await, "first-value");
    }

    #[test]
    fn a_secret_shows_its_name_only() {
        let secret = LiveSecret::new(
            "token",
            &NamedSecret {
                value: Secret::new("planted"),
                file: None,
            },
        );
        assert_eq!(format!("{secret:?}"), "LiveSecret(token)");
    }
}

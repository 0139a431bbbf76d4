//! Builds that somebody is about to put into the folder, by component.
//!
//! An announcement is no permission: what counts is the file, and who may write
//! it. It says who does it and how, and that the file of this digest is complete.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qx_events::Digest;
use qx_events::ports::Action;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::moves::Way;

/// Announcements at a time: deploys that run side by side.
const INTENTS_MAX: usize = 64;
/// How long an announced file may be on its way.
const WAIT: Duration = Duration::from_mins(1);
/// Longer than any load may take.
const LOAD_MAX: Duration = Duration::from_hours(2);
/// Longest name of who does it, in characters.
const BY_CHARS_MAX: usize = 200;

/// What is asked for with a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// How they call themselves.
    pub by: String,
    /// Whether it is an earlier build that comes back.
    #[serde(default)]
    pub rollback: bool,
    /// Whether it comes into service without being tried.
    #[serde(default)]
    pub at_once: bool,
}

/// The announcement is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// Too many at a time.
    #[error("{INTENTS_MAX} builds are announced and not there yet: wait a minute")]
    Pending,
    /// Not a digest.
    #[error("the digest is not one: 64 hex digits")]
    Digest,
}

/// A build that was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) digest: Digest,
    pub(super) by: String,
    pub(super) asked: Option<Action>,
    pub(super) way: Way,
    until: Instant,
}

/// All that were announced and are not there yet.
#[derive(Debug, Default)]
pub(super) struct Intents {
    all: Mutex<BTreeMap<String, Intent>>,
    woken: Notify,
}

impl Intents {
    /// Takes an announcement, in place of one for the same component.
    pub(super) fn announce(&self, stem: &str, what: &Announcement) -> Result<(), TooMany> {
        let bytes = hex::decode(&what.digest).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let digest = Digest::new(bytes.ok_or(TooMany::Digest)?);
        let intent = Intent {
            digest,
            by: what.by.chars().take(BY_CHARS_MAX).collect(),
            asked: what.rollback.then_some(Action::Rollback),
            way: if what.at_once {
                Way::AtOnce
            } else {
                Way::Tried
            },
            until: Instant::now() + WAIT,
        };
        let mut all = self.lock();
        if all.len() >= INTENTS_MAX && !all.contains_key(stem) {
            return Err(TooMany::Pending);
        }
        all.insert(stem.to_owned(), intent);
        drop(all);
        self.woken.notify_one();
        Ok(())
    }

    /// Those that may still come.
    pub(super) fn all(&self) -> Vec<(String, Intent)> {
        let mut all = self.lock();
        let now = Instant::now();
        all.retain(|_, intent| intent.until > now);
        let each = all.iter();
        each.map(|(stem, intent)| (stem.clone(), intent.clone()))
            .collect()
    }

    /// It was there, and is dealt with.
    pub(super) fn met(&self, stem: &str, digest: Digest) {
        let mut all = self.lock();
        if all.get(stem).is_some_and(|intent| intent.digest == digest) {
            all.remove(stem);
        }
    }

    /// It is there: it is dealt with, however long that takes.
    pub(super) fn hold(&self, stem: &str, digest: Digest) {
        if let Some(intent) = self.lock().get_mut(stem)
            && intent.digest == digest
        {
            intent.until = Instant::now() + LOAD_MAX;
        }
    }

    /// Returns when something was announced since the last time.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Intent>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(digit: &str) -> Announcement {
        Announcement {
            digest: digit.repeat(64),
            by: "ada".to_owned(),
            rollback: false,
            at_once: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_lasts_a_minute_or_until_it_is_met() {
        let intents = Intents::default();
        intents.announce("stars", &announcement("a")).unwrap();
        intents.announce("stars", &announcement("b")).unwrap();
        intents.woken().await;
        let all = intents.all();
        assert_eq!(all.len(), 1);
        intents.met("stars", Digest::new([0xaa; 32]));
        assert_eq!(intents.all(), all, "another build");
        intents.met("stars", all[0].1.digest);
        assert_eq!(intents.all(), []);
        intents.announce("stars", &announcement("a")).unwrap();
        tokio::time::advance(WAIT).await;
        assert_eq!(intents.all(), []);
    }

    #[test]
    fn there_is_an_end_to_announcements() {
        let intents = Intents::default();
        for n in 0..INTENTS_MAX {
            let stem = format!("c{n}");
            intents.announce(&stem, &announcement("a")).unwrap();
        }
        let one_more = intents.announce("stars", &announcement("a"));
        assert_eq!(one_more, Err(TooMany::Pending));
        intents.announce("c0", &announcement("b")).unwrap();
        let bad = intents.announce("c0", &announcement("zz"));
        assert_eq!(bad, Err(TooMany::Digest));
    }
}

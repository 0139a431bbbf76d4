//! What is known of the folder: what has been dealt with, and what has to settle
//! first. Plain values; the time is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::folder::{Files, Seen, Stranger};

/// A file is loaded once it has stayed the same for so long: whoever copies it
/// into the folder may not be done yet.
const SETTLE: Duration = Duration::from_millis(100);

/// What was dealt with.
#[derive(Debug, Default)]
pub(super) struct Known {
    components: BTreeMap<String, Files>,
    strangers: Vec<Stranger>,
    /// What has changed, and since when it is as it is; `None`: gone.
    fresh: BTreeMap<String, (Option<Files>, Instant)>,
}

/// What a look has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Components whose files have changed and stayed so; `None`: they are gone.
    pub(super) settled: Vec<(String, Option<Files>)>,
    /// When to look again, if something has not settled yet.
    pub(super) again: Option<Duration>,
}

impl Known {
    /// What is new, or has changed, for long enough.
    pub(super) fn settled(&mut self, seen: &Seen, now: Instant) -> Looked {
        let mut looked = Looked::default();
        let stems: BTreeSet<&String> = seen
            .components()
            .keys()
            .chain(self.components.keys())
            .collect();
        let mut fresh = BTreeMap::new();
        for stem in stems {
            let files = seen.components().get(stem);
            if files == self.components.get(stem) {
                continue;
            }
            let since = match self.fresh.get(stem) {
                Some((before, since)) if before.as_ref() == files => *since,
                Some(_) | None => now,
            };
            let left = SETTLE.saturating_sub(now.duration_since(since));
            if left.is_zero() {
                looked.settled.push((stem.clone(), files.cloned()));
            } else {
                looked.again = Some(looked.again.map_or(left, |again| again.max(left)));
            }
            fresh.insert(stem.clone(), (files.cloned(), since));
        }
        self.fresh = fresh;
        looked
    }

    /// The files of a component, if they are not what was dealt with.
    pub(super) fn changed(&self, seen: &Seen, stem: &str) -> Option<Files> {
        let files = seen.components().get(stem)?;
        let is_known = self.components.get(stem) == Some(files);
        (!is_known).then(|| files.clone())
    }

    /// A component's files were dealt with, as they are here.
    pub(super) fn remember(&mut self, stem: String, files: Option<Files>) {
        self.fresh.remove(&stem);
        match files {
            Some(files) => drop(self.components.insert(stem, files)),
            None => drop(self.components.remove(&stem)),
        }
    }

    /// Takes note of the files that can be no component. Returns those that are new, and
    /// the names of those that are no longer there.
    pub(super) fn strangers(&mut self, seen: &Seen) -> (Vec<Stranger>, Vec<String>) {
        let (old, now) = (&self.strangers, seen.strangers());
        let new = now.iter().filter(|stranger| !old.contains(stranger));
        let is_gone = |old: &&Stranger| !now.iter().any(|new| new.file == old.file);
        let gone = old.iter().filter(is_gone).map(|old| old.file.clone());
        let changes = (new.cloned().collect(), gone.collect());
        self.strangers = now.to_vec();
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::*;

    #[test]
    fn a_file_is_new_once_it_has_settled_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, mut known) = (Folder::new(dir.path().to_owned()), Known::default());
        let begun = Instant::now();
        let look = |known: &mut Known, at: Duration| {
            let looked = known.settled(&folder.look().unwrap(), begun + at);
            let of = |(stem, files): &(String, Option<Files>)| (stem.clone(), files.is_some());
            let seen: Vec<_> = looked.settled.iter().map(of).collect();
            for (stem, files) in looked.settled {
                known.remember(stem, files);
            }
            (seen, looked.again)
        };
        let ms = Duration::from_millis;
        let stars = |is_there| vec![("stars".to_owned(), is_there)];
        std::fs::write(dir.path().join("stars.wasm"), "1").unwrap();
        assert_eq!(look(&mut known, ms(0)), (vec![], Some(SETTLE)));
        assert_eq!(look(&mut known, ms(60)), (vec![], Some(ms(40))));
        std::fs::write(dir.path().join("stars.wasm"), "12").unwrap();
        std::fs::write(dir.path().join("other.wasm"), "").unwrap();
        assert_eq!(look(&mut known, ms(100)), (vec![], Some(SETTLE)));
        let (seen, again) = look(&mut known, ms(200));
        assert_eq!((seen.len(), again), (2, None));
        assert_eq!(look(&mut known, ms(300)), (vec![], None));

        std::fs::write(dir.path().join("stars.toml"), "").unwrap();
        assert_eq!(look(&mut known, ms(400)), (vec![], Some(SETTLE)));
        assert_eq!(look(&mut known, ms(500)), (stars(true), None));
        // Gone for a moment is not gone.
        let path = dir.path().join("stars.wasm");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut known, ms(600)), (vec![], Some(SETTLE)));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(look(&mut known, ms(650)), (vec![], Some(SETTLE)));
        assert_eq!(look(&mut known, ms(750)), (stars(true), None));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut known, ms(800)), (vec![], Some(SETTLE)));
        assert_eq!(look(&mut known, ms(900)), (stars(false), None));
    }
}

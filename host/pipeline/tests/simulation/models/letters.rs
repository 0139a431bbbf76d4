//! The dead letters. A request for a retry is handed out once, and again when
//! nobody has answered it for long.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use qx_events::ports::{AfterEdit, DeadLetters, EditAnswer, Fence};
use qx_events::{DeadLetter, DeadReason, Digest, Edited, Fault, LetterFilter};
use tokio::time::Instant;
use uuid::Uuid;

use super::database::{Database, StoredLetter, Tried};
use crate::history::Effect;

/// A request that was handed out so long ago was taken by a host that died.
const UNANSWERED: Duration = Duration::from_secs(30);

fn is_meant(filter: &LetterFilter, letter: &DeadLetter) -> bool {
    (filter.ids.is_empty() || filter.ids.contains(&letter.id))
        && filter
            .component
            .as_ref()
            .is_none_or(|own| *own == letter.component)
        && filter
            .event_name
            .as_ref()
            .is_none_or(|own| own.matches(&letter.event_name))
        && filter.kind.is_none_or(|own| own == letter.reason.kind)
        && filter
            .tenant_id
            .is_none_or(|own| Some(own) == letter.tenant_id)
        && filter.failed_before.is_none_or(|at| letter.failed_at < at)
        && filter.failed_since.is_none_or(|at| letter.failed_at >= at)
        && filter
            .reason_text
            .as_ref()
            .is_none_or(|text| letter.reason.text.contains(text))
}

impl Database {
    /// A person asks for the retry of every letter.
    pub(crate) async fn request_all(&self) {
        let all = LetterFilter::default();
        self.request_retry(&all).await.unwrap();
    }

    async fn bury_within(&self, letter: &DeadLetter, fence: Option<&Fence>) -> Result<bool, Fault> {
        self.door.enter("write a dead letter").await?;
        {
            let mut tables = self.tables();
            if fence.is_some_and(|fence| !tables.has(fence)) {
                return Ok(false);
            }
            if letter
                .event_id
                .is_some_and(|id| tables.unburiable.contains(&id))
            {
                return Err(Fault::refusal("the letter is not legal"));
            }
            let mut stored = StoredLetter {
                letter: letter.clone(),
                requested: false,
                taken: None,
            };
            let known = tables.letters.get(&letter.id).map(|known| &known.letter);
            if let Some((body, edited)) =
                known.and_then(|own| Some((&own.body, own.edited.as_ref()?)))
            {
                stored.letter.body = body.clone();
                stored.letter.edited = Some(Edited {
                    original: letter.body.clone(),
                    at: edited.at,
                });
            }
            tables.letters.insert(letter.id, stored);
            if let Some(event) = letter.event_id {
                let dead = Tried {
                    attempts: letter.attempts,
                    dead: true,
                    ..Tried::default()
                };
                let mark = (letter.component.clone(), event);
                tables.attempts.insert(mark, dead);
            }
        }
        self.history.push(Effect::Buried {
            component: letter.component.to_string(),
            event: letter.event_id.map(|id| id.as_u128()),
            kind: letter.reason.kind,
            attempts: letter.attempts,
        });
        self.door.leave("write a dead letter").await?;
        Ok(true)
    }
}

#[async_trait]
impl DeadLetters for Database {
    async fn bury(&self, letter: &DeadLetter) -> Result<(), Fault> {
        self.bury_within(letter, None).await.map(drop)
    }

    async fn bury_fenced(&self, letter: &DeadLetter, fence: &Fence) -> Result<bool, Fault> {
        self.bury_within(letter, Some(fence)).await
    }

    async fn list(&self, filter: &LetterFilter, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        let tables = self.tables();
        let all = tables.letters.values().map(|stored| &stored.letter);
        let meant = all.filter(|letter| is_meant(filter, letter));
        Ok(meant.take(limit as usize).cloned().collect())
    }

    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        let mut tables = self.tables();
        let mut meant = 0;
        for stored in tables.letters.values_mut() {
            if is_meant(filter, &stored.letter) {
                stored.requested = true;
                stored.taken = None;
                meant += 1;
            }
        }
        Ok(meant)
    }

    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.door.enter("drop letters").await?;
        let dropped: Vec<Uuid> = {
            let mut tables = self.tables();
            let meant = tables
                .letters
                .values()
                .filter(|s| is_meant(filter, &s.letter));
            let ids: Vec<Uuid> = meant.map(|stored| stored.letter.id).collect();
            for id in &ids {
                tables.letters.remove(id);
            }
            ids
        };
        for letter in &dropped {
            self.history.push(Effect::Removed { letter: *letter });
        }
        self.door.leave("drop letters").await?;
        Ok(dropped.len() as u64)
    }

    async fn take_requested(&self, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
        self.door.enter("take requests").await?;
        let mut tables = self.tables();
        let is_due = |stored: &&mut StoredLetter| {
            stored.requested && stored.taken.is_none_or(|at| at.elapsed() >= UNANSWERED)
        };
        let requested = tables.letters.values_mut().filter(is_due);
        let take = |stored: &mut StoredLetter| {
            stored.taken = Some(Instant::now());
            stored.letter.clone()
        };
        Ok(requested.take(limit as usize).map(take).collect())
    }

    async fn retry_failed(
        &self,
        id: Uuid,
        digest: Option<Digest>,
        reason: &DeadReason,
    ) -> Result<(), Fault> {
        self.door.enter("report a retry").await?;
        {
            let mut tables = self.tables();
            if tables.reports_lost > 0 {
                tables.reports_lost -= 1;
                return Err(Fault::transient("report a retry", "nobody there"));
            }
            if let Some(stored) = tables.letters.get_mut(&id) {
                stored.requested = false;
                stored.letter.attempts += 1;
                stored.letter.digest = digest.or(stored.letter.digest);
                stored.letter.reason = reason.clone();
            }
        }
        self.history
            .push(Effect::Note(format!("retry of {id} failed: {reason}")));
        self.door.leave("report a retry").await
    }

    async fn edit(
        &self,
        id: Uuid,
        event_id: Uuid,
        body: &Bytes,
        then: AfterEdit,
    ) -> Result<EditAnswer, Fault> {
        let mut tables = self.tables();
        let Some(stored) = tables.letters.get_mut(&id) else {
            return Ok(EditAnswer::Gone);
        };
        if stored.taken.is_some_and(|at| at.elapsed() < UNANSWERED) {
            return Ok(EditAnswer::BeingRetried);
        }
        let letter = &mut stored.letter;
        let message = letter.edited.take().map(|edited| edited.original);
        letter.edited = Some(Edited {
            original: message.unwrap_or_else(|| letter.body.clone()),
            at: letter.failed_at,
        });
        letter.body = body.clone();
        letter.event_id = letter.event_id.or(Some(event_id));
        if then == AfterEdit::Retry {
            stored.requested = true;
            stored.taken = None;
        }
        Ok(EditAnswer::Done)
    }

    async fn count(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        let tables = self.tables();
        let all = tables.letters.values();
        Ok(all
            .filter(|stored| is_meant(filter, &stored.letter))
            .count() as u64)
    }
}

//! Where dead letters are kept, and from where they are retried.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::dead_letter::{DeadLetter, DeadReason, LetterFilter};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::ports::Fence;

/// What happens to a letter once it is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterEdit {
    /// It stays as it is.
    Keep,
    /// Its retry is requested, in the same commit.
    Retry,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditAnswer {
    /// The letter has the new body.
    Done,
    /// A host is calling the component with the letter now: nothing was changed.
    BeingRetried,
    /// There is no such letter any more.
    Gone,
}

/// The table `qx_dead_letters`.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Writes a letter. One with the same id is brought up to date instead: the
    /// message that leads here can come twice. The event is dead from then on, in
    /// the same commit: [`Ledger::known`](super::Ledger::known) says so, also when
    /// the letter is dropped. A body that a person has edited
    /// stays; beside it the original is brought up to date.
    async fn bury(&self, letter: &DeadLetter) -> Result<(), Fault>;

    /// The same, while the lease is held. `false`: somebody took it, and nothing was
    /// written. It cannot be taken while the letter is being written.
    async fn bury_fenced(&self, letter: &DeadLetter, fence: &Fence) -> Result<bool, Fault>;

    /// The letters that are meant, newest first, at most `limit`.
    async fn list(&self, filter: &LetterFilter, limit: u32) -> Result<Vec<DeadLetter>, Fault>;

    /// Asks the host to call the component again with these; returns how many.
    async fn request_retry(&self, filter: &LetterFilter) -> Result<u64, Fault>;

    /// Deletes these for good; returns how many.
    async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64, Fault>;

    /// Letters whose retry is requested, oldest request first. A letter is handed
    /// out once for each request: several hosts share the work. Again only when
    /// nobody has answered for long: whoever took it has died.
    async fn take_requested(&self, limit: u32) -> Result<Vec<DeadLetter>, Fault>;

    /// The retry failed: the letter stays, with one more attempt and this reason.
    async fn retry_failed(
        &self,
        id: Uuid,
        digest: Option<Digest>,
        reason: &DeadReason,
    ) -> Result<(), Fault>;

    /// Puts another body in the place of the letter's, for its next retry; the
    /// message's own is kept beside it. `event_id` is that of the new body: written
    /// down where the letter had none.
    async fn edit(
        &self,
        id: Uuid,
        event_id: Uuid,
        body: &Bytes,
        then: AfterEdit,
    ) -> Result<EditAnswer, Fault>;

    /// How many are meant.
    async fn count(&self, filter: &LetterFilter) -> Result<u64, Fault>;
}

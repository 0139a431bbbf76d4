//! Where dead letters are kept, and from where they are retried.

use async_trait::async_trait;
use uuid::Uuid;

use crate::dead_letter::{DeadLetter, DeadReason, LetterFilter};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::ports::Fence;

/// The table `qx_dead_letters`.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Writes a letter. One with the same id is brought up to date instead: the
    /// message that leads here can come twice. The event is dead from then on, in
    /// the same commit: [`Ledger::known`](super::Ledger::known) says so, also when
    /// the letter is dropped.
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

    /// How many there are.
    async fn count(&self) -> Result<u64, Fault>;
}

//! The slots of the process, and the instances that are kept in them between calls.
//!
//! Every instance holds one slot, during a call and between two. Who needs a slot
//! when none is free gets that of the instance that was kept longest, so what is
//! kept is in nobody's way. Never: knows what an instance is, or runs one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::life::Retired;

/// How often what was kept too long is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What can be kept.
pub(crate) trait Keep: Send + 'static {
    /// It is over.
    fn retire(self, because: Retired);
}

/// The right to have an instance.
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

/// One build of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u64);

/// Whose events an instance may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenancy {
    /// Everybody's.
    All,
    /// This tenant's, or those that belong to none.
    Only(Option<Uuid>),
}

/// Which calls an instance is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) owner: Owner,
    pub(crate) tenancy: Tenancy,
}

/// On which terms it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Instances of its owner that are kept at once.
    pub(crate) instances: usize,
    /// Its memory.
    pub(crate) bytes: usize,
    /// Not longer than this.
    pub(crate) until: Instant,
}

/// All slots.
pub(crate) struct Slots<T> {
    free: Arc<Semaphore>,
    shelf: Mutex<Shelf<T>>,
    owners: AtomicU64,
}

struct Shelf<T> {
    /// Most memory that is kept in all.
    bytes_max: usize,
    bytes: usize,
    /// Calls that wait for a slot: nothing is kept while there are any.
    waiting: usize,
    /// What was kept longest comes first.
    kept: Vec<Kept<T>>,
}

struct Kept<T> {
    what: T, // Goes before its slot.
    slot: Slot,
    used_for: Use,
    terms: Terms,
}

impl<T: Keep> Slots<T> {
    /// So many slots. What is kept has no more memory than this, taken together.
    pub(crate) fn new(slots: u32, bytes_max: usize) -> Self {
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))),
            shelf: Mutex::new(Shelf {
                bytes_max,
                bytes: 0,
                waiting: 0,
                kept: Vec::new(),
            }),
            owners: AtomicU64::new(0),
        }
    }

    /// A name for a build that was loaded.
    pub(crate) fn owner(&self) -> Owner {
        Owner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// A slot: a free one, else that of what was kept longest, else the next.
    pub(crate) async fn slot(&self) -> Slot {
        let _waits = match self.slot_or_place_in_line() {
            Ok(slot) => return slot,
            Err(waits) => waits,
        };
        // The semaphore is never closed.
        Slot {
            _permit: Arc::clone(&self.free).acquire_owned().await.ok(),
        }
    }

    fn slot_or_place_in_line(&self) -> Result<Slot, Waits<'_, T>> {
        let mut inside = self.shelf();
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Slot {
                _permit: Some(permit),
            });
        }
        if inside.kept.is_empty() {
            inside.waiting += 1;
            return Err(Waits(self));
        }
        let oldest = inside.remove_at(0);
        drop(inside);
        oldest.what.retire(Retired::Room);
        Ok(oldest.slot)
    }

    /// What was kept last for such a call, with its slot.
    pub(crate) fn take(&self, used_for: Use, now: Instant) -> Option<(T, Slot)> {
        let mut inside = self.shelf();
        let fits = |kept: &Kept<T>| kept.used_for == used_for && kept.terms.until > now;
        let newest = inside.kept.iter().rposition(fits)?;
        let kept = inside.remove_at(newest);
        Some((kept.what, kept.slot))
    }

    /// Keeps it for the next such call; unless somebody waits for its slot.
    pub(crate) fn keep(&self, (what, slot): (T, Slot), used_for: Use, terms: Terms) {
        let kept = Kept {
            what,
            slot,
            used_for,
            terms,
        };
        let gone = self.shelf().put(kept);
        retire(gone, Retired::Room);
    }

    /// Nothing of this build is kept any longer.
    pub(crate) fn forget(&self, owner: Owner) {
        let gone = self.shelf().remove(|kept| kept.used_for.owner == owner);
        retire(gone, Retired::Rest);
    }

    /// Whatever was kept long enough goes.
    pub(crate) fn sweep(&self, now: Instant) {
        let gone = self.shelf().remove(|kept| kept.terms.until <= now);
        retire(gone, Retired::Idle);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shelf<T> {
    /// Returns what has to go for it, which may be itself.
    fn put(&mut self, kept: Kept<T>) -> Vec<Kept<T>> {
        if self.waiting > 0 {
            return vec![kept];
        }
        let (owner, most) = (kept.used_for.owner, kept.terms.instances);
        self.bytes = self.bytes.saturating_add(kept.terms.bytes);
        self.kept.push(kept);
        let is_own = |kept: &Kept<T>| kept.used_for.owner == owner;
        let mut gone = Vec::new();
        if self.kept.iter().filter(|kept| is_own(kept)).count() > most {
            let oldest = self.kept.iter().position(is_own);
            gone.extend(oldest.map(|oldest| self.remove_at(oldest)));
        }
        while self.bytes > self.bytes_max && !self.kept.is_empty() {
            gone.push(self.remove_at(0));
        }
        gone
    }

    fn remove_at(&mut self, index: usize) -> Kept<T> {
        let kept = self.kept.remove(index);
        self.bytes = self.bytes.saturating_sub(kept.terms.bytes);
        kept
    }

    fn remove(&mut self, is_over: impl Fn(&Kept<T>) -> bool) -> Vec<Kept<T>> {
        let gone: Vec<_> = self.kept.extract_if(.., |kept| is_over(kept)).collect();
        let bytes: usize = gone.iter().map(|kept| kept.terms.bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        gone
    }
}

/// Outside of the lock: an instance's memory takes a while to give back.
fn retire<T: Keep>(gone: Vec<Kept<T>>, because: Retired) {
    for kept in gone {
        kept.what.retire(because);
        drop(kept.slot);
    }
}

/// A place in the line of those that wait for a slot.
struct Waits<'s, T: Keep>(&'s Slots<T>);

impl<T: Keep> Drop for Waits<'_, T> {
    fn drop(&mut self) {
        self.0.shelf().waiting -= 1;
    }
}

/// Starts what looks for instances that were kept long enough: a thread, because the
/// runtime may be somebody else's. It ends with the slots.
pub(crate) fn start_sweeper<T: Keep>(slots: &Arc<Slots<T>>) -> std::io::Result<()> {
    let slots = Arc::downgrade(slots);
    std::thread::Builder::new()
        .name("qx-idle".to_owned())
        .spawn(move || {
            while let Some(slots) = slots.upgrade() {
                slots.sweep(Instant::now());
                drop(slots);
                #[expect(clippy::disallowed_methods, reason = "this thread is a clock")]
                std::thread::sleep(SWEEP);
            }
        })
        .map(|_| ())
}

#[cfg(test)]
mod tests;

//! How many of a component's messages are in hand at once, and which of them may be
//! called. Three bounds, one inside the other: calls that run, messages that have
//! yet to be called, and all that are not settled.
//!
//! What has been called and waits for its commit takes no call's place, so commits
//! can be large however few calls run. And a little is fetched ahead of the calls: what
//! will be begun within milliseconds, by what calls took so far. Of slow ones nothing
//! is, so that another host can take it. Never: a message without a place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages that wait for their call, at most: what one host keeps from the others
/// when calls turn slow all at once.
const AHEAD_MAX: usize = 256;
/// What is fetched ahead begins within this time, as calls have gone so far.
const AHEAD: Duration = Duration::from_millis(20);
/// Bytes of bodies that are fetched ahead.
const AHEAD_BYTES_MAX: u64 = 16 << 20;
/// Messages that were called and are not settled: two full groups of commits.
const SETTLING_MAX: usize = 1_024;
/// Weight of the newest in an average, as a shift: one eighth.
const NEWEST: u32 = 3;

/// Messages that one host may have in hand of a component with this concurrency.
pub(crate) const fn in_hand_max(concurrency: usize) -> usize {
    concurrency + AHEAD_MAX + SETTLING_MAX
}

/// The room of one component in this process.
pub(super) struct Room {
    concurrency: usize,
    /// Not settled.
    whole: Arc<Semaphore>,
    /// Not called yet, or in a call.
    starts: Arc<Semaphore>,
    /// In a call.
    pub(super) calls: Arc<Semaphore>,
    average: Average,
}

/// What calls took and bodies weighed, smoothed. Racing updates may be lost.
#[derive(Debug)]
struct Average {
    call_ns: AtomicU64,
    body_bytes: AtomicU64,
}

/// Nobody was called yet.
const UNKNOWN: u64 = u64::MAX;

impl Average {
    fn called(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(UNKNOWN - 1);
        blend(&self.call_ns, took);
    }

    /// Messages that are worth being fetched before there is a call for them.
    fn ahead(&self, concurrency: usize) -> usize {
        let call_ns = self.call_ns.load(Ordering::Relaxed);
        if call_ns == UNKNOWN {
            return 0;
        }
        let each = u64::try_from(AHEAD.as_nanos()).unwrap_or(0) / call_ns.max(1);
        let begun = usize::try_from(each).unwrap_or(usize::MAX);
        let by_time = begun.saturating_mul(concurrency);
        let by_bytes = AHEAD_BYTES_MAX / self.body_bytes.load(Ordering::Relaxed).max(1);
        let by_bytes = usize::try_from(by_bytes).unwrap_or(usize::MAX);
        by_time.min(by_bytes).min(AHEAD_MAX)
    }
}

fn blend(average: &AtomicU64, newest: u64) {
    let before = average.load(Ordering::Relaxed);
    let next = if before == UNKNOWN {
        newest
    } else {
        before - (before >> NEWEST) + (newest >> NEWEST)
    };
    average.store(next, Ordering::Relaxed);
}

impl Room {
    pub(super) fn new(concurrency: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            concurrency,
            whole: semaphore(in_hand_max(concurrency)),
            starts: semaphore(concurrency + AHEAD_MAX),
            calls: semaphore(concurrency),
            average: Average {
                call_ns: AtomicU64::new(UNKNOWN),
                body_bytes: AtomicU64::new(UNKNOWN),
            },
        }
    }

    /// Waits for places, and takes those that are free: at least one, and where messages
    /// are fetched ahead a good part of them, so that one request brings many.
    pub(super) async fn free(&self) -> Option<Places> {
        let ahead = self.average.ahead(self.concurrency);
        let kept_back = AHEAD_MAX - ahead;
        let least = kept_back + 1 + ahead / 4;
        let all = acquire(&self.starts, least).await?;
        let mut starts = grown(&self.starts, all, self.concurrency + AHEAD_MAX);
        drop(starts.split(kept_back));
        let first = acquire(&self.whole, 1).await?;
        let whole = grown(&self.whole, first, starts.num_permits());
        Some(Places {
            whole,
            starts,
            is_probe: false,
        })
    }

    /// One place, once nothing else is in hand.
    pub(super) async fn only(&self) -> Option<Places> {
        let mut whole = acquire(&self.whole, in_hand_max(self.concurrency)).await?;
        let mut starts = acquire(&self.starts, 1).await?;
        let (whole, starts, is_probe) = (whole.split(1)?, starts.split(1)?, true);
        Some(Places {
            whole,
            starts,
            is_probe,
        })
    }

    /// A message of this size has come.
    pub(super) fn came(&self, bytes: usize) {
        blend(&self.average.body_bytes, bytes as u64);
    }
}

async fn acquire(of: &Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Arc::clone(of).acquire_many_owned(count).await.ok()
}

/// These, and those that are free beside them, up to so many in all.
fn grown(
    of: &Arc<Semaphore>,
    mut these: OwnedSemaphorePermit,
    most: usize,
) -> OwnedSemaphorePermit {
    let more = most
        .saturating_sub(these.num_permits())
        .min(of.available_permits());
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    if let Ok(more) = Arc::clone(of).try_acquire_many_owned(more) {
        these.merge(more);
    }
    these
}

/// Places that are free, for messages that will be fetched.
pub(super) struct Places {
    whole: OwnedSemaphorePermit,
    starts: OwnedSemaphorePermit,
    is_probe: bool,
}

impl Places {
    pub(super) fn count(&self) -> usize {
        self.whole.num_permits().min(self.starts.num_permits())
    }

    /// One of them.
    pub(super) fn take(&mut self, room: &Arc<Room>) -> Option<Place> {
        let (whole, start) = (self.whole.split(1)?, self.starts.split(1)?);
        Some(Place {
            room: Arc::clone(room),
            _whole: whole,
            start: Mutex::new(Some(start)),
            is_probe: self.is_probe,
        })
    }
}

/// The place of one message, until it is settled.
pub(crate) struct Place {
    room: Arc<Room>,
    _whole: OwnedSemaphorePermit,
    /// Given back when its call has ended.
    start: Mutex<Option<OwnedSemaphorePermit>>,
    is_probe: bool,
}

impl Place {
    /// Whether it is the one that a component is tried with whose calls fail.
    pub(crate) const fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The right to call, for as long as it is held.
    pub(crate) async fn call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room.calls).acquire_owned().await.ok()
    }

    /// Its call has ended: another message may come in its place.
    pub(crate) fn called(&self, took: Duration) {
        self.room.average.called(took);
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        drop(start.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(calls: &[Duration], bytes: u64) -> Average {
        let average = Average {
            call_ns: AtomicU64::new(UNKNOWN),
            body_bytes: AtomicU64::new(bytes),
        };
        for took in calls {
            average.called(*took);
        }
        average
    }

    #[test]
    fn as_much_is_fetched_ahead_as_will_be_called_within_milliseconds() {
        let ms = Duration::from_millis;
        for (calls, bytes, concurrency, ahead) in [
            (&[][..], 500, 16, 0),
            (&[ms(0)], 500, 16, AHEAD_MAX),
            (&[Duration::from_micros(50)], 500, 1, AHEAD_MAX),
            (&[ms(1)], 500, 4, 80),
            (&[ms(10)], 500, 4, 8),
            (&[ms(21)], 500, 512, 0),
            (&[ms(5_000)], 500, 16, 0),
            // Of large messages fewer, whatever calls take.
            (&[ms(0)], 256 << 10, 16, 64),
        ] {
            let found = after(calls, bytes).ahead(concurrency);
            assert_eq!(found, ahead, "{calls:?} {bytes} {concurrency}");
        }
    }

    #[test]
    fn calls_that_turn_slow_end_the_reading_ahead_within_a_few() {
        let fast = vec![Duration::from_micros(30); 1_000];
        let mut calls = fast;
        calls.extend([Duration::from_secs(2); 1]);
        assert_eq!(after(&calls, 500).ahead(16), 0);
    }

    #[tokio::test]
    async fn what_was_called_makes_room_for_the_next_before_it_is_settled() {
        let room = Arc::new(Room::new(2));
        let mut places = room.free().await.unwrap();
        assert_eq!(places.count(), 2);
        let held = [places.take(&room).unwrap(), places.take(&room).unwrap()];
        drop(places);
        assert_eq!(room.starts.available_permits(), AHEAD_MAX);
        held[0].called(Duration::from_secs(1));
        assert_eq!(room.free().await.unwrap().count(), 1);
        drop(held);
        assert_eq!(room.free().await.unwrap().count(), 2);
        assert_eq!(room.only().await.unwrap().count(), 1);
    }
}

//! Care after a start: what a consumer is given first may be what its process died
//! of a moment ago, and a broker that forgot its counts does not say so.
//!
//! What was in hand at a death is never more than may be in flight, and comes again
//! within the acknowledgement wait. So that many calls are recorded before they
//! begin, for that long; it costs a statement for each group of them. Later deaths
//! are found by the broker's count, or after the next start.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qx_events::Care;
use qx_events::ports::Subscription;
use tokio::time::Instant;

/// Acknowledgement waits after the start in which care is taken: one for what was
/// in hand, one for a broker that starts at the same time.
const WAITS: u32 = 2;

/// Whether a consumer is fresh.
pub(super) struct Fresh {
    left: AtomicUsize,
    begun: Instant,
    lasts: Duration,
}

impl Fresh {
    pub(super) fn new(subscription: &Subscription) -> Self {
        Self {
            left: AtomicUsize::new(subscription.in_flight_max),
            begun: Instant::now(),
            lasts: subscription.ack_wait * WAITS,
        }
    }

    /// The care for one more delivery.
    pub(super) fn next(&self) -> Care {
        let left = &self.left;
        if left.load(Ordering::Relaxed) == 0 {
            return Care::Ordinary;
        }
        if self.begun.elapsed() > self.lasts {
            left.store(0, Ordering::Relaxed);
            return Care::Ordinary;
        }
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.map_or(Care::Ordinary, |_| Care::Fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qx_events::{ComponentName, StartFrom};

    fn fresh(in_flight_max: usize) -> Fresh {
        Fresh::new(&Subscription {
            component: ComponentName::parse("a").unwrap(),
            patterns: Vec::new(),
            ack_wait: Duration::from_secs(30),
            in_flight_max,
            start: StartFrom::Beginning,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn care_is_taken_of_as_many_as_may_have_been_in_flight() {
        let fresh = fresh(2);
        let cares = [fresh.next(), fresh.next(), fresh.next()];
        assert_eq!(cares, [Care::Fresh, Care::Fresh, Care::Ordinary]);
    }

    #[tokio::test(start_paused = true)]
    async fn care_ends_when_what_was_in_hand_has_come_again() {
        let fresh = fresh(100);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(fresh.next(), Care::Fresh);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(fresh.next(), Care::Ordinary);
    }
}

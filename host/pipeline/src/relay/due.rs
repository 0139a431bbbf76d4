//! When to look for rows whose due time has come: when the next one that is known
//! is due, and now and then for those that came meanwhile. The rule is a
//! plain value; the time is a parameter.

use std::time::Duration;

use qx_events::Fault;
use qx_events::ports::{Due, Lease};
use tokio::time::Instant;

use super::{Held, Relay, RowOrder};

/// How often a busy relay looks for rows with a due time that came meanwhile: one
/// look at an index, so late a row can be whose time came at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of due times.
#[derive(Debug, Default)]
pub(super) struct DueTimes {
    looked_at: Option<Instant>,
    next: Option<Instant>,
}

impl DueTimes {
    /// Whether it is time to look.
    pub(super) fn is_to_be_looked_at(&self, now: Instant) -> bool {
        let a_while_ago = self.looked_at.is_none_or(|at| now >= at + LOOK_EVERY);
        a_while_ago || self.next.is_some_and(|next| now >= next)
    }

    /// It is like this.
    pub(super) fn saw(&mut self, due: Due, now: Instant) {
        self.looked_at = Some(now);
        // Farther away than a clock can tell: looked at again before.
        self.next = due.next.and_then(|next| now.checked_add(next));
    }

    /// When the next known one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// Whether there is anything to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nobody has looked, or there is.
    Perhaps,
    /// No row waits.
    Nothing,
}

impl Relay {
    /// Lets rows take their place whose due time has come: the one question of a pass
    /// over a quiet outbox. `None`: the lease has changed hands.
    pub(super) async fn come_due(
        &self,
        lease: Lease,
        held: &mut Option<Held>,
        due: &mut DueTimes,
    ) -> Result<Option<Waits>, Fault> {
        if !due.is_to_be_looked_at(Instant::now()) {
            return Ok(Some(Waits::Perhaps));
        }
        let Some(found) = self.outbox.come_due(lease, self.config.batch).await? else {
            self.deposed(held);
            return Ok(None);
        };
        due.saw(found, Instant::now());
        // A strict relay follows who is about to write, also while nothing waits.
        let may_rest = self.config.order == RowOrder::Eager;
        Ok(Some(if may_rest && !found.waits {
            Waits::Nothing
        } else {
            Waits::Perhaps
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_looked_for_when_the_next_is_due_and_now_and_then() {
        let now = Instant::now();
        let mut due = DueTimes::default();
        assert!(due.is_to_be_looked_at(now) && due.next().is_none());
        let soon = Duration::from_millis(30);
        let saw = |next| Due {
            next,
            ..Due::default()
        };
        due.saw(saw(Some(soon)), now);
        assert!(!due.is_to_be_looked_at(now));
        assert!(due.is_to_be_looked_at(now + soon));
        due.saw(saw(Some(Duration::MAX)), now);
        assert!(!due.is_to_be_looked_at(now + soon) && due.next().is_none());
        assert!(due.is_to_be_looked_at(now + LOOK_EVERY));
    }
}

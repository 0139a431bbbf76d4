//! A new build that is tried: how its calls and those beside it ended, and what
//! follows. The rule is a value of `qx-events`; what was found too bad once stays so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qx_events::canary::{Canary, Judgement, Side};
use qx_events::{Component, Outcome};
use tokio::time::Instant;

/// A build that gets a share of its component's events.
#[derive(Debug)]
pub struct Trial {
    canary: Arc<Component>,
    begun: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    calls: Canary,
    /// Stays at `RollBack`, however well what is in flight still ends.
    judgement: Judgement,
}

impl Trial {
    pub(super) fn new(canary: &Arc<Component>) -> Self {
        Self {
            canary: Arc::clone(canary),
            begun: Instant::now(),
            seen: Mutex::new(Seen {
                calls: Canary::default(),
                judgement: Judgement::Continue,
            }),
        }
    }

    /// The build.
    pub fn canary(&self) -> &Arc<Component> {
        &self.canary
    }

    /// How it did so far, and the build in service beside it.
    pub fn calls(&self) -> Canary {
        self.seen().calls
    }

    /// What follows now.
    pub fn judge(&self) -> Judgement {
        self.judge_again(&mut self.seen())
    }

    /// A first call ended. What follows now.
    pub(super) fn ended(&self, side: Side, outcome: &Outcome) -> Judgement {
        let mut seen = self.seen();
        seen.calls.on(side, outcome);
        self.judge_again(&mut seen)
    }

    fn judge_again(&self, seen: &mut Seen) -> Judgement {
        if !matches!(seen.judgement, Judgement::RollBack(_)) {
            let since: Duration = self.begun.elapsed();
            seen.judgement = seen.calls.judge(&self.canary.settings.canary, since);
        }
        seen.judgement
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

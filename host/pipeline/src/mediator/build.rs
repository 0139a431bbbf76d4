//! One build of a component: what runs on it, and until when it may, once it is
//! no longer in service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use qx_events::canary::{Judgement, Side};
use qx_events::{Component, Outcome};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::trial::Trial;

/// A build.
#[derive(Debug)]
pub(super) struct Build {
    component: Arc<Component>,
    in_flight: AtomicUsize,
    retired: CancellationToken,
    /// Set before `retired` is cancelled.
    deadline: OnceLock<Instant>,
}

impl Build {
    pub(super) fn new(component: &Arc<Component>) -> Self {
        Self {
            component: Arc::clone(component),
            in_flight: AtomicUsize::new(0),
            retired: CancellationToken::new(),
            deadline: OnceLock::new(),
        }
    }

    pub(super) fn component(&self) -> &Arc<Component> {
        &self.component
    }

    /// Whether it is this very component: the same bytes with other settings are
    /// another build.
    pub(super) fn is_of(&self, component: &Arc<Component>) -> bool {
        Arc::ptr_eq(&self.component, component)
    }

    /// Deliveries that have begun on it and not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// It is in service no longer: what has begun may go on for so long.
    pub(super) fn retire(&self, drain: Duration) {
        self.deadline.get_or_init(|| Instant::now() + drain);
        self.retired.cancel();
    }
}

/// A delivery that has begun on a build, for as long as it lasts.
pub(crate) struct Stay {
    build: Arc<Build>,
    side: Side,
    trial: Option<Arc<Trial>>,
}

impl Stay {
    pub(super) fn new(build: &Arc<Build>, side: Side, trial: Option<Arc<Trial>>) -> Self {
        build.in_flight.fetch_add(1, Ordering::Relaxed);
        let build = Arc::clone(build);
        Self { build, side, trial }
    }

    /// Returns when the build was replaced so long ago that it is to go on no longer.
    pub(crate) async fn overdue(&self) {
        self.build.retired.cancelled().await;
        if let Some(deadline) = self.build.deadline.get() {
            tokio::time::sleep_until(*deadline).await;
        }
    }

    /// Whether the build is one that is tried: what it does not handle is the other's.
    pub(crate) fn is_trial(&self) -> bool {
        self.side == Side::Canary
    }

    /// Tells the trial, if there is one, how a first call ended. Returns it with what
    /// follows, when that is something.
    pub(crate) fn ended(&self, outcome: &Outcome) -> Option<(&Arc<Trial>, Judgement)> {
        let trial = self.trial.as_ref()?;
        let judgement = trial.ended(self.side, outcome);
        (judgement != Judgement::Continue).then_some((trial, judgement))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.build.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

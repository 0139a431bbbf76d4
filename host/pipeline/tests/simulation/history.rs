//! What happened, in the order in which it happened: the one log that all models
//! write and all tests read.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qx_events::DeadReasonKind;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// What is seen in the effects that fit a pattern, in order.
macro_rules! seen {
    ($history:expr, $pattern:pat => $value:expr) => {
        $history.pick(|effect| {
            if let $pattern = effect {
                Some($value)
            } else {
                None
            }
        })
    };
}
pub(crate) use seen;

/// One effect on the outside, or one decision of the loops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Inserted {
        seq: i64,
        event: u128,
    },
    Leased {
        holder: String,
        token: i64,
    },
    Released {
        token: i64,
    },
    Taken {
        lease: String,
        holder: String,
        token: i64,
    },
    Polled,
    Stored {
        event: u128,
        duplicate: bool,
    },
    Marked {
        seq: i64,
        holder: String,
    },
    SetAside {
        seq: i64,
    },
    Forgotten {
        rows: u64,
    },
    CleanedUp {
        rows: u64,
    },
    Subscribed {
        component: String,
    },
    Resumed {
        component: String,
    },
    Delivered {
        component: String,
        message: u64,
        delivered: u32,
    },
    Called {
        component: String,
        build: u8,
        event: u128,
        attempt: u32,
    },
    Returned {
        component: String,
        event: u128,
    },
    Committed {
        component: String,
        event: u128,
        build: u8,
    },
    Fenced {
        component: String,
        event: u128,
    },
    Noted {
        component: String,
        event: u128,
        attempts: u32,
        begun: u32,
    },
    Conflict {
        component: String,
        event: u128,
    },
    Acked {
        component: String,
        message: u64,
    },
    Nacked {
        component: String,
        message: u64,
        after: Duration,
    },
    Beat {
        component: String,
        message: u64,
    },
    Termed {
        component: String,
        message: u64,
    },
    Buried {
        component: String,
        event: Option<u128>,
        kind: DeadReasonKind,
        attempts: u32,
    },
    Removed {
        letter: Uuid,
    },
    Killed {
        host: String,
    },
    Saw(String),
    Note(String),
}

/// An effect and when it happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) effect: Effect,
}

/// The log. Its clones are one.
#[derive(Clone)]
pub(crate) struct History {
    begun: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    grown: Arc<Notify>,
}

/// Virtual time after which a fact that has not come is taken to come never.
const NEVER: Duration = Duration::from_hours(4);

impl History {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            entries: Arc::default(),
            grown: Arc::default(),
        }
    }

    pub(crate) fn push(&self, effect: Effect) {
        let at = self.begun.elapsed();
        self.entries.lock().unwrap().push(Entry { at, effect });
        self.grown.notify_waiters();
    }

    /// Virtual time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Virtual time since then.
    pub(crate) fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// What `pick` makes of the entries, in order.
    pub(crate) fn pick<T>(&self, mut pick: impl FnMut(&Effect) -> Option<T>) -> Vec<T> {
        let entries = self.entries.lock().unwrap();
        entries.iter().filter_map(|e| pick(&e.effect)).collect()
    }

    pub(crate) fn count(&self, mut is: impl FnMut(&Effect) -> bool) -> usize {
        self.pick(|effect| is(effect).then_some(())).len()
    }

    /// When it happened, each time.
    pub(crate) fn times(&self, mut is: impl FnMut(&Effect) -> bool) -> Vec<Duration> {
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|entry| is(&entry.effect));
        found.map(|entry| entry.at).collect()
    }

    /// Waits until this is so; says what was seen when it never is.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + NEVER;
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            if is_so() {
                return;
            }
            let waited = tokio::time::timeout_at(end, grown).await;
            assert!(waited.is_ok() || is_so(), "never: {what}\n{self}");
        }
    }

    /// Waits until this has happened as often.
    pub(crate) async fn until_seen(&self, times: usize, is: impl Fn(&Effect) -> bool) {
        let seen = || self.count(&is) >= times;
        self.until(&format!("an effect was seen {times} times"), seen)
            .await;
    }

    /// These happened, in this order; others may lie between them.
    pub(crate) fn assert_order(&self, wanted: &[Effect]) {
        let mut rest = wanted.iter().peekable();
        for entry in self.entries() {
            if rest.peek().is_some_and(|next| **next == entry.effect) {
                rest.next();
            }
        }
        assert!(
            rest.peek().is_none(),
            "not in order: {:?}\n{self}",
            rest.peek()
        );
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.entries() {
            writeln!(f, "{:>10.3} s  {:?}", entry.at.as_secs_f64(), entry.effect)?;
        }
        Ok(())
    }
}

//! Where a guest's lines, and what its calls cost, go beside the host's own log:
//! for tests, and for the person at `qx-host dev`.

use std::fmt;
use std::time::Duration;

use qx_events::ComponentName;
use qx_events::ports::LogLine;
use uuid::Uuid;

use crate::life::Life;

/// Which call a line belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallId {
    /// The component.
    pub component: ComponentName,
    /// The event that it was handling.
    pub event_id: Uuid,
    /// For which time, from 1.
    pub attempt: u32,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} #{}", self.component, self.event_id, self.attempt)
    }
}

/// What a call used, its instance included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Time, host functions included; not that for which it waited for a slot.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// What is not known of a call that the host gave up on.
    pub counted: Option<Counted>,
}

/// The part of a cost that the instance knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Linear memory at its largest, in bytes.
    pub memory_bytes: usize,
    /// Steps, where the engine counts them: about one for each instruction, the
    /// same on every machine for the same component and the same event.
    pub fuel: Option<u64>,
}

/// Sees what a call does beside its outcome: every line that the guest logged,
/// within its limits, as it is logged; and every limit that it hit.
///
/// Called on the thread that runs the guest: what takes long here delays others.
pub trait LogSink: Send + Sync {
    /// One line.
    fn line(&self, call: &CallId, line: &LogLine);

    /// A limit that the call hit, by its word in `docs/limits.md`; once for each
    /// call. Not every one ends the call.
    fn limit(&self, call: &CallId, limit: &'static str) {
        let _ = (call, limit);
    }

    /// The call has ended, and this is what it used.
    fn ended(&self, call: &CallId, cost: &Cost) {
        let _ = (call, cost);
    }

    /// Something happened to an instance of a component that uses them again.
    fn instance(&self, component: &ComponentName, life: Life) {
        let _ = (component, life);
    }
}

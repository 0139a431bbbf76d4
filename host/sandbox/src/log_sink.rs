//! Where a guest's lines go beside the host's own log: for tests, and for the
//! person at `qx-host dev`.

use std::fmt;

use qx_events::ComponentName;
use qx_events::ports::LogLine;
use uuid::Uuid;

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
}

//! The one place where the host asks what time it is.

use chrono::{DateTime, Utc};
use qx_events::ports::Clock;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "everybody else takes a Clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

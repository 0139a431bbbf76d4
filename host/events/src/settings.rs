//! What an operator can set for one component, with defaults that are safe.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::breaker::BreakerPolicy;
use crate::canary::CanaryPolicy;
use crate::effects::Effects;
use crate::order::Order;
use crate::retry::RetryPolicy;
use crate::rights::Rights;
use crate::state::StateBounds;

/// Settings of one component, from its `<name>.toml` over the host's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Attempts and pauses.
    pub retry: RetryPolicy,
    /// When it is left alone because its calls fail.
    pub breaker: BreakerPolicy,
    /// How a new build of it is tried.
    pub canary: CanaryPolicy,
    /// Budget of one call.
    pub limits: Limits,
    /// Calls of this component that run at once.
    pub concurrency: usize,
    /// Whether events of one key follow each other.
    pub order: Order,
    /// Which handled events leave a mark in the inbox.
    pub inbox: Inbox,
    /// Where a component begins that has never run before.
    pub start: StartFrom,
    /// Whether its instances are used for more than one call; `None`: each call has
    /// one of its own.
    pub reuse: Option<Reuse>,
    /// What the guest reads through `config`.
    pub config: BTreeMap<String, String>,
    /// What it may do.
    pub rights: Rights,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            canary: CanaryPolicy::default(),
            limits: Limits::default(),
            concurrency: 16,
            order: Order::None,
            inbox: Inbox::Every,
            start: StartFrom::Beginning,
            reuse: None,
            config: BTreeMap::new(),
            rights: Rights::default(),
        }
    }
}

/// Which handled events leave a mark in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inbox {
    /// Every one: each is handled once, as far as the host can tell, and counted.
    #[default]
    Every,
    /// Those that changed something. What changes nothing is acknowledged without a
    /// commit: fast, and after a crash it may be called once more.
    Effects,
}

impl Inbox {
    /// Whether an event that was handled like this is committed with a mark.
    pub fn marks(self, effects: &Effects) -> bool {
        match self {
            Self::Every => true,
            Self::Effects => !effects.is_empty(),
        }
    }
}

/// Where on the stream a new component begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// With the oldest event the stream still has.
    #[default]
    Beginning,
    /// With events that arrive from now on.
    Now,
}

/// Within which bounds an instance is used again. Never after a call that trapped,
/// hit a limit, ran out of time or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Calls of one instance.
    pub uses: u32,
    /// An instance whose memory has grown past so many bytes is not used again.
    pub memory_bytes: usize,
    /// How long an instance is kept for the next call.
    pub idle: Duration,
    /// Instances of the component that are kept at once.
    pub instances: usize,
    /// Whether an instance serves every tenant, and not only the one of its first
    /// event.
    pub across_tenants: bool,
}

impl Reuse {
    /// What holds where a component's file asks for reuse and says nothing else.
    pub const fn of(limits: &Limits, concurrency: usize) -> Self {
        Self {
            uses: 1_000,
            // What is nearly full is made anew before it is, so that no event fails
            // of what the ones before it left behind.
            memory_bytes: limits.memory_bytes / 4 * 3,
            idle: Duration::from_mins(1),
            instances: concurrency,
            across_tenants: false,
        }
    }
}

/// Budget of one call, and of what all of them leave behind. What goes over it ends the
/// call, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of one call, host calls included.
    pub timeout: Duration,
    /// Processor time of one call: what waits uses none.
    pub cpu: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: usize,
    /// Calls of any import in one call of the handler.
    pub host_calls: u32,
    /// Lines of log in one call; more are dropped and counted.
    pub log_lines: u32,
    /// Bytes of one line of log; the rest is cut.
    pub log_line_bytes: usize,
    /// Bytes of all lines of one call; lines over it are dropped and counted.
    pub log_bytes: usize,
    /// Events emitted in one call.
    pub emitted_events: u32,
    /// Bytes of one emitted payload, of one value of state, and of what one request
    /// sends.
    pub value_bytes: usize,
    /// Requests over HTTP in one call.
    pub http_requests: u32,
    /// Bytes of the body of one answer.
    pub http_response_bytes: usize,
    /// What the component's state may hold, over all calls and tenants.
    pub state: StateBounds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            cpu: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            host_calls: 10_000,
            log_lines: 100,
            log_line_bytes: 4 << 10,
            log_bytes: 64 << 10,
            emitted_events: 100,
            value_bytes: 256 << 10,
            http_requests: 16,
            http_response_bytes: 1 << 20,
            state: StateBounds {
                keys: 1_000_000,
                bytes: 1 << 30,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::StateWrite;

    #[test]
    fn what_changed_something_is_marked_whatever_the_operator_asked_for() {
        let nothing = Effects::default();
        let something = Effects {
            writes: vec![StateWrite {
                key: "k".to_owned(),
                value: None,
            }],
            ..Effects::default()
        };
        for (inbox, effects, marks) in [
            (Inbox::Every, &nothing, true),
            (Inbox::Every, &something, true),
            (Inbox::Effects, &nothing, false),
            (Inbox::Effects, &something, true),
        ] {
            assert_eq!(inbox.marks(effects), marks, "{inbox:?}");
        }
    }
}

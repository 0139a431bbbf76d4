//! The named places where the process may die, so that a test can make it.
//!
//! In a release build this is nothing. In a debug build, which the tests use,
//! `QX_CRASH_AT=relay-1` (or `relay-1:3`, the third time round)
//! makes the process abort there, with no destructor run and nothing flushed.

macro_rules! windows {
    ($($(#[$doc:meta])* $window:ident = $name:literal,)+) => {
        /// Places to die in. A gap between two adjacent effects has a `CRASH WINDOW`
        /// comment where it lies; each has a test of its name in `tests/crash.rs`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Window {
            $($(#[$doc])* $window,)+
        }

        impl Window {
            #[cfg(debug_assertions)]
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$window => $name,)+
                }
            }
        }
    };
}

windows! {
    /// Rows read, nothing published.
    RelayRead = "relay-read",
    /// Published, not yet marked.
    Relay1 = "relay-1",
    /// Marked; nothing of the pass is left to do.
    RelayMarked = "relay-marked",
    /// A message taken, its handler not yet called.
    ConsumerTaken = "consumer-taken",
    /// The handler has returned, and nothing of it is committed.
    ConsumerCalled = "consumer-called",
    /// Committed, not yet acknowledged.
    Consumer1 = "consumer-1",
    /// Dead letter written, message not yet terminated.
    Consumer2 = "consumer-2",
    /// The end of an attempt noted, message not yet given back.
    Attempt1 = "attempt-1",
    /// The retry of a dead letter taken, not yet settled. The comment is where the
    /// request is taken, in the store.
    Retry1 = "retry-1",
    /// Settings put into the folder of components, the component not yet.
    Deploy1 = "deploy-1",
    /// A build in service, not yet in the history.
    Deploy2 = "deploy-2",
    /// A canary refused, its file still in the folder.
    Deploy3 = "deploy-3",
}

/// Dies here, if a test asked for it.
#[cfg(debug_assertions)]
pub fn point(window: Window) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSES: AtomicU32 = AtomicU32::new(0);

    let Ok(wanted) = std::env::var("QX_CRASH_AT") else {
        return;
    };
    let (name, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    let is_wanted = name == window.name();
    if is_wanted && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == nth.parse().unwrap_or(1) {
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_: Window) {}

/// Dies in the call of a handler with an event of the name in `QX_CRASH_ON`, or
/// with its id, if a test asked for it: an event that kills the host.
#[cfg(debug_assertions)]
pub(crate) fn handling(envelope: &qx_events::Envelope) {
    let Ok(poison) = std::env::var("QX_CRASH_ON") else {
        return;
    };
    if poison == envelope.event_name.as_str() || poison == envelope.event_id.to_string() {
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn handling(_: &qx_events::Envelope) {}

//! What one process of the daemon does.

/// Relay and consumer run side by side or in processes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Outbox to stream.
    pub relay: bool,
    /// Stream to handlers.
    pub consumer: bool,
}

impl Roles {
    /// Both.
    pub const ALL: Self = Self {
        relay: true,
        consumer: true,
    };

    /// Neither: components are loaded, and events reach them by
    /// [`Dispatcher::dispatch`](qx_pipeline::Dispatcher::dispatch) alone. No stream is
    /// opened; what handlers emit waits in the outbox for a relay.
    pub const IN_PROCESS: Self = Self {
        relay: false,
        consumer: false,
    };

    /// Whether events come from or go to a stream.
    pub(super) const fn needs_stream(self) -> bool {
        self.relay || self.consumer
    }

    /// Whether handlers are called.
    pub(super) const fn calls_handlers(self) -> bool {
        self.consumer || !self.relay
    }
}

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
}

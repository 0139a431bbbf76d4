//! What happens to instances of components that use them again: for whoever counts.
//!
//! An instance that serves one call and goes is not told of.

/// One thing that happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It was made, for a call.
    Made,
    /// It was used for one more call.
    Reused,
    /// It is gone.
    Retired(Retired),
}

/// Why an instance is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Its call trapped, hit a limit, ran out of time or was cancelled.
    Failed,
    /// It has served as many calls as one may.
    Uses,
    /// Its memory has grown past what is kept.
    Memory,
    /// It left handles open in one call after the other.
    Handles,
    /// No call came for it in time.
    Idle,
    /// Its slot was needed, or the component had as many as it may keep.
    Room,
    /// Its component was replaced, removed or paused.
    Rest,
}

impl Retired {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Uses,
        Self::Memory,
        Self::Handles,
        Self::Idle,
        Self::Room,
        Self::Rest,
    ];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Uses => "uses",
            Self::Memory => "memory",
            Self::Handles => "handles",
            Self::Idle => "idle",
            Self::Room => "room",
            Self::Rest => "rest",
        }
    }
}

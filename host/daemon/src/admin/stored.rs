//! How much state a component has, as it is listed.

use qx_events::{StateBounds, StateLimit, StateSize};
use serde::{Deserialize, Serialize};

/// Of what a component may have: from here on it is said aloud.
const NEARLY_FULL_PERCENT: u64 = 80;

/// How much state a component has over all tenants, and how much it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredView {
    /// Keys.
    pub keys: u64,
    /// The most that it may have.
    pub keys_max: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The most that it may have.
    pub bytes_max: u64,
}

impl StoredView {
    /// Of this much, within these bounds.
    pub const fn of(size: StateSize, bounds: StateBounds) -> Self {
        Self {
            keys: size.keys,
            keys_max: bounds.keys,
            bytes: size.bytes,
            bytes_max: bounds.bytes,
        }
    }

    /// The same bounds, with this much.
    #[must_use]
    pub const fn with(self, size: StateSize) -> Self {
        Self {
            keys: size.keys,
            bytes: size.bytes,
            ..self
        }
    }

    /// How much it is.
    pub const fn size(&self) -> StateSize {
        StateSize {
            keys: self.keys,
            bytes: self.bytes,
        }
    }

    /// On one line, for a person.
    pub fn line(&self) -> String {
        match self.keys {
            0 => "-".to_owned(),
            1 => format!("1 key, {} KiB", self.bytes.div_ceil(1 << 10)),
            keys => format!("{keys} keys, {} KiB", self.bytes.div_ceil(1 << 10)),
        }
    }

    /// What a person should know before it is full.
    pub fn warning(&self) -> Option<String> {
        let nearly = |of: u64, most: u64| {
            of > 0 && of.saturating_mul(100) >= most.saturating_mul(NEARLY_FULL_PERCENT)
        };
        let full = |of: u64, most, unit, limit| {
            nearly(of, most)
                .then(|| format!("its state has {of} of {most} {unit} (limits.{limit})"))
        };
        let keys = full(self.keys, self.keys_max, "keys", StateLimit::Keys);
        keys.or_else(|| full(self.bytes, self.bytes_max, "bytes", StateLimit::Bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(keys: u64, bytes: u64) -> StoredView {
        let bounds = StateBounds {
            keys: 1_000,
            bytes: 1 << 20,
        };
        StoredView::of(StateSize { keys, bytes }, bounds)
    }

    #[test]
    fn what_is_nearly_full_is_said_with_its_limit() {
        assert_eq!(stored(799, 100).warning(), None);
        let keys = "its state has 800 of 1000 keys (limits.state_keys)";
        assert_eq!(stored(800, 100).warning().as_deref(), Some(keys));
        let bytes = "its state has 1000000 of 1048576 bytes (limits.state_mb)";
        assert_eq!(stored(1, 1_000_000).warning().as_deref(), Some(bytes));
        assert_eq!(stored(0, 0).line(), "-");
        assert_eq!(stored(2, 1_025).line(), "2 keys, 2 KiB");
    }
}

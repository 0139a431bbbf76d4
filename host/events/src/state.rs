//! How much state a component may have over all its calls, and who goes over it: the
//! rule that every ledger commits by.

use std::fmt;

/// How much there is: all tenants together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateSize {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateBounds {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// By how much something changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateGrowth {
    /// Keys more, or fewer.
    pub keys: i64,
    /// Bytes more, or fewer.
    pub bytes: i64,
}

/// Which of the two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateLimit {
    /// Keys.
    Keys,
    /// Bytes.
    Bytes,
}

/// There would be more than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overfull {
    /// Of what.
    pub limit: StateLimit,
    /// How much there would be.
    pub wanted: u64,
    /// How much there may be.
    pub most: u64,
}

impl StateSize {
    /// After this change. Never below nothing.
    #[must_use]
    pub const fn after(self, growth: StateGrowth) -> Self {
        Self {
            keys: self.keys.saturating_add_signed(growth.keys),
            bytes: self.bytes.saturating_add_signed(growth.bytes),
        }
    }
}

impl StateGrowth {
    /// Both changes.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            keys: self.keys.saturating_add(other.keys),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Whether it changes nothing.
    pub const fn is_none(self) -> bool {
        self.keys == 0 && self.bytes == 0
    }
}

impl StateBounds {
    /// As much as anybody likes.
    pub const NONE: Self = Self {
        keys: u64::MAX,
        bytes: u64::MAX,
    };

    /// The rule. What makes nothing more is never refused: where there is too much already,
    /// because a bound was lowered, it may still be changed and deleted. So of a change
    /// these bounds hold which it comes nearer to.
    #[must_use]
    pub const fn binding(self, growth: StateGrowth) -> Self {
        Self {
            keys: if growth.keys > 0 { self.keys } else { u64::MAX },
            bytes: if growth.bytes > 0 {
                self.bytes
            } else {
                u64::MAX
            },
        }
    }

    /// Whether a change may be made; `size` is what there is afterwards.
    pub fn check(self, size: StateSize, growth: StateGrowth) -> Result<(), Overfull> {
        let over = |limit, wanted: u64, most: u64| {
            (wanted > most).then_some(Overfull {
                limit,
                wanted,
                most,
            })
        };
        let binding = self.binding(growth);
        let keys = over(StateLimit::Keys, size.keys, binding.keys);
        let bytes = || over(StateLimit::Bytes, size.bytes, binding.bytes);
        keys.or_else(bytes).map_or(Ok(()), Err)
    }

    /// The smaller of each.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            keys: self.keys.min(other.keys),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

impl StateLimit {
    /// The word for it in metrics and dead letters, and its key in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "state_keys",
            Self::Bytes => "state_mb",
        }
    }
}

impl fmt::Display for StateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Overfull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            wanted,
            most,
        } = self;
        let unit = match limit {
            StateLimit::Keys => "keys",
            StateLimit::Bytes => "bytes",
        };
        write!(
            f,
            "{limit}: the component's state would have {wanted} {unit} and may have {most} (limits.{limit})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: StateBounds = StateBounds {
        keys: 10,
        bytes: 100,
    };

    fn check(size: (u64, u64), growth: (i64, i64)) -> Result<(), StateLimit> {
        let size = StateSize {
            keys: size.0,
            bytes: size.1,
        };
        let growth = StateGrowth {
            keys: growth.0,
            bytes: growth.1,
        };
        BOUNDS
            .check(size.after(growth), growth)
            .map_err(|over| over.limit)
    }

    #[test]
    fn what_grows_past_a_bound_is_refused_and_what_does_not_grow_is_not() {
        assert_eq!(check((9, 90), (1, 10)), Ok(()));
        assert_eq!(check((10, 90), (1, 1)), Err(StateLimit::Keys));
        assert_eq!(check((9, 99), (1, 2)), Err(StateLimit::Bytes));
        assert_eq!(check((9, 99), (0, 2)), Err(StateLimit::Bytes));
        // There is too much already.
        assert_eq!(check((20, 200), (0, 0)), Ok(()));
        assert_eq!(check((20, 200), (-1, -5)), Ok(()));
        assert_eq!(check((20, 200), (0, -1)), Ok(()));
        assert_eq!(check((20, 200), (-1, 5)), Err(StateLimit::Bytes));
    }

    #[test]
    fn the_words_name_the_limit_its_value_and_where_it_is_set() {
        let over = Overfull {
            limit: StateLimit::Bytes,
            wanted: 101,
            most: 100,
        };
        let expected = "state_mb: the component's state would have 101 bytes and may have 100 (limits.state_mb)";
        assert_eq!(over.to_string(), expected);
    }
}

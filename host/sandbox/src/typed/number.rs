//! Numbers of JSON as integers of WIT: exactly, or not at all.

use wasmtime::component::Val;

use super::plan::Int;

/// Integers that a float holds exactly: up to here a number such as `1e3` can stand
/// for one.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number as the reader of JSON hands it over.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// Below zero.
    Negative(i64),
    Positive(u64),
    /// With a fraction or an exponent, or beyond 64 bits.
    Float(f64),
}

impl Number {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float is the nearest there is"
    )]
    pub(super) const fn as_f64(self) -> f64 {
        match self {
            Self::Negative(number) => number as f64,
            Self::Positive(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// Exactly, or not at all.
    fn as_integer(self) -> Option<i128> {
        match self {
            Self::Negative(number) => Some(number.into()),
            Self::Positive(number) => Some(number.into()),
            Self::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => {
                #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
                let whole = number as i64;
                Some(whole.into())
            }
            Self::Float(_) => None,
        }
    }
}

/// The number as this integer; `None` where it is none or out of range.
pub(super) fn integer(int: Int, number: Number) -> Option<Val> {
    let whole = number.as_integer()?;
    match int {
        Int::S8 => whole.try_into().ok().map(Val::S8),
        Int::U8 => whole.try_into().ok().map(Val::U8),
        Int::S16 => whole.try_into().ok().map(Val::S16),
        Int::U16 => whole.try_into().ok().map(Val::U16),
        Int::S32 => whole.try_into().ok().map(Val::S32),
        Int::U32 => whole.try_into().ok().map(Val::U32),
        Int::S64 => whole.try_into().ok().map(Val::S64),
        Int::U64 => whole.try_into().ok().map(Val::U64),
    }
}

//! Lines for the component's log.
//!
//! The host cuts a line at 4 KiB and a call at 100 lines. A panic's message and
//! place become a line of level error by themselves.
//!
//! ```
//! # use qx_guest::prelude::*;
//! log::info!("{} stars", 3);
//! log::warn!("no stars");
//! ```

use std::fmt;

use crate::host;

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step.
    Trace,
    /// For the one who looks for a fault.
    Debug,
    /// What happened.
    Info,
    /// What should not be, and does no harm yet.
    Warn,
    /// What went wrong.
    Error,
}

/// Writes one line; the macros of this module are shorter.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(plain) => host::log(level, plain),
        None => host::log(level, &message.to_string()),
    }
}

macro_rules! levels {
    ($dollar:tt $($hidden:ident $name:ident $level:ident $what:literal),* $(,)?) => {$(
        #[doc = $what]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $hidden {
            ($dollar($dollar line:tt)+) => {
                $crate::log::write($crate::log::Level::$level, ::core::format_args!($dollar($dollar line)+))
            };
        }
        #[doc(inline)]
        pub use $hidden as $name;
    )*};
}
levels! { $
    __qx_log_trace trace Trace "Writes a line of level trace; takes what `format!` takes.",
    __qx_log_debug debug Debug "Writes a line of level debug; takes what `format!` takes.",
    __qx_log_info info Info "Writes a line of level info; takes what `format!` takes.",
    __qx_log_warn warn Warn "Writes a line of level warn; takes what `format!` takes.",
    __qx_log_error error Error "Writes a line of level error; takes what `format!` takes.",
}

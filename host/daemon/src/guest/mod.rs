//! What a handler's author needs on the way from nothing to a component: a
//! project, a toolchain, a build.
//!
//! Never: loads or runs a component, or installs anything that was not asked for.

pub mod compile;
mod encode;
pub mod scaffold;
pub mod toolchain;

//! What a handler's author needs on the way from nothing to a component: a
//! project, a toolchain, a build.
//!
//! Never: loads or runs a component, or installs anything outside the folder for
//! fetched tools that was not asked for.

pub mod compile;
mod contract;
mod encode;
pub mod project;
pub mod scaffold;
pub mod schema;
pub mod toolchain;
pub mod tools;

//! Contracts of the ports as suites: every adapter runs them against a fresh
//! world of its own. Only with the feature `contract`; never in a release.

pub mod stream;

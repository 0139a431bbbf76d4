//! The adapters against real databases: SQLite in a temporary folder, and a
//! private PostgreSQL server that the tests share.
//!
//! Never: a database of somebody else, a fixed port, or a test that is skipped
//! because the server is missing; it fails with the line that installs it.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod clean_up;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod migrating;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod split;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod straight;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod world;
#[cfg(test)]
mod writers;

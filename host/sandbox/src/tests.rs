//! The sandbox from outside: real components, built from text in the tests, loaded
//! and called through the port.

mod caching;
mod calls;
mod hostile;
mod limits;
mod loading;
mod monsters;
mod outside;
mod reuse;
mod texts;
mod typed;
mod wasi;
mod world;

//! The acceptance tests, one suite a file, in one binary: `cargo test -p acceptance --test suites crash::`
//! runs those of `crash.rs`.

mod amnesia;
mod brokers;
mod cli;
mod crash;
mod deploys;
mod dlq;
mod examples;
mod faults;
mod fleet;
mod guests;
mod hostile;
mod hot_load;
mod in_process;
mod languages;
mod later;
mod limits;
mod main_job;
mod notify;
mod ordered;
mod paused;
mod pausing;
mod poison;
mod reach;
mod relays;
mod scenarios;
mod shards;
mod signed;
mod soak;
mod sql;
mod swaps;
mod typed;
mod unserialised;
mod upgrade;
mod wire;
mod wires;

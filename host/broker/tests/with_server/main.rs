//! The adapter against a real nats-server, one private server a test.
//!
//! Never: a shared server, a fixed port, or a test that is skipped because the
//! program is missing; it fails with the line that installs it.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod consuming;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod credentials_file;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod making_the_stream;
#[cfg(test)]
mod order;
mod outages;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod world;

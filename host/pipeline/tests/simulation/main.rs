//! The real loops against models of the outside that misbehave, on a clock that
//! stands still unless everybody waits.
//!
//! The models keep the contracts that `qx_events::ports` writes down, and use
//! every freedom these leave: an acknowledgement is forgotten, an answer is lost,
//! a message comes twice, a process dies between any two effects. Never here: a
//! database, a broker, a guest, or a second of real waiting.
//!
//! `QX_SEED=17 cargo test -p qx-pipeline --test simulation mix` runs one seed,
//! `QX_SEEDS=10000` many.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod amnesia;
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod consumer_under_faults;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod history;
#[cfg(test)]
mod host;
#[cfg(test)]
mod mischief;
#[cfg(test)]
mod mix;
#[cfg(test)]
mod models;
#[cfg(test)]
mod order_mix;
#[cfg(test)]
mod ordered;
#[cfg(test)]
mod outbox_order;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod relays_together;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod stops_and_deaths;
#[cfg(test)]
mod swaps;
#[cfg(test)]
mod world;

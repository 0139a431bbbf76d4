//! Models of what the loops need from the outside, one file for each port.

pub(crate) mod broker;
pub(crate) mod database;
pub(crate) mod durable;
pub(crate) mod handler;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod letters;
pub(crate) mod outbox;
pub(crate) mod receipt;
pub(crate) mod source;
pub(crate) mod witness;

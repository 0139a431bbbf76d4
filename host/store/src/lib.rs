//! The SQL adapters: outbox, ledger and dead letters on PostgreSQL and SQLite,
//! the embedded stream on SQLite, the migrations, and the API for producers.
//!
//! The only crate that knows sqlx. Never: decides what a fault means for a
//! message, or what is tried again; that is the pipeline's.

mod attempts;
mod audit;
mod columns;
mod error;
mod expiry;
mod fault;
mod inbox;
mod letter;
mod letter_sql;
mod migrate;
mod postgres;
mod presumed;
pub mod producer;
mod record;
mod settlement;
mod sqlite;
mod store;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;

pub use audit::{Audit, ComponentAudit, EventAudit};
pub use error::StoreError;
pub use postgres::{Postgres, RoleFlaw, RoleReport, refused_by_its_text, sqlstate_is_the_hosts};
pub use settlement::Recount;
pub use sqlite::Sqlite;
pub use store::{IfMissing, Store, StoreConfig};
pub use stream::{ConsumerStatus, EmbeddedStream, StreamConfig, StreamStatus};

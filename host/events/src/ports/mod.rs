//! What the loops need from the outside, as traits. Each has a contract suite
//! that every adapter passes.
//!
//! Every request ends by itself: an adapter that gets no answer gives up after a
//! timeout of its own, with a transient fault. A future that is dropped half-way
//! has happened or has not, and leaves nothing locked.

mod dead_letters;
mod deployments;
mod handler;
mod http;
mod leases;
mod ledger;
mod outbox;
mod pauses;
mod secrets;
mod sql;
mod stream;

pub use dead_letters::{AfterEdit, DeadLetters, EditAnswer};
pub use deployments::{Action, Deployed, Deployment, Deployments, HISTORY_MAX, Refusal};
pub use handler::{Handler, Invocation, LogLevel, LogLine, StateReader};
pub use http::{Http, HttpError, HttpRequest, HttpResponse};
pub use leases::{Fence, HeldLease, Leases};
pub use ledger::{Ledger, Note, Settled, Settlement, StateAt, StateValue};
pub use outbox::{Due, Lease, OpenWriter, Outbox, OutboxStatus, PublishedRow, Writer, Writers};
pub use pauses::{Pause, Pauses};
pub use secrets::SecretSource;
pub use sql::{
    Answer, NoStatements, Sql, SqlBounds, SqlRefusal, SqlTransaction, SqlValue, Statement,
    Statements, Wants,
};
pub use stream::{
    Delivery, Lag, Published, Publisher, Receipt, Source, StoredAt, Stream, StreamState,
    Subscription,
};

use chrono::{DateTime, Utc};

/// Wall time, so that a test can own it.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

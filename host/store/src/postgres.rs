//! PostgreSQL: the pool, and the one way in which a call reaches the server.
//!
//! Every call is a short transaction, with timeouts. Through a pooler in
//! transaction mode it carries them itself, and nothing outlives it on the server,
//! no setting and no prepared statement. Where the connection is ours alone its
//! settings are made once, and a call of one statement is that statement.

mod attempts;
mod connect;
mod connections;
mod dead_letters;
mod deployments;
mod leases;
mod ledger;
mod locks;
mod outbox;
mod pauses;
mod sizes;
mod split;
mod sql;
mod straight;
mod writers;

use std::time::Duration;

use qx_events::Fault;
use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use tokio::time::error::Elapsed;

use crate::fault::{self, NoAnswer};
use connections::{Connections, Lent};
pub(crate) use outbox::Part;
pub use sql::{RoleFlaw, RoleReport, refused_by_its_text, sqlstate_is_the_hosts};

/// Longest that one statement of a call may run, and wait for a lock. A healthy
/// one takes milliseconds; the rest is for a server that is busy with others.
///
/// Every statement of a call is served by an index. The planner is told so, as
/// it plans for the tables as they are at first: small, and without statistics.
const BEGIN_CALL: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; \
    SET LOCAL enable_seqscan = off; SET LOCAL jit = off";
/// The same for a connection that nobody else uses in between. Made for each call
/// they cost the server more than an ordinary call itself.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; \
    SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '20s'; \
    SET enable_seqscan = off; SET jit = off";
/// Begins a call where the settings are made.
const BEGIN: &str = "BEGIN";
/// Longest that a whole call may take, as seen from here: a server or a network
/// that went silent sends no timeout of its own.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// The same for reports that read whole tables.
const BEGIN_REPORT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; SET LOCAL enable_seqscan = on";
/// The same for a change of the tables' shape. Waits for those who use them, but not
/// for long: waiting, it stands before every new producer.
const BEGIN_CHANGE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '600s'; SET LOCAL lock_timeout = '30s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; SET LOCAL enable_seqscan = on";
/// See `BEGIN_CHANGE`: an index over all rows that are kept.
const CHANGE_TIME_MAX: Duration = Duration::from_mins(11);
/// See `BEGIN_REPORT`.
const REPORT_TIME_MAX: Duration = Duration::from_secs(150);

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statements {
    /// Prepared once for each connection.
    Prepared,
    /// Prepared anew within each transaction, and forgotten with it.
    Unnamed,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// As long as a call of a port.
    Call,
    /// As long as a report; sees one moment of all tables.
    Report,
    /// As long as it takes to make an index.
    Change,
}

impl Patience {
    const fn bounds(self, statements: Statements) -> (&'static str, Duration) {
        match (self, statements) {
            (Self::Call, Statements::Prepared) => (BEGIN, CALL_TIME_MAX),
            (Self::Call, Statements::Unnamed) => (BEGIN_CALL, CALL_TIME_MAX),
            (Self::Report, _) => (BEGIN_REPORT, REPORT_TIME_MAX),
            (Self::Change, _) => (BEGIN_CHANGE, CHANGE_TIME_MAX),
        }
    }
}

/// Outbox, ledger and dead letters on PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    connections: Connections,
    statements: Statements,
    server: String,
    user: String,
    tight: sizes::Tight,
    luck: straight::Luck,
}

/// A call's transaction.
pub(crate) struct Session<'c> {
    conn: &'c mut PgConnection,
    statements: Statements,
}

impl Session<'_> {
    /// A statement, to be bound and run on `conn`.
    pub(crate) fn sql(&self, text: &'static str) -> Query<'static, sqlx::Postgres, PgArguments> {
        sqlx::query(text).persistent(self.statements == Statements::Prepared)
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }
}

impl Postgres {
    /// Runs `work` in a transaction and commits it.
    pub(crate) async fn call<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        self.patient_call(Patience::Call, doing, work).await
    }

    /// Runs `work`, which is one statement, and so a transaction by itself: one way
    /// to the server and back in place of three.
    pub(crate) async fn statement<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        if self.statements == Statements::Unnamed {
            return self.call(doing, work).await;
        }
        let lent = self.connections.lend().await;
        let mut lent = lent.map_err(|error| fault::postgres(doing, error))?;
        let mut session = Session {
            conn: lent.connection(),
            statements: self.statements,
        };
        let answer = tokio::time::timeout(CALL_TIME_MAX, work(&mut session)).await;
        ended(lent, doing, CALL_TIME_MAX, answer)
    }

    /// The same as [`call`](Self::call), with another bound.
    pub(crate) async fn patient_call<T>(
        &self,
        patience: Patience,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let (begin, time_max) = patience.bounds(self.statements);
        let lent = self.connections.lend().await;
        let mut lent = lent.map_err(|error| fault::postgres(doing, error))?;
        let whole = async {
            let mut tx = lent.connection().begin_with(begin).await?;
            let mut session = Session {
                conn: &mut tx,
                statements: self.statements,
            };
            let answer = work(&mut session).await?;
            tx.commit().await?;
            Ok(answer)
        };
        let answer = tokio::time::timeout(time_max, whole).await;
        ended(lent, doing, time_max, answer)
    }

    /// Closes the connections; calls that run are finished first.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

/// What a call came to, and what becomes of its connection.
fn ended<T>(
    lent: Lent<'_>,
    doing: &'static str,
    time_max: Duration,
    answer: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, Fault> {
    match answer {
        Ok(Ok(answer)) => {
            lent.keep();
            Ok(answer)
        }
        Ok(Err(error)) => Err(fault::postgres(doing, error)),
        Err(_elapsed) => {
            lent.abandon();
            Err(Fault::transient(doing, NoAnswer(time_max)))
        }
    }
}

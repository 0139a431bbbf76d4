//! PostgreSQL: the pool, and the one way in which a call reaches the server.
//!
//! Every call is a short transaction that carries its own timeouts. Nothing
//! outlives it on the server, no setting and (through a pooler) no prepared
//! statement, so that a pooler in transaction mode may stand in between.

mod attempts;
mod connect;
mod dead_letters;
mod leases;
mod ledger;
mod locks;
mod outbox;

use std::time::Duration;

use qx_events::Fault;
use sqlx::postgres::{PgArguments, PgConnection, PgPool};
use sqlx::query::Query;
use sqlx::{Connection, Transaction};

use crate::fault::{self, NoAnswer};

/// Longest that one statement of a call may run, and wait for a lock. A healthy
/// one takes milliseconds; the rest is for a server that is busy with others.
///
/// Every statement of a call is served by an index. The planner is told so, as
/// it plans for the tables as they are at first: small, and without statistics.
const BEGIN_CALL: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; \
    SET LOCAL enable_seqscan = off; SET LOCAL jit = off";
/// Longest that a whole call may take, as seen from here: a server or a network
/// that went silent sends no timeout of its own.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// The same for reports that read whole tables.
const BEGIN_REPORT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'";
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
}

impl Patience {
    const fn bounds(self) -> (&'static str, Duration) {
        match self {
            Self::Call => (BEGIN_CALL, CALL_TIME_MAX),
            Self::Report => (BEGIN_REPORT, REPORT_TIME_MAX),
        }
    }
}

/// Outbox, ledger and dead letters on PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    statements: Statements,
    server: String,
    user: String,
}

/// A call's transaction.
pub(crate) struct Session<'c> {
    tx: Transaction<'c, sqlx::Postgres>,
    statements: Statements,
}

impl Session<'_> {
    /// A statement, to be bound and run on `conn`.
    pub(crate) fn sql(&self, text: &'static str) -> Query<'static, sqlx::Postgres, PgArguments> {
        sqlx::query(text).persistent(self.statements == Statements::Prepared)
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
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

    /// The same, with another bound.
    pub(crate) async fn patient_call<T>(
        &self,
        patience: Patience,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let (begin, time_max) = patience.bounds();
        let acquired = self.pool.acquire().await;
        let mut conn = acquired.map_err(|error| fault::postgres(doing, error))?;
        let statements = self.statements;
        let whole = async {
            let tx = conn.begin_with(begin).await?;
            let mut session = Session { tx, statements };
            let answer = work(&mut session).await?;
            session.tx.commit().await?;
            Ok(answer)
        };
        match tokio::time::timeout(time_max, whole).await {
            Ok(answer) => answer.map_err(|error| fault::postgres(doing, error)),
            Err(_elapsed) => {
                // Its answer may still come: nobody else may read it.
                drop(conn.detach());
                Err(Fault::transient(doing, NoAnswer(time_max)))
            }
        }
    }

    /// Closes the pool; calls that run are finished first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

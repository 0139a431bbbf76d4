//! The statements of one call: the first one begins its transaction, which waits here
//! until the call has ended, for the dispatcher to settle or to drop.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use qx_events::ports::{Answer, Sql, SqlBounds, SqlRefusal, SqlTransaction, Statement, Statements};
use qx_events::{Component, Fault, Outcome};
use tokio::time::Instant;

/// Where a call's statements go.
pub(super) struct CallSql {
    sql: Option<Arc<dyn Sql>>,
    role: Option<String>,
    bounds: SqlBounds,
    transaction: Mutex<Slot>,
}

/// A call's transaction, between two statements.
enum Slot {
    /// It asked for none so far.
    Unused,
    /// It is open.
    Open(Box<dyn SqlTransaction>),
    /// It was lost: with a fault, or in the middle of a statement.
    Lost,
}

impl CallSql {
    pub(super) fn of(component: &Component, sql: Option<&Arc<dyn Sql>>) -> Self {
        Self {
            sql: sql.cloned(),
            role: component.settings.rights.sql.clone(),
            bounds: SqlBounds::of(&component.settings.limits),
            transaction: Mutex::new(Slot::Unused),
        }
    }

    /// What the call comes to, with what it put off to the end: a constraint that does
    /// not hold is an attempt that failed. Then the transaction, if there is one.
    pub(super) async fn end(&self, outcome: Outcome) -> (Outcome, Option<Box<dyn SqlTransaction>>) {
        let (Slot::Open(mut transaction), Outcome::Done(_)) = (self.take(), &outcome) else {
            return (outcome, None);
        };
        match transaction.finish().await {
            Ok(Ok(())) => (outcome, Some(transaction)),
            Ok(Err(refusal)) => {
                let retry = Outcome::Retry {
                    reason: format!("sql, at the end of the call: {refusal}"),
                    after: None,
                };
                (retry, None)
            }
            Err(fault) => (Outcome::HostFault(fault), None),
        }
    }

    async fn begin(&self) -> Result<Box<dyn SqlTransaction>, Fault> {
        // Who has no role was not loaded.
        let (Some(sql), Some(role)) = (&self.sql, &self.role) else {
            return Err(Fault::refusal(
                "run a statement of a component that has no role in a database",
            ));
        };
        sql.begin(role, self.bounds).await
    }

    fn take(&self) -> Slot {
        let slot = self.transaction.lock();
        std::mem::replace(
            &mut *slot.unwrap_or_else(PoisonError::into_inner),
            Slot::Lost,
        )
    }

    fn put(&self, transaction: Box<dyn SqlTransaction>) {
        let slot = self.transaction.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = Slot::Open(transaction);
    }
}

#[async_trait]
impl Statements for CallSql {
    async fn run(&self, mut statement: Statement) -> Result<Result<Answer, SqlRefusal>, Fault> {
        let asked = Instant::now();
        let mut transaction = match self.take() {
            Slot::Unused => self.begin().await?,
            Slot::Open(transaction) => transaction,
            Slot::Lost => {
                return Err(Fault::transient(
                    "run a statement of a component",
                    "its transaction was lost",
                ));
            }
        };
        // A connection that had to be opened is paid for with the statement's time.
        statement.time = statement.time.saturating_sub(asked.elapsed());
        let answer = transaction.run(&statement).await?;
        self.put(transaction);
        Ok(answer)
    }
}

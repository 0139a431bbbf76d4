//! SQL of a component: what a guest asks is bounded here and handed on, one statement
//! at a time; what the database says goes back as it is.
//!
//! Nothing is remembered but how many there were: the transaction is the host's.

use std::sync::Arc;

use qx_events::ports::{Answer, SqlRefusal, SqlValue, Statement, Wants};

use crate::call::context::{Context, Purpose, Stop};
use crate::call::text::visible;
use crate::contract::sql::{Error, Host, Refusal as Refused, Value};

/// Statements of one call: more is work for a query that does it at once.
pub(crate) const STATEMENTS_MAX: u32 = 100;

/// Bytes of the database's words that a guest is told.
const WHY_BYTES_MAX: usize = 1_024;

impl Context {
    /// Runs a statement, if it is within bounds.
    async fn sql(
        &mut self,
        text: String,
        parameters: Vec<Value>,
        wants: Wants,
    ) -> wasmtime::Result<Result<Answer, Error>> {
        self.enter()?;
        if self.purpose == Purpose::Rehearsal {
            return Ok(Err(Error::Refused(Refused {
                sqlstate: "25000".to_owned(), // Invalid transaction state.
                message: "no event is being handled: a component that is only tried runs no statements, run them from the handler"
                    .to_owned(),
            })));
        }
        if self.statements >= STATEMENTS_MAX {
            let why = format!("a call runs at most {STATEMENTS_MAX} statements");
            return Ok(Err(Error::Limit(self.over("sql_statements", why))));
        }
        self.statements = self.statements.saturating_add(1);
        let max = self.shared.settings.limits.value_bytes;
        let bytes = parameters
            .iter()
            .map(size)
            .fold(text.len(), usize::saturating_add);
        if bytes > max {
            let why = format!(
                "a statement has at most {max} bytes with its parameters, this one has {bytes}"
            );
            return Ok(Err(Error::Limit(self.over("value_kb", why))));
        }
        let parameters: Vec<SqlValue> = parameters.into_iter().map(value).collect();
        if text.contains('\0') || parameters.iter().any(has_nul) {
            return Ok(Err(Error::Refused(Refused {
                sqlstate: "22021".to_owned(), // Character not in repertoire.
                message: "a statement and its texts must not contain U+0000".to_owned(),
            })));
        }
        let statements = Arc::clone(&self.invocation.sql);
        let statement = Statement {
            text,
            parameters,
            wants,
            time: self.time_left(),
        };
        Ok(match statements.run(statement).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(SqlRefusal::Limit { word, message })) => {
                Err(Error::Limit(self.over(word, message)))
            }
            Ok(Err(SqlRefusal::Database { code, message })) => Err(Error::Refused(Refused {
                sqlstate: code,
                message: visible(&message, WHY_BYTES_MAX),
            })),
            Err(fault) => return Err(self.end(Stop::Fault(fault))),
        })
    }
}

impl Host for Context {
    async fn execute(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let answer = self.sql(statement, parameters, Wants::Count).await?;
        Ok(answer.map(|answer| match answer {
            Answer::Count(changed) => changed,
            Answer::Rows(rows) => rows.len() as u64,
        }))
    }

    async fn query(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let answer = self.sql(statement, parameters, Wants::Rows).await?;
        Ok(answer.map(|answer| match answer {
            Answer::Rows(rows) => rows,
            Answer::Count(_) => Vec::new(),
        }))
    }
}

fn value(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Boolean(is) => SqlValue::Boolean(is),
        Value::Integer(number) => SqlValue::Integer(number),
        Value::Number(number) => SqlValue::Number(number),
        Value::Text(text) => SqlValue::Text(text),
        Value::Bytes(bytes) => SqlValue::Bytes(bytes),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => size_of::<i64>(),
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

fn has_nul(value: &SqlValue) -> bool {
    match value {
        SqlValue::Text(text) => text.contains('\0'),
        SqlValue::Null
        | SqlValue::Boolean(_)
        | SqlValue::Integer(_)
        | SqlValue::Number(_)
        | SqlValue::Bytes(_) => false,
    }
}

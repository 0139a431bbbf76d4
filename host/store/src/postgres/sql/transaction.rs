//! The transaction of one call: the guest's statements, each behind a savepoint, and
//! at the end the settlement.
//!
//! A statement that fails is undone alone. A transaction that is dropped, whatever it
//! was doing, leaves nothing: its connection is cleared, or closed when it may still
//! hear an answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use qx_events::Fault;
use qx_events::ports::{
    Answer, Settled, Settlement, SqlBounds, SqlRefusal, SqlTransaction, Statement, Wants,
};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _};

use super::Inner;
use super::form::{self, Form};
use crate::fault::{self, NoAnswer, sqlstate};
use crate::postgres::ledger::{self, Grouped};
use crate::postgres::sizes::Look;
use crate::postgres::{CALL_TIME_MAX, Session, Statements};

/// How much longer the server waits for the host than the host waits for the guest.
const GRACE: Duration = Duration::from_secs(15);

/// Runs a statement as the role.
const RUN: &str = "SELECT affected, answer FROM pg_temp.qx_guest($1, $2, $3, $4, $5)";

/// As the host again: the settings of its calls, and no table or function of the
/// session before its own.
const SETTLE: &str = "RESET ALL; \
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', \
        nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), true); \
    SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; \
    SET LOCAL enable_seqscan = off; SET LOCAL jit = off; SAVEPOINT qx_settle";

/// What was written of the settlement is undone; what the guest did stays.
const UNSETTLE: &str = "ROLLBACK TO SAVEPOINT qx_settle";

/// Classes of SQLSTATE that are no doing of the statement's: connection, resources,
/// intervention, system, internal error.
const HOSTS_CLASSES: [&str; 5] = ["08", "53", "57", "58", "XX"];
/// Overtaken by another transaction, or waited for each other: made again, it works.
const OVERTAKEN: [&str; 2] = ["40001", "40P01"];
/// The statement's own time is over: of class 57, and its doing all the same.
const CANCELED: &str = "57014";
/// A statement that gives no rows was asked for some.
const NO_ROWS: &str = "42P11";
/// Said by the function in `guest.sql`.
const TOO_MANY_ROWS: &str = "QX001";
/// See `TOO_MANY_ROWS`.
const TOO_MANY_BYTES: &str = "QX002";

pub(super) struct Transaction {
    /// `None` once it is settled.
    conn: Option<PoolConnection<sqlx::Postgres>>,
    bounds: SqlBounds,
    shared: Arc<Inner>,
    stage: Stage,
    /// A request is on its way: the connection may still hear its answer.
    busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun: the first request does it.
    New,
    /// Begun, with a savepoint that the next request releases.
    Open,
}

impl Transaction {
    pub(super) fn new(
        conn: PoolConnection<sqlx::Postgres>,
        bounds: SqlBounds,
        shared: Arc<Inner>,
    ) -> Self {
        Self {
            conn: Some(conn),
            bounds,
            shared,
            stage: Stage::New,
            busy: false,
        }
    }

    /// Begins, or goes on behind a new savepoint, with settings that are the host's.
    fn prelude(&self, time: Duration) -> String {
        let begin = match self.stage {
            Stage::New => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Stage::Open => "RELEASE SAVEPOINT qx_guest; RESET ALL",
        };
        let time = time.as_millis().max(1);
        let idle = (self.bounds.time + GRACE).as_millis();
        format!(
            "{begin}; SET LOCAL statement_timeout = {time}; SET LOCAL lock_timeout = {time}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL jit = off; \
             SAVEPOINT qx_guest"
        )
    }

    /// Does something behind a savepoint, within this time, and undoes it when it is
    /// refused.
    async fn guarded<T>(
        &mut self,
        (doing, time): (&'static str, Duration),
        work: impl AsyncFnOnce(&mut PgConnection, &Inner) -> Result<T, sqlx::Error>,
    ) -> Result<Result<T, SqlRefusal>, Fault> {
        let prelude = self.prelude(time);
        let time_max = self.bounds.time + GRACE;
        let shared = Arc::clone(&self.shared);
        self.busy = true;
        let conn = self.conn.as_mut().ok_or_else(|| over(doing))?;
        let bounds = SqlBounds {
            time,
            ..self.bounds
        };
        let whole = async {
            conn.execute(sqlx::raw_sql(AssertSqlSafe(prelude))).await?;
            match work(&mut *conn, &shared).await {
                Ok(done) => Ok(Ok(done)),
                Err(error) => match refusal(&error, bounds) {
                    Some(refusal) => {
                        undo(&mut *conn).await?;
                        Ok(Err(refusal))
                    }
                    None => Err(error),
                },
            }
        };
        let answer = match tokio::time::timeout(time_max, whole).await {
            Ok(answer) => answer.map_err(|error| fault::postgres(doing, error))?,
            Err(_elapsed) => return Err(Fault::transient(doing, NoAnswer(time_max))),
        };
        self.stage = Stage::Open;
        self.busy = false;
        Ok(answer)
    }
}

#[async_trait]
impl SqlTransaction for Transaction {
    async fn run(&mut self, statement: &Statement) -> Result<Result<Answer, SqlRefusal>, Fault> {
        if let Some(refusal) = form::refused_by_its_text(&statement.text) {
            return Ok(Err(refusal));
        }
        let bounds = self.bounds;
        let time = statement.time.min(bounds.time);
        let doing = "run a statement of a component";
        self.guarded((doing, time), async |conn, shared| {
            let text = form::trimmed(&statement.text);
            let form = look(conn, shared, text).await?;
            let mode = match (form, statement.wants) {
                (Form::Rows, Wants::Rows) => "rows",
                // What changes rows and returns none: they are counted and forgotten.
                (Form::Rows, Wants::Count) | (Form::Changes, _) => "count",
                (Form::Nothing, _) => "plain",
            };
            let done = call(conn, mode, &form.text(text), statement, bounds).await;
            let done = match done {
                Err(error)
                    if sqlstate(&error).as_deref() == Some(NO_ROWS) && form::is_merge(text) =>
                {
                    undo(conn).await?;
                    remember(shared, text, Form::Nothing);
                    call(conn, "plain", text, statement, bounds).await
                }
                done => done,
            };
            let (affected, rows) = done?;
            Ok(match statement.wants {
                Wants::Count => Answer::Count(affected.unsigned_abs()),
                Wants::Rows => Answer::Rows(rows),
            })
        })
        .await
    }

    async fn finish(&mut self) -> Result<Result<(), SqlRefusal>, Fault> {
        if self.stage == Stage::New {
            return Ok(Ok(())); // Nothing was run.
        }
        let time = self.bounds.time;
        let doing = "check what a component put off";
        self.guarded((doing, time), async |conn, _| {
            let finish = sqlx::query(RUN).bind("finish").bind("");
            let finish = finish.bind(Vec::<Option<String>>::new());
            conn.execute(finish.bind(0_i32).bind(0_i64)).await?;
            Ok(())
        })
        .await
    }

    async fn settle(mut self: Box<Self>, settlement: &Settlement) -> Result<Settled, Fault> {
        const DOING: &str = "settle with SQL of a component";
        let begin = match self.stage {
            Stage::New => "BEGIN ISOLATION LEVEL READ COMMITTED; ",
            Stage::Open => "RELEASE SAVEPOINT qx_guest; ",
        };
        self.busy = true;
        let conn = self.conn.as_mut().ok_or_else(|| over(DOING))?;
        let whole = async {
            let settle = AssertSqlSafe(format!("{begin}{SETTLE}"));
            conn.execute(sqlx::raw_sql(settle)).await?;
            let mut session = Session {
                conn: &mut *conn,
                statements: Statements::Prepared,
            };
            let group = std::slice::from_ref(settlement);
            let mut grouped = ledger::settle_within(&mut session, group, Look::Last).await?;
            if matches!(grouped, Grouped::Overfull) {
                session.conn().execute(sqlx::raw_sql(UNSETTLE)).await?;
                grouped = ledger::settle_within(&mut session, group, Look::First).await?;
            }
            let settled = match grouped {
                Grouped::Settled(answers) => answers.first().copied(),
                Grouped::Overfull => None,
            };
            let end = match settled {
                Some(Settled::Committed) => "COMMIT",
                Some(
                    Settled::Duplicate | Settled::Conflict | Settled::Fenced | Settled::Overfull(_),
                )
                | None => "ROLLBACK",
            };
            conn.execute(sqlx::raw_sql(end)).await?;
            Ok(settled)
        };
        let settled = match tokio::time::timeout(CALL_TIME_MAX, whole).await {
            Ok(answer) => answer.map_err(|error| fault::postgres(DOING, error))?,
            Err(_elapsed) => return Err(Fault::transient(DOING, NoAnswer(CALL_TIME_MAX))),
        };
        self.busy = false;
        settled.ok_or_else(|| Fault::refusal("the ledger gave no answer"))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.busy
            && let Some(conn) = self.conn.take()
        {
            // Its answer may still come: nobody else may read it. The server rolls
            // back when it notices, and at the latest when its own times are over.
            drop(conn.detach());
        }
        // Else it is cleared on its way back to the pool.
    }
}

/// What kind of statement it is, which its grammar says. Refused here is what is no
/// statement, or more than one: the server takes a text in this way only when it is one.
///
/// It is read and not run, so that nothing of it depends on who reads.
async fn look(conn: &mut PgConnection, shared: &Inner, text: &str) -> Result<Form, sqlx::Error> {
    let known = shared.forms.lock();
    let known = known.unwrap_or_else(PoisonError::into_inner).get(text);
    if let Some(form) = known {
        return Ok(form);
    }
    read(conn, text).await?;
    let form = match read(conn, &form::returning(text)).await {
        Ok(()) => Form::Changes,
        Err(error) if sqlstate(&error).is_some() => {
            undo(conn).await?;
            Form::Rows
        }
        Err(error) => return Err(error),
    };
    remember(shared, text, form);
    Ok(form)
}

async fn read(conn: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
    let prepare = AssertSqlSafe(format!("PREPARE qx_statement AS {text}"));
    conn.prepare(prepare.into_sql_str()).await.map(drop)
}

fn remember(shared: &Inner, text: &str, form: Form) {
    let forms = shared.forms.lock();
    forms
        .unwrap_or_else(PoisonError::into_inner)
        .put(text, form);
}

async fn undo(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    conn.execute(sqlx::raw_sql("ROLLBACK TO SAVEPOINT qx_guest"))
        .await
        .map(drop)
}

/// Runs it as the role: rows that it changed, and rows that it gave.
async fn call(
    conn: &mut PgConnection,
    mode: &str,
    text: &str,
    statement: &Statement,
    bounds: SqlBounds,
) -> Result<(i64, Vec<String>), sqlx::Error> {
    let parameters: Vec<_> = statement.parameters.iter().map(form::text).collect();
    let parameters: Vec<Option<&str>> = parameters.iter().map(Option::as_deref).collect();
    let rows_max = i32::try_from(bounds.rows).unwrap_or(i32::MAX);
    let bytes_max = i64::try_from(bounds.bytes).unwrap_or(i64::MAX);
    let query = sqlx::query(RUN).bind(mode).bind(text).bind(parameters);
    let row = query.bind(rows_max).bind(bytes_max).fetch_one(conn).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Whether the host deals with this, and no guest is told of it: the call is made
/// again, or was ended by its time.
pub fn sqlstate_is_the_hosts(code: &str) -> bool {
    OVERTAKEN.contains(&code) || HOSTS_CLASSES.iter().any(|class| code.starts_with(class))
}

/// What the guest is told; `None`: it is the host's to deal with.
fn refusal(error: &sqlx::Error, bounds: SqlBounds) -> Option<SqlRefusal> {
    let reported = error.as_database_error()?;
    let code = reported.code()?.into_owned();
    match &*code {
        TOO_MANY_ROWS => Some(SqlRefusal::too_many_rows(&bounds)),
        TOO_MANY_BYTES => Some(SqlRefusal::too_many_bytes(&bounds)),
        CANCELED => Some(SqlRefusal::Limit {
            word: "sql_time",
            message: format!("a statement runs at most {} ms", bounds.time.as_millis()),
        }),
        other if sqlstate_is_the_hosts(other) => None,
        _ => Some(SqlRefusal::Database {
            message: reported.message().to_owned(),
            code,
        }),
    }
}

fn over(doing: &'static str) -> Fault {
    Fault::transient(doing, "the transaction is over")
}

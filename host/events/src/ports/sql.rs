//! SQL of a component: statements that commit with what else its call changes, or not
//! at all, as a role of the database that is the component's own.
//!
//! Never: a text put together of parts, or a statement that ends a transaction or
//! changes who it runs as.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::fault::Fault;
use crate::ports::{Settled, Settlement};
use crate::settings::Limits;

/// One statement of a guest.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text, with `$1`, `$2` … where the parameters go.
    pub text: String,
    /// What stands for them.
    pub parameters: Vec<SqlValue>,
    /// What is asked of it.
    pub wants: Wants,
    /// How long it may run: what its call has left for it.
    pub time: Duration,
}

/// What is asked of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// How many rows it changed.
    Count,
    /// Its rows.
    Rows,
}

/// A parameter. The database makes of it what the statement wants at that place.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// No value.
    Null,
    /// A truth.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text; also for times, UUIDs, exact numbers and JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// So many rows were changed.
    Count(u64),
    /// Its rows, each an object as JSON text.
    Rows(Vec<String>),
}

/// Why the database did not do a statement. Nothing of it is kept; what was done before
/// it is, and the call may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlRefusal {
    /// The database's own words.
    Database {
        /// SQLSTATE: five characters that a program can go by.
        code: String,
        /// For people.
        message: String,
    },
    /// It gave more than a call may take; says which limit, and its value.
    Limit {
        /// The limit's word.
        word: &'static str,
        /// For people.
        message: String,
    },
}

impl SqlRefusal {
    /// An answer has more rows than these bounds allow.
    pub fn too_many_rows(bounds: &SqlBounds) -> Self {
        Self::Limit {
            word: "sql_rows",
            message: format!("a statement gives at most {} rows", bounds.rows),
        }
    }

    /// The rows of an answer have more bytes than these bounds allow.
    pub fn too_many_bytes(bounds: &SqlBounds) -> Self {
        Self::Limit {
            word: "value_kb",
            message: format!("a statement gives at most {} bytes of rows", bounds.bytes),
        }
    }
}

impl fmt::Display for SqlRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { code, message } => write!(f, "{message} ({code})"),
            Self::Limit { word: _, message } => f.write_str(message),
        }
    }
}

/// What one statement may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlBounds {
    /// Time in the database.
    pub time: Duration,
    /// Rows of an answer.
    pub rows: u32,
    /// Bytes of an answer, as JSON.
    pub bytes: usize,
}

impl SqlBounds {
    /// Rows of one answer. More belongs into a statement that counts or sums, or into
    /// pages.
    pub const ROWS_MAX: u32 = 1_000;

    /// Those of a component with these limits.
    pub const fn of(limits: &Limits) -> Self {
        Self {
            time: limits.timeout,
            rows: Self::ROWS_MAX,
            bytes: limits.value_bytes,
        }
    }
}

/// Where a guest's statements go: bound to its component, its call and its bounds.
#[async_trait]
pub trait Statements: Send + Sync {
    /// Runs one. A fault is the host's: the call ends with it and is made again.
    async fn run(&self, statement: Statement) -> Result<Result<Answer, SqlRefusal>, Fault>;
}

/// Where nobody runs any: for calls of components that have no role.
#[derive(Debug, Clone, Copy)]
pub struct NoStatements;

#[async_trait]
impl Statements for NoStatements {
    async fn run(&self, _: Statement) -> Result<Result<Answer, SqlRefusal>, Fault> {
        Err(Fault::refusal("run SQL where there is no database for it"))
    }
}

/// A database in which components may have a role.
#[async_trait]
pub trait Sql: Send + Sync {
    /// Begins the transaction of one call, as this role.
    async fn begin(&self, role: &str, bounds: SqlBounds) -> Result<Box<dyn SqlTransaction>, Fault>;
}

/// The transaction of one call. Dropped before it is settled, nothing of it is kept.
#[async_trait]
pub trait SqlTransaction: Send {
    /// Runs one statement. It sees what the call did before.
    async fn run(&mut self, statement: &Statement) -> Result<Result<Answer, SqlRefusal>, Fault>;

    /// Checks what was put off to the end, as the role: deferred constraints and their
    /// triggers. No statement may follow.
    async fn finish(&mut self) -> Result<Result<(), SqlRefusal>, Fault>;

    /// Commits it together with the settlement, or nothing of either. A transient fault
    /// means that all of it may be committed: the inbox tells.
    async fn settle(self: Box<Self>, settlement: &Settlement) -> Result<Settled, Fault>;
}

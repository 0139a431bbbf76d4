//! Looks into the tables from outside, past every code under test.

use sqlx::{AssertSqlSafe, Row};

/// Either database.
pub enum Database {
    /// PostgreSQL.
    Postgres(sqlx::PgPool),
    /// SQLite.
    Sqlite(sqlx::SqlitePool),
}

impl Database {
    /// Connects to PostgreSQL.
    pub async fn postgres(url: &str) -> Self {
        Self::Postgres(sqlx::PgPool::connect(url).await.expect("PostgreSQL"))
    }

    /// Opens a SQLite file that is there.
    pub async fn sqlite(url: &str) -> Self {
        Self::Sqlite(sqlx::SqlitePool::connect(url).await.expect("SQLite"))
    }

    /// Rows as text; every column must be text, see `CAST(… AS TEXT)`.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
        macro_rules! fetch {
            ($pool:expr) => {{
                let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
                    .fetch_all($pool)
                    .await?;
                let cell = |row, index| sqlx::Row::try_get::<Option<String>, usize>(row, index);
                let cells = |row| {
                    (0..Row::len(row))
                        .map(|i| Ok(cell(row, i)?.unwrap_or_default()))
                        .collect()
                };
                rows.iter().map(cells).collect()
            }};
        }
        match self {
            Self::Postgres(pool) => fetch!(pool),
            Self::Sqlite(pool) => fetch!(pool),
        }
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        let statements = AssertSqlSafe(sql.to_owned());
        let ran = match self {
            Self::Postgres(pool) => sqlx::raw_sql(statements).execute(pool).await.map(drop),
            Self::Sqlite(pool) => sqlx::raw_sql(statements).execute(pool).await.map(drop),
        };
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The pool, where it is PostgreSQL.
    pub fn pool(&self) -> &sqlx::PgPool {
        match self {
            Self::Postgres(pool) => pool,
            Self::Sqlite(_) => panic!("this world has no PostgreSQL"),
        }
    }
}

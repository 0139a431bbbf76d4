//! How much state each component has, on SQLite: one row, changed by every commit that
//! makes it more or less. There is one writer, so what was read stays so.

use std::collections::HashMap;

use qx_events::ports::Settlement;
use qx_events::{ComponentName, Fault, StateSize};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{Sqlite, many};
use crate::settlement::{Plan, Recount, size, writers};

const READ: &str = "
    SELECT component, keys, bytes FROM qx_state_sizes
    WHERE component IN (SELECT value FROM json_each(?1))";

const ADD: &str = "
    INSERT INTO qx_state_sizes (component, keys, bytes)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
    ON CONFLICT (component)
    DO UPDATE SET keys = keys + excluded.keys, bytes = bytes + excluded.bytes";

const COUNT: &str = "
    SELECT component, sum(keys), sum(bytes), sum(counted_keys), sum(counted_bytes)
    FROM (SELECT component, count(*) AS keys, sum(octet_length(key) + octet_length(value)) AS bytes,
                 0 AS counted_keys, 0 AS counted_bytes
          FROM qx_state GROUP BY component
          UNION ALL
          SELECT component, 0, 0, keys, bytes FROM qx_state_sizes)
    GROUP BY component ORDER BY component";

/// Of the components that write something in this group.
pub(super) async fn of(
    conn: &mut SqliteConnection,
    group: &[Settlement],
) -> Result<HashMap<String, StateSize>, sqlx::Error> {
    let names = writers(group);
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    // Who has no row has nothing.
    let nothing = names
        .iter()
        .map(|name| ((*name).to_owned(), StateSize::default()));
    let mut sizes: HashMap<_, _> = nothing.collect();
    let rows = sqlx::query(READ).bind(many(&names)).fetch_all(conn).await?;
    for row in &rows {
        let (name, size) = read(row)?;
        sizes.insert(name, size);
    }
    Ok(sizes)
}

/// Adds what a group changes.
pub(super) async fn add(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let changes = plan.counts();
    let changes: Vec<_> = changes
        .map(|(name, own)| (name, own.keys, own.bytes))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(ADD).bind(many(changes));
    query.execute(conn).await.map(drop)
}

/// All of them.
pub(super) async fn all(
    conn: &mut SqliteConnection,
) -> Result<Vec<(ComponentName, StateSize)>, sqlx::Error> {
    let query = sqlx::query("SELECT component, keys, bytes FROM qx_state_sizes");
    let rows = query.fetch_all(conn).await?;
    let mut sizes = Vec::with_capacity(rows.len());
    for row in &rows {
        let (name, size) = read(row)?;
        sizes.extend(ComponentName::parse(&name).ok().map(|name| (name, size)));
    }
    Ok(sizes)
}

impl Sqlite {
    pub(crate) async fn count_state(&self) -> Result<Vec<Recount>, Fault> {
        let count = self.file.write("count the state", async |conn| {
            let rows = sqlx::query(COUNT).fetch_all(&mut *conn).await?;
            let mut counted = Vec::with_capacity(rows.len());
            let mut missing = Vec::new();
            for row in &rows {
                let component: String = row.try_get(0)?;
                let number = |column| row.try_get::<i64, _>(column);
                let (now, before) = ((number(1)?, number(2)?), (number(3)?, number(4)?));
                let (recount, lacks) = Recount::of(component, now, before);
                missing.push((recount.component.clone(), lacks.keys, lacks.bytes));
                counted.push(recount);
            }
            let query = sqlx::query(ADD).bind(many(missing));
            query.execute(conn).await?;
            Ok(counted)
        });
        count.await
    }
}

fn read(row: &SqliteRow) -> Result<(String, StateSize), sqlx::Error> {
    Ok((row.try_get(0)?, size((row.try_get(1)?, row.try_get(2)?))))
}

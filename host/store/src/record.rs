//! Records events in a transaction of their own: for tools. Applications record
//! in theirs, with [`crate::producer`].

use qx_events::{Fault, NewEvent};

use crate::producer::{self, RecordError};
use crate::store::Store;

const DOING: &str = "record events in the outbox";

impl Store {
    /// Records all of these, or none.
    pub async fn record(&self, events: &[NewEvent]) -> Result<(), Fault> {
        match self {
            Self::Postgres(postgres) => {
                let work = async |session: &mut crate::postgres::Session<'_>| {
                    let recorded = producer::record_all(session.conn(), events).await;
                    recorded.map_err(as_sqlx)
                };
                postgres.call(DOING, work).await
            }
            Self::Sqlite(sqlite) => {
                let work = async |conn: &mut sqlx::SqliteConnection| {
                    producer::record_all(conn, events).await.map_err(as_sqlx)
                };
                sqlite.file().write(DOING, work).await
            }
        }
    }
}

fn as_sqlx(error: RecordError) -> sqlx::Error {
    match error {
        RecordError::Database(error) => error,
        RecordError::Version(error) => sqlx::Error::Encode(Box::new(error)),
    }
}

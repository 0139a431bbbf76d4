//! What is kept costs a clean-up nothing: there may be millions of rows, and it comes
//! twice a minute, for years.

use std::time::Duration;

use qx_store::{Store, StoreConfig};

use crate::world::World;

const DAY: Duration = Duration::from_hours(24);
const ROWS: u64 = 20_000;
const AT_ONCE: u32 = 5_000;

/// A table that is cleaned up.
#[derive(Debug, Clone, Copy)]
enum Table {
    Outbox,
    Inbox,
    Attempts,
    DeadLetters,
}

impl Table {
    const ALL: [Self; 4] = [Self::Outbox, Self::Inbox, Self::Attempts, Self::DeadLetters];

    fn name(self) -> &'static str {
        match self {
            Self::Outbox => "qx_outbox_events",
            Self::Inbox => "qx_inbox",
            Self::Attempts => "qx_attempts",
            Self::DeadLetters => "qx_dead_letters",
        }
    }

    /// Rows of this age.
    fn insert(self, age: &str) -> String {
        let table = self.name();
        let at = format!("now() - interval '{age}'");
        let rows = match self {
            Self::Outbox => format!(
                "(event_name, payload, occurred_at, published_at) SELECT 'a', '{{}}', now(), {at}"
            ),
            Self::Inbox => format!(
                "(component, event_id, digest, handled_at) SELECT 'a', gen_random_uuid(), '', {at}"
            ),
            Self::Attempts => {
                format!("(component, event_id, noted_at) SELECT 'a', gen_random_uuid(), {at}")
            }
            Self::DeadLetters => format!(
                "(id, event_name, payload, subject, failed_at)
                 SELECT gen_random_uuid(), 'a', '{{}}', 'a', {at}"
            ),
        };
        format!("INSERT INTO {table} {rows} FROM generate_series(1, {ROWS})")
    }

    /// Deletes what is older than a day; returns how many rows.
    async fn clean_up(self, store: &Store) -> u64 {
        match self {
            Self::Outbox => store.outbox().clean_up(DAY, AT_ONCE).await.unwrap(),
            Self::Inbox => store.clean_up_inbox(DAY, AT_ONCE).await.unwrap(),
            Self::Attempts => store.clean_up_attempts(DAY, AT_ONCE).await.unwrap(),
            Self::DeadLetters => {
                let gone = store.expire_dead_letters(DAY, AT_ONCE).await.unwrap();
                gone.values().sum()
            }
        }
    }
}

/// Waits until every connection of a store has handed in what it has counted, which it does
/// when it ends.
async fn counted(world: &World, store: Store) {
    store.close().await;
    let ours = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'qx-host' AND datname = current_database()";
    while world.number(ours).await > 0 {}
}

/// In a table whose rows were all replaced once, as after one retention: new ones lie where
/// old ones were.
#[tokio::test]
async fn a_clean_up_reads_no_row_that_is_kept() {
    let world = World::postgres().await;
    world.store.close().await;
    let connect = async || Store::connect(&StoreConfig::new(&world.url)).await.unwrap();
    for table in Table::ALL {
        let vacuum = format!("VACUUM ANALYZE {}", table.name());
        world.sql(&table.insert("2 days")).await;
        world.sql(&vacuum).await;
        let store = connect().await;
        let mut gone = 0;
        while gone < ROWS {
            let some = table.clean_up(&store).await;
            assert!(some > 0, "{table:?}: {gone}");
            gone += some;
        }
        world.sql(&vacuum).await;
        world.sql(&table.insert("1 hour")).await;
        world.sql(&vacuum).await;
        counted(&world, store).await;

        let read = format!(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0)
             FROM pg_stat_user_tables WHERE relname = '{}'",
            table.name()
        );
        let before = world.number(&read).await;
        let store = connect().await;
        assert_eq!(table.clean_up(&store).await, 0, "{table:?}");
        counted(&world, store).await;
        let rows = world.number(&read).await - before;
        assert!(rows < 100, "{table:?}: {rows} rows were read");
    }
}

//! Upgrades under load: the predecessor's table is taken over while its recorder
//! writes; a newer version migrates the tables while hosts run, and they are replaced
//! one after the other.
//!
//! There is no released version yet to run beside this one: the newer one is
//! represented by what a migration may do, which is to add.
#![cfg(test)]

use acceptance::trial::{IN_ORDER, Trial};
use acceptance::{Way, World};

/// The outbox as the predecessor makes it.
const PREDECESSOR: &str = "
    CREATE TABLE qx_outbox_events (
        id uuid NOT NULL PRIMARY KEY, event_name varchar(255) NOT NULL,
        event_version integer NOT NULL DEFAULT 1, payload jsonb NOT NULL,
        occurred_at timestamptz NOT NULL, correlation_id uuid, causation_id uuid, tenant_id uuid,
        published_at timestamptz, attempts integer NOT NULL DEFAULT 0, last_error varchar(2048));
    CREATE INDEX ix_qx_outbox_events_published_at_occurred_at
        ON qx_outbox_events (published_at, occurred_at)";

/// What a later version may bring: columns, an index, a table, and the note of it.
const LATER: &str = "
    BEGIN;
    LOCK TABLE qx_inbox, qx_state, qx_dead_letters, qx_outbox_events;
    ALTER TABLE qx_outbox_events ADD COLUMN later text NOT NULL DEFAULT 'x';
    ALTER TABLE qx_inbox ADD COLUMN later bigint;
    ALTER TABLE qx_state ADD COLUMN later bigint;
    ALTER TABLE qx_dead_letters ADD COLUMN later jsonb;
    CREATE INDEX qx_later ON qx_outbox_events (event_name) WHERE published_at IS NULL;
    CREATE TABLE qx_later_things (id bigint PRIMARY KEY);
    INSERT INTO qx_migrations (version, description, success, checksum, execution_time)
        VALUES (9000, 'later', true, '\\x00', 1);
    COMMIT";

/// The recorder writes before, while and after the table changes, and knows nothing
/// of it. What was waiting goes out.
#[tokio::test(flavor = "multi_thread")]
async fn the_predecessors_table_is_taken_over_while_its_recorder_writes() {
    let world = World::bare(Way::Servers).await;
    world.database().await.execute(PREDECESSOR).await;
    let mut trial = Trial::prepared(world, "predecessor", &["tally"]);
    let load = trial.load();
    let recorded = async |wanted: usize| {
        let look = async || match load.committed() {
            now if now >= wanted => Ok(()),
            now => Err(format!("{now} recorded")),
        };
        trial.world.eventually("events are recorded", look).await;
    };
    recorded(100).await;
    drop(trial.world.qx(&["migrate"]).await.ok());
    recorded(load.committed() + 50).await;
    trial.world.run().await;
    trial.gets_on().await;
    load.stop().await;
    trial.is_good().await;
}

/// Two hosts of this version go on while the tables change under them, and are then
/// replaced, one after the other, on the newer tables.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_two_versions_share_tables_that_are_migrated_between_them() {
    let mut trial = Trial::new("rolling-upgrade", &["tally", IN_ORDER]).await;
    trial.world.run().await;
    let second = trial.second("second.toml", &[], &[]);
    let load = trial.load();
    trial.gets_on().await;
    trial.world.database().await.execute(LATER).await;
    trial
        .history
        .note("the tables are those of a later version");
    trial.gets_on().await;
    assert_eq!(second.stop().await, 0);
    let second = trial.second("second.toml", &[], &[]);
    trial.gets_on().await;
    let first = trial.world.host.take().unwrap();
    assert_eq!(first.stop().await, 0);
    trial.world.run().await;
    trial.gets_on().await;
    drop(trial.world.qx(&["migrate"]).await.ok());
    load.stop().await;
    trial.ends().await;
    assert_eq!(second.stop().await, 0);
    trial.is_good().await;
}

//! Settling straight away: that it is done, and by which rows it goes.

use qx_events::StateSeen;
use qx_events::ports::{Settled, Settlement, StateValue};

use crate::world::{World, event, name, with_state};

/// A call that read a key as it is, and counts it up.
async fn counted(world: &World, key: &str) -> Settlement {
    let value = world.ledger.read_state(&name("a"), None, key).await;
    let seen: Option<StateSeen> = value.unwrap().as_ref().map(StateValue::seen);
    let mut counted = with_state("a", &[(key, seen)], &[(key, Some("2"))]);
    counted.effects.emitted.push(event("counted"));
    counted.recorded = true;
    counted
}

#[tokio::test]
async fn a_usual_group_is_one_statement_and_the_server_is_believed() {
    let world = World::postgres().await;
    world.settles_straight("true").await;
    let group = [counted(&world, "k").await];
    let settled = world.ledger.settle(&group).await.unwrap();
    assert_eq!(settled, [Settled::Committed]);
    let marks = "SELECT count(*) FROM qx_inbox";
    assert_eq!(world.number(marks).await, 0, "nobody else has written it");
}

/// The statements of the function are planned once for each connection, while the tables
/// are empty. Planned for that, they would read all rows for each group later.
#[tokio::test]
async fn what_was_planned_for_empty_tables_reads_rows_by_their_key_when_they_are_full() {
    let world = World::postgres().await;
    world.sql("VACUUM ANALYZE qx_state").await;
    world.sql("VACUUM ANALYZE qx_inbox").await;
    world.sql("VACUUM ANALYZE qx_attempts").await;
    for number in 0..8 {
        let group = [counted(&world, &format!("k{number}")).await];
        assert_eq!(
            world.ledger.settle(&group).await.unwrap(),
            [Settled::Committed]
        );
    }
    let fill = "INSERT INTO qx_state (component, key, value, version)
                SELECT 'a', 'n' || n, '1', n + 1000 FROM generate_series(1, 20000) AS n;
                INSERT INTO qx_inbox (component, event_id, digest)
                SELECT 'a', gen_random_uuid(), '\\x00' FROM generate_series(1, 20000);
                INSERT INTO qx_attempts (component, event_id)
                SELECT 'a', gen_random_uuid() FROM generate_series(1, 20000)";
    world.sql(fill).await;
    for number in 1..=10 {
        let gone = {
            let mut gone = counted(&world, &format!("n{}", number + 100)).await;
            gone.effects.writes[0].value = None;
            gone
        };
        let group = [
            counted(&world, &format!("n{number}")).await,
            counted(&world, &format!("new{number}")).await,
            gone,
        ];
        let settled = world.ledger.settle(&group).await.unwrap();
        assert_eq!(settled, [Settled::Committed; 3]);
    }
    // A connection hands in what it has counted when it ends.
    world.store.close().await;
    let ours = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'qx-host' AND datname = current_database()";
    while world.number(ours).await > 0 {}
    let read = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
        FROM pg_stat_user_tables WHERE relname IN ('qx_state', 'qx_inbox', 'qx_attempts')";
    let read = world.number(read).await;
    assert!(read < 1_000, "{read} rows were read for 38 settlements");
}

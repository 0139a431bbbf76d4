//! Connections that are kept between calls: never more than there may be, never one
//! that broke, and nobody who waits is forgotten.

use qx_events::{ComponentName, Known};
use qx_store::{Store, StoreConfig};
use tokio::task::JoinSet;

use crate::world::{World, settlement};

/// The connections of the host under test, as the server counts them.
const OURS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'qx-host' AND datname = current_database()";
const END_OURS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'qx-host' AND datname = current_database()";

/// A store of its own on the database of a world, with so many connections.
async fn with_connections(world: &World, connections_max: u32) -> Store {
    let mut config = StoreConfig::new(&world.url);
    config.connections_max = connections_max;
    world.store.close().await;
    Store::connect(&config).await.unwrap()
}

/// Whoever waits is not told by the pool when a connection is kept beside it.
#[tokio::test]
async fn many_callers_share_few_connections() {
    let world = World::postgres().await;
    let store = with_connections(&world, 2).await;
    let ledger = store.ledger();
    for _ in 0..3 {
        let mut asks = JoinSet::new();
        for _ in 0..100 {
            let ledger = store.ledger();
            asks.spawn(async move {
                let component = ComponentName::parse("a").unwrap();
                ledger.read_state(&component, None, "key").await
            });
        }
        for answer in asks.join_all().await {
            assert_eq!(answer.unwrap(), None);
        }
    }
    let there = world.number(OURS).await;
    assert!((1..=2).contains(&there), "{there} connections");
    store.close().await;
    let fault = ledger.known(&settlement("a").component, &[]).await;
    assert!(fault.unwrap_err().chain().contains("closed pool"));
}

#[tokio::test]
async fn a_kept_connection_that_broke_serves_nobody_else() {
    let world = World::postgres().await;
    let store = with_connections(&world, 1).await;
    let ledger = store.ledger();
    let one = settlement("a");
    let ask = || ledger.known(&one.component, std::slice::from_ref(&one.event_id));
    assert!(ask().await.unwrap().is_empty());
    assert_eq!(world.number(END_OURS).await, 1);
    let fault = ask().await.unwrap_err();
    assert!(fault.is_transient(), "{}", fault.chain());
    ledger.settle(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(ask().await.unwrap()[&one.event_id], Known::Handled);
}

/// What a refused call has left open is not there for the next.
#[tokio::test]
async fn a_call_that_was_refused_leaves_nothing_behind() {
    let world = World::postgres().await;
    let store = with_connections(&world, 1).await;
    let ledger = store.ledger();
    let one = settlement("a");
    world.sql("ALTER TABLE qx_inbox RENAME TO elsewhere").await;
    ledger.settle(std::slice::from_ref(&one)).await.unwrap_err();
    world.sql("ALTER TABLE elsewhere RENAME TO qx_inbox").await;
    ledger.settle(&[one]).await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'qx-host' AND datname = current_database() AND state <> 'idle'";
    assert_eq!(world.number(open).await, 0);
}

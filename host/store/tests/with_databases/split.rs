//! The outbox in parts: every row in one of them, all of a key in the same, each read by
//! its own index; and changed only while nobody works on any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::{Lease, Outbox};
use qx_events::shard::Split;
use qx_events::{KeyField, OrderingKey, Row};
use qx_store::StoreError;
use uuid::Uuid;

use crate::world::{World, event, published};

const TERM: Duration = Duration::from_mins(1);
const BY_KEY: Split = Split::By(KeyField::OrderingKey, 4);

fn parts(world: &World, split: Split) -> Vec<Arc<dyn Outbox>> {
    let all = split.all();
    all.map(|shard| world.store.outbox_of(shard)).collect()
}

async fn split(world: &World, split: Split) {
    world.store.set_split(split).await.unwrap();
    assert_eq!(world.store.split().await.unwrap(), split);
}

async fn pending(part: &Arc<dyn Outbox>) -> Vec<Row> {
    part.pending(10_000).await.unwrap()
}

async fn leases(parts: &[Arc<dyn Outbox>], holder: &str) -> Vec<Option<Lease>> {
    let mut leases = Vec::new();
    for part in parts {
        leases.push(part.lease(holder, TERM).await.unwrap());
    }
    leases
}

#[tokio::test]
async fn each_row_is_in_one_part_and_all_of_a_key_in_the_same() {
    let world = World::postgres().await;
    let keyed = |number: usize| {
        let mut event = event(&format!("e.{number}"));
        let key = OrderingKey::parse(&format!("key {}", number % 20)).unwrap();
        event.0.ordering_key = (!number.is_multiple_of(7)).then_some(key);
        event
    };
    let events: Vec<_> = (0..300).map(keyed).collect();
    world.record(&events[..100]).await;
    split(&world, BY_KEY).await;
    world.record(&events[100..]).await;
    let (mut seen, mut of_key) = (BTreeSet::new(), BTreeMap::new());
    for (number, part) in parts(&world, BY_KEY).iter().enumerate() {
        let rows = pending(part).await;
        assert!(rows.len() > 30, "part {number} has {} rows", rows.len());
        assert!(rows.is_sorted_by(|a, b| a.seq < b.seq));
        let first = part.pending(3).await.unwrap();
        assert!(
            first
                .iter()
                .map(|row| row.seq)
                .eq(rows[..3].iter().map(|row| row.seq))
        );
        for row in rows {
            assert!(seen.insert(row.seq), "{} is in two parts", row.seq);
            if let Some(key) = row.ordering_key {
                assert_eq!(*of_key.entry(key).or_insert(number), number);
            }
        }
    }
    assert_eq!((seen.len(), of_key.len()), (300, 20));
}

/// As a lane takes it: from the envelope first, however an id is spelt there.
#[tokio::test]
async fn a_part_is_chosen_by_the_key_that_lanes_go_by() {
    let world = World::postgres().await;
    let tenant = Uuid::from_u128(0xABCD_EF00);
    let insert = |payload: &str, column: &str| {
        format!(
            "INSERT INTO qx_outbox_events (event_name, payload, occurred_at, tenant_id)
             VALUES ('a', '{payload}', now(), {column});"
        )
    };
    let upper = tenant.to_string().to_uppercase();
    let (by_envelope, column) = (
        format!(r#"{{"tenant_id": "{upper}"}}"#),
        format!("'{tenant}'"),
    );
    for by in [KeyField::Tenant, KeyField::Correlation] {
        let split_by = Split::new(16, by);
        split(&world, split_by).await;
        world.sql("DELETE FROM qx_outbox_events").await;
        world.sql(&insert(&by_envelope, "NULL")).await;
        world.sql(&insert("{}", &column)).await;
        world.sql(&insert(r#"{"tenant_id": null}"#, &column)).await;
        let mut sizes = Vec::new();
        for part in parts(&world, split_by) {
            sizes.push(pending(&part).await.len());
        }
        sizes.retain(|size| *size > 0);
        let expected: &[usize] = if by == KeyField::Tenant {
            &[3]
        } else {
            &[1, 1, 1]
        };
        assert_eq!(sizes, expected, "{by:?}");
    }
}

#[tokio::test]
async fn a_part_is_read_by_its_index_whatever_waits_in_the_others() {
    let world = World::postgres().await;
    world
        .sql(
            "ALTER TABLE qx_outbox_events SET (autovacuum_enabled = off);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at, ordering_key)
             SELECT 'a', '{}', now(), 'hot' FROM generate_series(1, 50000);
             INSERT INTO qx_outbox_events (event_name, payload, occurred_at, ordering_key)
             SELECT 'b', '{}', now(), 'key ' || n FROM generate_series(1, 40) AS n",
        )
        .await;
    split(&world, BY_KEY).await;
    let reads = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint
                 FROM pg_stat_user_tables WHERE relname = 'qx_outbox_events'";
    // The server tells what was read with a delay: the index is made from all rows.
    let counted = async { while world.number(reads).await < 50_040 {} };
    let counted = tokio::time::timeout(Duration::from_mins(1), counted);
    counted
        .await
        .expect("what making the index read is counted");
    for statistics in ["", "ANALYZE qx_outbox_events"] {
        world.sql(statistics).await;
        let before = world.number(reads).await;
        let mut small = 0;
        for part in parts(&world, BY_KEY) {
            for _ in 0..7 {
                small += usize::from(part.pending(200).await.unwrap().len() < 200);
            }
        }
        assert_eq!(small, 3 * 7, "the hot key is in one part");
        let read = world.number(reads).await - before;
        assert!(read < 5_000, "{read} rows were read");
    }
}

#[tokio::test]
async fn each_part_has_its_own_lease_and_its_own_fence() {
    let world = World::postgres().await;
    split(&world, BY_KEY).await;
    let parts = parts(&world, BY_KEY);
    let all = leases(&parts, "one").await;
    assert!(all.iter().all(Option::is_some));
    assert!(leases(&parts, "two").await.iter().all(Option::is_none));
    // The whole has none to give while it is in parts.
    let whole = world.outbox.lease("three", TERM).await.unwrap();
    assert_eq!(whole, None);
    world
        .record(&[event("a"), event("b"), event("c"), event("d")])
        .await;
    parts[0].release(all[0].unwrap()).await.unwrap();
    let next = parts[0].lease("two", TERM).await.unwrap().unwrap();
    let rows = world.outbox.pending(1).await.unwrap();
    let marks = [published(rows[0].seq)];
    let mark = async |part: &Arc<dyn Outbox>, lease| part.mark_published(lease, &marks).await;
    assert!(!mark(&parts[0], all[0].unwrap()).await.unwrap());
    assert!(mark(&parts[0], next).await.unwrap());
}

#[tokio::test]
async fn the_outbox_is_not_split_otherwise_while_anybody_is_at_work() {
    let world = World::postgres().await;
    let at_work = async |wanted| match world.store.set_split(wanted).await {
        Err(StoreError::AtWork { lease, .. }) => lease,
        other => panic!("{other:?}"),
    };
    let whole = world.outbox.lease("one", TERM).await.unwrap().unwrap();
    assert_eq!(at_work(BY_KEY).await, "relay");
    assert_eq!(world.store.split().await.unwrap(), Split::Whole);
    world.store.set_split(Split::Whole).await.unwrap();
    world.outbox.release(whole).await.unwrap();
    let order = world.leases.take("order:stars", "two", TERM).await;
    assert_eq!(at_work(BY_KEY).await, "order:stars");
    world
        .leases
        .release(&order.unwrap().unwrap())
        .await
        .unwrap();
    split(&world, BY_KEY).await;
    // Who was stopped meanwhile, with the outbox as it was, writes nothing.
    world.record(&[event("a")]).await;
    let seq = world.outbox.pending(1).await.unwrap()[0].seq;
    assert!(!world.mark(whole, [seq]).await);
    let parts = parts(&world, BY_KEY);
    let lease = parts[3].lease("one", Duration::ZERO).await.unwrap();
    split(&world, Split::Whole).await;
    let marked = parts[3]
        .mark_published(lease.unwrap(), &[published(seq)])
        .await;
    assert!(!marked.unwrap());
    assert_eq!(parts[3].lease("one", TERM).await.unwrap(), None);
    assert!(world.outbox.lease("one", TERM).await.unwrap().is_some());
    assert_eq!(world.waiting().await, ["a"]);
}

#[tokio::test]
async fn a_file_has_one_part() {
    let world = World::sqlite().await;
    let refused = world.store.set_split(BY_KEY).await;
    assert!(matches!(refused, Err(StoreError::OneWriter)), "{refused:?}");
    split(&world, Split::Whole).await;
}

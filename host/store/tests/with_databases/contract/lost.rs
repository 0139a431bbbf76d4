//! What the stream has lost waits again, and nothing else does.

use std::time::Duration;

use qx_events::ports::StreamState;

use crate::world::{CREATED_NS, World, event};

/// The rows `a` to `e`, published at the positions 1001 to 1005.
async fn five(world: &World) {
    world.record(&["a", "b", "c", "d", "e"].map(event)).await;
    let rows = world.outbox.pending(10).await.unwrap();
    let lease = world.lease().await;
    assert!(world.mark(lease, rows.iter().map(|row| row.seq)).await);
}

/// A stream that was made so long after theirs, and ends behind that many of them.
fn stream(later_ns: i64, kept: u64) -> StreamState {
    StreamState {
        name: "QX".to_owned(),
        created_ns: CREATED_NS + later_ns,
        last_seq: 1_000 + kept,
    }
}

async fn forget(world: &World, stream: &StreamState) -> Option<u64> {
    let lease = world.lease().await;
    world.outbox.forget_lost(lease, stream, 100).await.unwrap()
}

pub(super) async fn rows_of_another_stream_wait_again_and_forget_where_they_were(world: &World) {
    for later_ns in [1, -1] {
        five(world).await;
        assert_eq!(forget(world, &stream(later_ns, 9_000)).await, Some(5));
        assert_eq!(world.waiting().await, ["a", "b", "c", "d", "e"]);
        let sql = "SELECT count(*) FROM qx_outbox_events WHERE stream_name IS NOT NULL
                   OR stream_seq IS NOT NULL OR stream_created IS NOT NULL";
        assert_eq!(world.number(sql).await, 0);
        let status = world.outbox.status().await.unwrap();
        assert_eq!((status.pending, status.published), (5, 0));
        world.sql("DELETE FROM qx_outbox_events").await;
    }
}

pub(super) async fn rows_behind_the_end_of_the_stream_wait_again_in_their_order(world: &World) {
    five(world).await;
    assert_eq!(
        forget(world, &stream(0, 5)).await,
        Some(0),
        "nothing is lost"
    );
    assert_eq!(
        forget(world, &stream(0, u64::from(u32::MAX))).await,
        Some(0)
    );
    assert_eq!(forget(world, &stream(0, 3)).await, Some(2));
    assert_eq!(forget(world, &stream(0, 3)).await, Some(0), "once");
    world.record(&[event("f")]).await;
    assert_eq!(world.waiting().await, ["d", "e", "f"]);
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.published), (3, 3));
}

/// The predecessor's, for instance.
pub(super) async fn rows_whose_stream_nobody_knows_stay_published(world: &World) {
    five(world).await;
    world
        .sql("UPDATE qx_outbox_events SET stream_created = NULL")
        .await;
    assert_eq!(forget(world, &stream(1, 0)).await, Some(0));
    assert_eq!(world.waiting().await, [""; 0]);
}

pub(super) async fn what_is_lost_waits_again_a_few_at_a_time(world: &World) {
    five(world).await;
    let lease = world.lease().await;
    let lost = stream(1, 0);
    for left in [2, 2, 1, 0] {
        let some = world.outbox.forget_lost(lease, &lost, 2).await.unwrap();
        assert_eq!(some, Some(left));
    }
}

pub(super) async fn a_holder_that_lost_the_lease_lets_nothing_wait_again(world: &World) {
    five(world).await;
    let held = world.lease().await;
    world.outbox.release(held).await.unwrap();
    for lost in [stream(1, 0), stream(0, 5)] {
        let answer = world.outbox.forget_lost(held, &lost, 100).await.unwrap();
        assert_eq!(answer, None);
    }
    let next = world.outbox.lease("next", Duration::from_mins(1)).await;
    assert!(next.unwrap().is_some());
    assert_eq!(world.waiting().await, [""; 0]);
}

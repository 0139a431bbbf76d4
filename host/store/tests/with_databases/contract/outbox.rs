//! What the relay relies on.

use std::time::Duration;

use qx_events::ports::Lease;
use qx_events::{OrderingKey, TraceContext, prepare, wire};
use qx_store::producer;
use sqlx::Connection;
use uuid::Uuid;

use crate::world::{World, event, event_with, published};

const TERM: Duration = Duration::from_mins(1);

pub(super) async fn a_recorded_row_waits_with_everything_its_producer_gave(world: &World) {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut given = event("order.placed");
    given.0.event_version = 3;
    given.0.correlation_id = Some(Uuid::now_v7());
    given.0.causation_id = Some(Uuid::now_v7());
    given.0.tenant_id = Some(Uuid::now_v7());
    given.0.actor_id = Some("somebody".into());
    given.0.ordering_key = Some(OrderingKey::parse("order 7").unwrap());
    given.0.trace = TraceContext::parse(parent, Some("a=1"));
    world.record(std::slice::from_ref(&given)).await;
    let rows = world.outbox.pending(10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.event_name.as_str(), row.event_version),
        ("order.placed", 3)
    );
    assert_eq!(row.correlation_id, given.0.correlation_id);
    assert_eq!(row.tenant_id, given.0.tenant_id);
    assert_eq!(row.traceparent.as_deref(), Some(parent));
    assert_eq!(row.ordering_key.as_deref(), Some("order 7"));
    assert_eq!(row.tracestate.as_deref(), Some("a=1"));
    assert_ne!(row.id, given.0.event_id);
    let message = prepare(row).unwrap();
    assert_eq!(message.message_id, given.0.event_id);
    assert_eq!(message.headers.get(wire::TRACEPARENT), Some(parent));
    let body = qx_events::Envelope::of_message(&row.body, &message.headers).unwrap();
    assert_eq!(body.ordering_key, given.0.ordering_key);
    assert_eq!(body.causation_id, given.0.causation_id);
    assert_eq!(body.actor_id, given.0.actor_id);
    assert_eq!(body.occurred_at, given.0.occurred_at);
}

pub(super) async fn rows_wait_in_the_order_in_which_they_were_recorded(world: &World) {
    let names: Vec<String> = (0..50).map(|number| format!("e.{number}")).collect();
    let events: Vec<_> = names.iter().map(|name| event(name)).collect();
    let (first, rest) = events.split_at(1);
    world.record(first).await;
    world.record(rest).await;
    assert_eq!(world.waiting().await, names);
    let rows = world.outbox.pending(7).await.unwrap();
    assert_eq!(rows.len(), 7);
    assert!(rows.is_sorted_by(|a, b| a.seq < b.seq));
}

pub(super) async fn a_row_with_a_due_time_stays_away_until_then_and_stands_behind_the_others(
    world: &World,
) {
    // By the clock of the database, which is that of this machine.
    let now: chrono::DateTime<chrono::Utc> = std::time::UNIX_EPOCH.into();
    let now = now + std::time::UNIX_EPOCH.elapsed().unwrap();
    let due = |name: &str, seconds| event(name).due_at(now + chrono::TimeDelta::seconds(seconds));
    let events = [
        due("tomorrow", 86_400),
        due("later", -5),
        due("earlier", -9),
        event("now"),
    ];
    world.record(&events).await;
    assert_eq!(world.waiting().await, ["now"]);
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.delayed), (4, 3));
    let lease = world.lease().await;
    let stale = Lease {
        token: lease.token - 1,
    };
    assert_eq!(world.outbox.come_due(stale, 10).await.unwrap(), None);
    let came = world.outbox.come_due(lease, 10).await.unwrap().unwrap();
    assert_eq!((came.came, came.waits), (2, true));
    assert_eq!(world.waiting().await, ["now", "earlier", "later"]);
    let none = world.outbox.come_due(lease, 10).await.unwrap().unwrap();
    assert_eq!((none.came, none.waits), (0, true));
    let next = none.next.unwrap();
    let day = Duration::from_hours(24);
    assert!(next <= day && next > Duration::from_hours(23), "{next:?}");
    // Like any other row from now on.
    let rows = world.outbox.pending(10).await.unwrap();
    assert!(world.mark(lease, rows.iter().map(|row| row.seq)).await);
    let status = world.outbox.status().await.unwrap();
    assert_eq!(
        (status.pending, status.delayed, status.published),
        (1, 1, 3)
    );
    assert_eq!(status.oldest_pending_ms, 0);
    let none = world.outbox.come_due(lease, 10).await.unwrap().unwrap();
    assert_eq!((none.came, none.waits), (0, false));
}

pub(super) async fn a_row_that_waits_so_long_is_due_by_the_databases_clock(world: &World) {
    let after = |name: &str, wait| event(name).due_after(wait);
    let hour = Duration::from_hours(1);
    let events = [
        after("later", hour),
        after("at-once", Duration::ZERO),
        after("soon", Duration::from_millis(1)),
        after("never", Duration::MAX),
    ];
    world.record(&events).await;
    let lease = world.lease().await;
    let came = async || {
        let came = world.outbox.come_due(lease, 10).await.unwrap().unwrap();
        (world.waiting().await, came.next)
    };
    // A millisecond passes, however short the way to the database is.
    let mut seen = came().await;
    while seen.0.len() < 2 {
        seen = came().await;
    }
    assert_eq!(seen.0, ["at-once", "soon"]);
    // What came may not have been all; now nothing is due.
    let next = came().await.1.unwrap();
    assert!(next <= hour && next > hour / 2, "{next:?}");
    assert_eq!(world.outbox.status().await.unwrap().delayed, 2);
}

pub(super) async fn a_rolled_back_row_is_never_seen(world: &World) {
    if world.url.starts_with("sqlite") {
        let mut conn = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        producer::record(&mut *tx, &event("a")).await.unwrap();
        tx.rollback().await.unwrap();
    } else {
        let mut conn = sqlx::PgConnection::connect(&world.url).await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        producer::record(&mut *tx, &event("a")).await.unwrap();
        tx.rollback().await.unwrap();
    }
    world.record(&[event("b")]).await;
    assert_eq!(world.waiting().await, ["b"]);
}

/// Equal as JSON always, and to the byte where jsonb could not have kept it.
pub(super) async fn an_envelope_goes_out_as_json_allows(world: &World) {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for payload in [
        r#"{"b": 1.10, "a": [true, null, "ü🚀\n\"\\"], "n": 12345678901234567890123}"#,
        r#"{"nul": "a\u0000b"}"#,
        r#"["\\u0000", "\ud83d\ude80", "\u0041"]"#,
        r#"{"half": "\ud800"}"#,
        r#"{"huge": 1e400000}"#,
        &deep,
    ] {
        let given = event_with("a.b", payload);
        world.record(std::slice::from_ref(&given)).await;
        let rows = world.outbox.pending(1).await.unwrap();
        let body = std::str::from_utf8(&rows[0].body).unwrap();
        if body != given.0.encode() {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(parse(body), parse(&given.0.encode()), "{payload}");
        }
        assert_eq!(prepare(&rows[0]).unwrap().message_id, given.0.event_id);
        world
            .mark(world.lease().await, rows.iter().map(|row| row.seq))
            .await;
    }
}

pub(super) async fn one_holder_has_the_lease_until_its_term_ends(world: &World) {
    let lease = async |holder, term| world.outbox.lease(holder, term).await.unwrap();
    let first = lease("a", TERM).await.unwrap();
    assert_eq!(lease("b", TERM).await, None);
    assert_eq!(
        lease("a", TERM).await,
        Some(first),
        "renewal keeps the token"
    );
    assert_eq!(
        lease("a", Duration::ZERO).await,
        Some(first),
        "and may shorten the term"
    );
    let second = lease("b", TERM).await.unwrap();
    assert!(second.token > first.token);
    assert_eq!(lease("a", TERM).await, None);
}

pub(super) async fn a_released_lease_can_be_taken_at_once(world: &World) {
    let first = world.lease().await;
    world.outbox.release(first).await.unwrap();
    let second = world.outbox.lease("b", TERM).await.unwrap().unwrap();
    assert!(second.token > first.token);
    world.outbox.release(first).await.unwrap();
    assert_eq!(
        world.outbox.lease("c", TERM).await.unwrap(),
        None,
        "an old lease frees nothing"
    );
}

pub(super) async fn marked_rows_wait_no_longer_and_know_where_they_are(world: &World) {
    world.record(&[event("a"), event("b"), event("c")]).await;
    let rows = world.outbox.pending(2).await.unwrap();
    let lease = world.lease().await;
    assert!(world.mark(lease, rows.iter().map(|row| row.seq)).await);
    assert_eq!(world.waiting().await, ["c"]);
    let sql = "SELECT count(*) FROM qx_outbox_events
               WHERE published_at IS NOT NULL AND stream_name = 'QX' AND stream_seq = seq + 1000";
    assert_eq!(world.number(sql).await, 2);
    assert!(
        world.mark(lease, []).await,
        "nothing to mark is no lost lease"
    );
}

pub(super) async fn a_holder_that_lost_the_lease_changes_nothing(world: &World) {
    world.record(&[event("a")]).await;
    let seq = world.outbox.pending(1).await.unwrap()[0].seq;
    let lost = world
        .outbox
        .lease("paused", Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let held = world.lease().await;
    assert!(!world.mark(lost, [seq]).await);
    assert!(!world.outbox.set_aside(lost, seq, "why").await.unwrap());
    assert_eq!(world.waiting().await, ["a"]);
    world.outbox.release(held).await.unwrap();
    assert!(
        !world.mark(held, [seq]).await,
        "a released lease is lost too"
    );
    assert_eq!(world.waiting().await, ["a"]);
}

pub(super) async fn a_row_that_is_marked_stays_as_it_is(world: &World) {
    world.record(&[event("a")]).await;
    let lease = world.lease().await;
    let seq = world.outbox.pending(1).await.unwrap()[0].seq;
    assert!(world.mark(lease, [seq]).await);
    let mut elsewhere = published(seq);
    elsewhere.stored.stream = "OTHER".to_owned();
    assert!(
        world
            .outbox
            .mark_published(lease, &[elsewhere])
            .await
            .unwrap()
    );
    assert!(world.outbox.set_aside(lease, seq, "why").await.unwrap());
    let sql =
        "SELECT count(*) FROM qx_outbox_events WHERE stream_name = 'QX' AND failed_at IS NULL";
    assert_eq!(world.number(sql).await, 1);
}

pub(super) async fn a_row_set_aside_is_visible_and_read_no_more(world: &World) {
    world.record(&[event("a"), event("b")]).await;
    let lease = world.lease().await;
    let seq = world.outbox.pending(1).await.unwrap()[0].seq;
    let reason = format!("no subject:\0{}", "ü".repeat(3_000));
    assert!(world.outbox.set_aside(lease, seq, &reason).await.unwrap());
    assert_eq!(world.waiting().await, ["b"]);
    assert!(world.mark(lease, [seq]).await);
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.published, status.failed), (1, 0, 1));
    let sql = "SELECT count(*) FROM qx_outbox_events
               WHERE last_error LIKE 'no subject:%' AND length(last_error) = 2048";
    assert_eq!(world.number(sql).await, 1);
    world
        .sql("UPDATE qx_outbox_events SET failed_at = NULL")
        .await;
    assert_eq!(
        world.waiting().await,
        ["a", "b"],
        "a person can have it tried again"
    );
}

/// The predecessor stops at ten.
pub(super) async fn nothing_is_given_up_for_its_attempts(world: &World) {
    world.record(&[event("a")]).await;
    world
        .sql("UPDATE qx_outbox_events SET attempts = 10, last_error = 'broker away'")
        .await;
    assert_eq!(world.waiting().await, ["a"]);
    assert_eq!(world.outbox.status().await.unwrap().pending, 1);
}

pub(super) async fn only_old_published_rows_are_cleaned_up(world: &World) {
    let names = ["old", "older", "oldest", "new", "failed", "waits"];
    world.record(&names.map(event)).await;
    let rows = world.outbox.pending(10).await.unwrap();
    let lease = world.lease().await;
    assert!(
        world
            .mark(lease, rows.iter().take(4).map(|row| row.seq))
            .await
    );
    assert!(
        world
            .outbox
            .set_aside(lease, rows[4].seq, "why")
            .await
            .unwrap()
    );
    world
        .sql(
            "UPDATE qx_outbox_events SET published_at = '2020-01-01T00:00:00.000Z'
              WHERE event_name LIKE 'old%'",
        )
        .await;
    let day = Duration::from_hours(24);
    assert_eq!(world.outbox.clean_up(Duration::MAX, 100).await.unwrap(), 0);
    assert_eq!(world.outbox.clean_up(day, 2).await.unwrap(), 2);
    assert_eq!(world.outbox.clean_up(day, 2).await.unwrap(), 1);
    assert_eq!(world.outbox.clean_up(day, 2).await.unwrap(), 0);
    assert_eq!(
        world.number("SELECT count(*) FROM qx_outbox_events").await,
        3
    );
    assert_eq!(world.outbox.status().await.unwrap().published, 1);
}

pub(super) async fn status_counts_what_is_there(world: &World) {
    let status = world.outbox.status().await.unwrap();
    assert_eq!(status, qx_events::ports::OutboxStatus::default());
    world.record(&["a", "b", "c", "d"].map(event)).await;
    let rows = world.outbox.pending(10).await.unwrap();
    let lease = world.lease().await;
    assert!(world.mark(lease, [rows[1].seq]).await);
    assert!(
        world
            .outbox
            .set_aside(lease, rows[2].seq, "why")
            .await
            .unwrap()
    );
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.published, status.failed), (2, 1, 1));
    assert!(status.oldest_pending_ms < 60_000, "{status:?}");
    world
        .sql("UPDATE qx_outbox_events SET recorded_at = '2020-01-01T00:00:00.000Z'")
        .await;
    let status = world.outbox.status().await.unwrap();
    assert!(status.oldest_pending_ms > 1_000_000_000, "{status:?}");
    // Somebody else's hand is counted too.
    world
        .sql(
            "INSERT INTO qx_outbox_events (event_name, payload, occurred_at, published_at)
              VALUES ('e', '{}', '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z')",
        )
        .await;
    assert_eq!(world.outbox.status().await.unwrap().published, 2);
    world
        .sql("DELETE FROM qx_outbox_events WHERE event_name = 'e'")
        .await;
    world
        .sql("UPDATE qx_outbox_events SET published_at = NULL WHERE event_name = 'b'")
        .await;
    world
        .sql("DELETE FROM qx_outbox_events WHERE event_name = 'c'")
        .await;
    let status = world.outbox.status().await.unwrap();
    assert_eq!((status.pending, status.published, status.failed), (3, 0, 0));
}

pub(super) async fn the_newest_rows_are_seen_whatever_became_of_them(world: &World) {
    let names: Vec<String> = (0..5).map(|number| format!("e.{number}")).collect();
    let mut events: Vec<_> = names.iter().map(|name| event(name)).collect();
    let large = format!("\"{}\"", "x".repeat(5_000));
    events[3].0.payload = serde_json::from_str(&large).unwrap();
    world.record(&events).await;
    let lease = world.outbox.lease("one", TERM).await.unwrap().unwrap();
    let rows = world.outbox.pending(10).await.unwrap();
    let marks: Vec<_> = rows.iter().map(|row| published(row.seq)).collect();
    assert!(world.outbox.mark_published(lease, &marks).await.unwrap());
    let newest = world.outbox.newest(4, 4_000).await.unwrap();
    let seen: Vec<&str> = newest.iter().map(|row| row.event_name.as_str()).collect();
    assert_eq!(
        seen,
        ["e.4", "e.2", "e.1"],
        "the newest four, without the large one"
    );
    assert!(prepare(&newest[0]).is_ok());
}

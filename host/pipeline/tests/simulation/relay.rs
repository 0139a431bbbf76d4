//! One relay: what it owes to a row, to the stream and to the database.

use std::time::Duration;

use qx_events::ports::Outbox;
use qx_pipeline::{RelayConfig, RowOrder};

use crate::acts::placed;
use crate::history::{Effect, seen};
use crate::host::{Host, TERM};
use crate::mischief::Weather;
use crate::models::broker::foreign;
use crate::models::database::Term;
use crate::world::{World, pass, timed};

fn is_marked(effect: &Effect) -> bool {
    matches!(effect, Effect::Marked { .. })
}

fn is_polled(effect: &Effect) -> bool {
    *effect == Effect::Polled
}

#[tokio::test(start_paused = true)]
async fn rows_go_out_in_the_order_of_the_outbox_and_are_marked() {
    let world = World::new();
    for id in 1..=250 {
        world.db.insert(&placed(id));
    }
    let mut host = world.host("a");
    host.relay();
    world.history.until_seen(250, is_marked).await;
    assert_eq!(world.broker.ids(), (1..=250).collect::<Vec<_>>());
    assert_eq!(
        seen!(world.history, Effect::Marked { seq, .. } => *seq),
        (1..=250).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_is_marked_only_after_the_stream_has_stored_it() {
    let world = World::new();
    world.db.insert(&placed(7));
    let mut host = world.host("a");
    host.relay();
    world.history.until_seen(1, is_marked).await;
    let holder = "a".to_owned();
    world.history.assert_order(&[
        Effect::Leased {
            holder: holder.clone(),
            token: 1,
        },
        Effect::Polled,
        Effect::Stored {
            event: 7,
            duplicate: false,
        },
        Effect::Marked { seq: 1, holder },
    ]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_broker_uses_up_nothing_and_everything_goes_out_afterwards() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay_in_batches(10);
    world.broker.door.set(Weather::Down);
    for id in 1..=50 {
        world.db.insert(&placed(id));
    }
    pass(Duration::from_hours(3)).await;
    assert_eq!(world.db.waiting(), 50);
    world.broker.door.set(Weather::Fair);
    let all_out = world
        .history
        .until("all are out", || world.db.waiting() == 0);
    let ((), took) = timed(&world.history, all_out).await;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    assert_eq!(world.broker.ids(), (1..=50).collect::<Vec<_>>());
    assert_eq!(
        world
            .history
            .count(|e| matches!(e, Effect::SetAside { .. })),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_database_is_waited_for() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay();
    world.db.insert(&placed(1));
    world
        .history
        .until("the first is out", || world.db.waiting() == 0)
        .await;
    world.db_down_for(Duration::from_mins(30)).await;
    world.db.insert(&placed(2));
    world
        .history
        .until("the second is out", || world.db.waiting() == 0)
        .await;
    assert_eq!(world.broker.ids(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_is_set_aside_and_the_others_go_on() {
    let world = World::new();
    world.db.insert(&placed(1));
    let garbage = world.db.insert_garbage();
    let refused = world.db.insert(&placed(3));
    world.db.insert(&placed(4));
    world.broker.books().refused.insert(placed(3).event_id);
    let mut host = world.host("a");
    host.relay();
    world
        .history
        .until("none waits", || world.db.waiting() == 0)
        .await;
    assert_eq!(world.broker.ids(), [1, 4]);
    let tables = world.db.tables();
    let why = |seq: i64| tables.rows[&seq].aside.clone().unwrap();
    assert!(why(garbage).contains("envelope"), "{}", why(garbage));
    assert_eq!(why(refused), "too large");
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_answer_was_lost_goes_out_again_under_the_same_id() {
    let world = World::new();
    for id in 1..=5 {
        world.db.insert(&placed(id));
    }
    world.broker.books().answers_lost = 3;
    let mut host = world.host("a");
    host.relay();
    world
        .history
        .until("none waits", || world.db.waiting() == 0)
        .await;
    assert_eq!(
        world.broker.ids(),
        [1, 2, 3, 4, 5],
        "each once on the stream"
    );
    let again = seen!(world.history, Effect::Stored { event, duplicate: true } => *event);
    assert_eq!(again, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn one_row_that_never_gets_an_answer_does_not_slow_the_others_down() {
    let world = World::new();
    for id in 1..=400 {
        world.db.insert(&placed(id));
    }
    world.broker.books().silent.insert(placed(1).event_id);
    let mut host = world.host("a");
    host.relay_in_batches(10);
    let others_out = world
        .history
        .until("the others are out", || world.db.waiting() == 1);
    let ((), took) = timed(&world.history, others_out).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_passes_over_a_full_backlog_follow_each_other_without_a_pause() {
    let world = World::new();
    for id in 1..=1_000 {
        world.db.insert(&placed(id));
    }
    let mut host = world.host("a");
    host.relay_in_batches(50);
    let all_out = world
        .history
        .until("none waits", || world.db.waiting() == 0);
    let ((), took) = timed(&world.history, all_out).await;
    assert_eq!(took, Duration::ZERO);
}

/// Five batches of a hundred rows, of which the stream has three. The database takes a
/// second to mark one.
pub(crate) async fn three_batches_out_and_none_marked() -> (World, Host) {
    let world = World::new();
    for id in 1..=500 {
        world.db.insert(&placed(id));
    }
    world.db.tables().mark_takes = Duration::from_secs(1);
    let mut host = world.host("a");
    host.relay_in_batches(100);
    let is_stored = |e: &Effect| matches!(e, Effect::Stored { .. });
    world.history.until_seen(300, is_stored).await;
    (world, host)
}

#[tokio::test(start_paused = true)]
async fn a_busy_relay_publishes_on_while_the_database_marks() {
    let (world, _host) = three_batches_out_and_none_marked().await;
    assert_eq!(world.db.waiting(), 500, "none is marked yet");
    let none_waits = || world.db.waiting() == 0;
    let all_marked = world.history.until("none waits", none_waits);
    let ((), took) = timed(&world.history, all_marked).await;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    let stored = seen!(world.history, Effect::Stored { event, .. } => *event);
    assert_eq!(stored, (1..=500).collect::<Vec<_>>(), "each once");
}

#[tokio::test(start_paused = true)]
async fn a_stop_marks_all_that_was_published_however_many_batches_it_is() {
    let (world, mut host) = three_batches_out_and_none_marked().await;
    host.drain().await;
    let stored = seen!(world.history, Effect::Stored { event, .. } => *event).len();
    assert_eq!(world.db.waiting(), 500 - stored);
    assert!(world.db.tables().term.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_outbox_is_polled_rarely_and_a_nudge_wakes_the_relay() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay();
    pass(Duration::from_mins(1)).await;
    let polls = world.history.count(is_polled);
    assert!((115..=130).contains(&polls), "{polls} polls in a minute");

    pass(Duration::from_millis(100)).await;
    world.db.insert(&placed(1));
    host.nudge.notify_one();
    let out = world.history.until("it is out", || world.db.waiting() == 0);
    let ((), took) = timed(&world.history, out).await;
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_kept_while_the_outbox_is_quiet_however_rarely_it_is_polled() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay_with(RelayConfig {
        batch: 10,
        poll_max: TERM * 10,
        lease_term: TERM,
        order: RowOrder::Eager,
        retention: Duration::from_hours(1),
        beside_others: false,
        holder: "a".to_owned(),
    });
    pass(Duration::from_secs(1)).await;
    for _ in 0..200 {
        pass(Duration::from_secs(1)).await;
        let term = world
            .db
            .tables()
            .term
            .as_ref()
            .map(|term| (term.token, term.ends));
        let (token, ends) = term.unwrap();
        assert!(
            ends > tokio::time::Instant::now() && token == 1,
            "\n{}",
            world.history
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_outlasts_the_term_is_marked_all_the_same() {
    let world = World::new();
    world.db.insert(&placed(1));
    world.broker.books().publish_takes = vec![TERM * 3];
    let mut host = world.host("a");
    host.relay();
    world
        .history
        .until("it is marked", || world.db.waiting() == 0)
        .await;
    let stored = world.history.count(|e| matches!(e, Effect::Stored { .. }));
    assert_eq!(stored, 1, "published once\n{}", world.history);
}

/// Somebody else had charge while the answer was on its way, and the stream had lost the
/// row by then, and grown over it.
#[tokio::test(start_paused = true)]
async fn what_was_published_under_one_lease_is_not_marked_under_the_next() {
    let world = World::new();
    world.db.insert(&placed(1));
    world.broker.books().publish_takes = vec![TERM * 3];
    let mut host = world.host("a");
    host.relay();
    let is_stored = |e: &Effect| matches!(e, Effect::Stored { .. });
    world.history.until_seen(1, is_stored).await;
    world.db.tables().last_token += 1;
    let token = world.db.tables().last_token;
    world.db.tables().term = Some(Term {
        holder: "b".to_owned(),
        token,
        ends: tokio::time::Instant::now() + TERM,
    });
    world.broker.lose_tail_unnoticed(1);
    world.broker.write(foreign("order.left", 7, b"{}"));
    let none_waits = || world.db.waiting() == 0;
    world.history.until("it is marked", none_waits).await;
    assert_eq!(world.broker.ids(), [7, 1], "\n{}", world.history);
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_the_lease_back() {
    let world = World::new();
    let mut host = world.host("a");
    host.relay();
    world.history.until_seen(1, is_polled).await;
    host.drain().await;
    assert_eq!(
        world.history.count(|e| *e == Effect::Released { token: 1 }),
        1
    );
    assert!(world.db.tables().term.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever_for_a_broker_or_a_database_that_hangs() {
    for hung in ["broker", "database"] {
        let world = World::new();
        let mut host = world.host("a");
        host.relay();
        world.history.until_seen(1, is_polled).await;
        let door = if hung == "broker" {
            &world.broker.door
        } else {
            &world.db.door
        };
        door.set(Weather::Hung);
        world.db.insert(&placed(1));
        pass(Duration::from_secs(20)).await;
        let ((), took) = timed(&world.history, host.drain()).await;
        assert!(took <= Duration::from_secs(10), "{hung}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_rows_are_on_their_way_still_marks_them() {
    let world = World::new();
    world.db.insert(&placed(1));
    world.broker.books().publish_takes = vec![Duration::from_secs(2)];
    let mut host = world.host("a");
    host.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Stored { .. }))
        .await;
    host.drain().await;
    assert_eq!(world.db.waiting(), 0);
    assert!(world.db.tables().term.is_none());
}

#[tokio::test(start_paused = true)]
async fn published_rows_are_deleted_after_their_retention() {
    let world = World::new();
    for id in 1..=10 {
        world.db.insert(&placed(id));
    }
    let mut host = world.host("a");
    host.relay();
    pass(Duration::from_mins(59)).await;
    assert_eq!(world.db.status().await.unwrap().pending, 0);
    assert_eq!(world.db.tables().rows.len(), 10);
    pass(Duration::from_mins(2)).await;
    assert_eq!(world.db.tables().rows.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn relay_1_a_process_that_dies_between_publish_and_mark_leaves_one_message() {
    let world = World::new();
    let mut host = world.host("a");
    for id in 1..=5 {
        world.db.insert(&placed(id));
    }
    world.broker.books().publish_takes = vec![Duration::from_secs(1)];
    host.relay();
    world
        .history
        .until_seen(5, |e| matches!(e, Effect::Stored { .. }))
        .await;
    host.kill();
    assert_eq!(world.db.waiting(), 5);
    let mut next = world.host("b");
    next.relay();
    world
        .history
        .until("none waits", || world.db.waiting() == 0)
        .await;
    assert_eq!(world.broker.ids(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_row_leaves_at_its_due_time_also_when_the_relay_sleeps_or_was_restarted() {
    let world = World::new();
    let now = tokio::time::Instant::now();
    let due_in = |seconds| now + Duration::from_secs(seconds);
    world.db.tables().insert_due(&placed(1), due_in(3_600));
    world.db.tables().insert_due(&placed(2), due_in(600));
    world.db.insert(&placed(3));
    let slow = |name: &str| RelayConfig {
        batch: 10,
        poll_max: Duration::from_secs(4),
        lease_term: TERM,
        order: RowOrder::Eager,
        retention: Duration::from_hours(1),
        beside_others: false,
        holder: name.to_owned(),
    };
    let mut host = world.host("a");
    host.relay_with(slow("a"));
    pass(Duration::from_secs(500)).await;
    assert_eq!(world.broker.ids(), [3]);
    pass(Duration::from_millis(100_010)).await;
    assert_eq!(world.broker.ids(), [3, 2]);
    host.kill();
    let mut host = world.host("b");
    host.relay_with(slow("b"));
    pass(Duration::from_millis(2_999_980)).await;
    assert_eq!(world.broker.ids(), [3, 2]);
    pass(Duration::from_millis(30)).await;
    assert_eq!(world.broker.ids(), [3, 2, 1]);
}

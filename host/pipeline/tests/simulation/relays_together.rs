//! Several relays on one outbox: one is in charge, and the fence holds when two
//! believe that they are.

use std::time::Duration;

use crate::acts::placed;
use crate::history::Effect;
use crate::host::TERM;
use crate::mischief::Weather;
use crate::world::{World, pass};

fn marks_of(wanted: &str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Marked { holder, .. } if holder == wanted)
}

#[tokio::test(start_paused = true)]
async fn two_relays_put_each_row_on_the_stream_once() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    a.relay_in_batches(7);
    b.relay_in_batches(7);
    for id in 1..=100 {
        world.db.insert(&placed(id));
        pass(Duration::from_millis(300)).await;
    }
    world
        .history
        .until("none waits", || world.db.waiting() == 0)
        .await;
    let stored = world.history.count(|e| matches!(e, Effect::Stored { .. }));
    assert_eq!(stored, 100, "none was even sent twice");
    let by = |holder: &str| world.history.count(marks_of(holder));
    assert_eq!(by("a").min(by("b")), 0, "one is in charge");
}

#[tokio::test(start_paused = true)]
async fn the_standby_takes_over_when_the_term_of_a_dead_leader_is_over() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    a.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Leased { .. }))
        .await;
    b.relay();
    pass(Duration::from_mins(1)).await;
    a.kill();
    let died = world.history.now();
    world.db.insert(&placed(1));
    world.history.until_seen(1, marks_of("b")).await;
    let took = world.history.since(died);
    assert!(
        took <= TERM + TERM / 3 + Duration::from_millis(10),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_standby_takes_over_soon_when_the_leader_stops() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    a.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Leased { .. }))
        .await;
    b.relay();
    pass(Duration::from_mins(1)).await;
    a.drain().await;
    let stopped = world.history.now();
    world.db.insert(&placed(1));
    world.history.until_seen(1, marks_of("b")).await;
    let took = world.history.since(stopped);
    assert!(took <= TERM / 3 + Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_while_publishing_marks_nothing() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    world.db.insert(&placed(1));
    world.broker.books().publish_takes = vec![TERM * 2];
    a.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Stored { .. }))
        .await;
    // Nobody can renew a lease now, and when somebody can it is `b` who does.
    world.db.door.set(Weather::Down);
    pass(TERM + Duration::from_secs(1)).await;
    world.db.door.set(Weather::Fair);
    b.relay();
    world.history.until_seen(1, marks_of("b")).await;
    pass(TERM * 4).await;
    assert_eq!(world.history.count(marks_of("a")), 0, "\n{}", world.history);
    assert_eq!(world.broker.ids(), [1]);
    let led = |e: &Effect| *e == Effect::Saw("relay leads: false".to_owned());
    assert_eq!(
        world.history.count(led),
        1,
        "and says so\n{}",
        world.history
    );
    b.kill();
    world.db.insert(&placed(2));
    world.history.until_seen(1, marks_of("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_publish_slower_than_the_term_does_not_make_two_relays_take_turns_for_ever() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    for id in 1..=3 {
        world.db.insert(&placed(id));
    }
    let takes = TERM + TERM * 7 / 9;
    world.broker.books().publish_takes = vec![takes; 50];
    a.relay();
    b.relay();
    world
        .history
        .until("none waits", || world.db.waiting() == 0)
        .await;
    assert_eq!(world.history.now(), takes, "\n{}", world.history);
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_not_driven_by_nudges() {
    let world = World::new();
    let (mut a, mut b) = (world.host("a"), world.host("b"));
    a.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Leased { .. }))
        .await;
    b.relay();
    pass(Duration::from_secs(10)).await;
    world.db.tables().lease_requests = 0;
    for _ in 0..1_000 {
        b.nudge.notify_one();
        pass(Duration::from_millis(1)).await;
    }
    let requests = world.db.tables().lease_requests;
    assert!(requests <= 2, "{requests} requests in a second");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_the_fence_refuses_steps_back_and_says_so() {
    let world = World::new();
    let mut a = world.host("a");
    a.relay();
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Leased { .. }))
        .await;
    pass(Duration::from_secs(1)).await;
    // Somebody has set the clock of the database forward, and another relay came.
    if let Some(term) = &mut world.db.tables().term {
        term.holder = "thief".to_owned();
        term.token += 1;
    }
    world.db.insert(&placed(1));
    let leads = |leads: bool| {
        let words = format!("relay leads: {leads}");
        move |effect: &Effect| *effect == Effect::Saw(words.clone())
    };
    world.history.until_seen(1, leads(false)).await;
    assert_eq!(world.history.count(marks_of("a")), 0);
    let published = |e: &Effect| matches!(e, Effect::Saw(words) if words.starts_with("published"));
    assert_eq!(
        world.history.count(published),
        0,
        "what is not marked is not counted"
    );
    world.history.until_seen(1, marks_of("a")).await;
    assert_eq!(world.broker.ids(), [1]);
}

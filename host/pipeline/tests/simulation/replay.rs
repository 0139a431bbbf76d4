//! Dead letters that an operator wants to have tried again.

use std::sync::Arc;
use std::time::Duration;

use qx_events::ports::DeadLetters;
use qx_events::{ComponentName, DeadReasonKind, LetterFilter};

use crate::acts::{self, placed};
use crate::consumer::{is_called, is_termed};
use crate::history::Effect;
use crate::host::{Host, component};
use crate::mischief::Weather;
use crate::world::{World, pass, timed};

/// Events 1 to `count`, dead for component `a`; `b` has handled them.
async fn with_letters(count: u128) -> (World, Host) {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::reject()));
    host.serve(&component("b", "order.placed", acts::done()));
    for id in 1..=count {
        world.db.insert(&placed(id));
    }
    world
        .history
        .until_seen(usize::try_from(count).unwrap(), is_termed)
        .await;
    world
        .history
        .until("b is done", || world.db.handled("b", count))
        .await;
    host.replay();
    (world, host)
}

async fn request_all(world: &World) {
    world
        .db
        .request_retry(&LetterFilter::default())
        .await
        .unwrap();
}

fn is_reported(effect: &Effect) -> bool {
    matches!(effect, Effect::Note(note) if note.starts_with("retry of"))
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_handled_at_last_is_removed_in_the_commit() {
    let (world, host) = with_letters(1).await;
    host.install(&component("a", "order.placed", acts::done()).build(2));
    let calls_of_b = world
        .history
        .count(|e| matches!(e, Effect::Called { component, .. } if component == "b"));
    let letter = world.db.only_letter().id;
    request_all(&world).await;
    world
        .history
        .until_seen(1, |e| matches!(e, Effect::Removed { .. }))
        .await;
    let component = "a".to_owned();
    let both = [
        Effect::Committed {
            component,
            event: 1,
            build: 2,
        },
        Effect::Removed { letter },
    ];
    let effects: Vec<Effect> = world.history.pick(|effect| Some(effect.clone()));
    let adjacent = effects.windows(2).any(|pair| pair == both);
    assert!(adjacent, "\n{}", world.history);
    let now = world
        .history
        .count(|e| matches!(e, Effect::Called { component, .. } if component == "b"));
    assert_eq!(now, calls_of_b, "a retry goes to the component that failed");
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_fails_again_stays_with_the_new_reason_and_one_more_attempt() {
    let (world, host) = with_letters(1).await;
    let before = world.db.only_letter();
    host.install(&component("a", "order.placed", acts::retry()).build(2));
    request_all(&world).await;
    world.history.until_seen(1, is_reported).await;
    let letter = world.db.only_letter();
    assert_eq!(letter.attempts, before.attempts + 1);
    assert_eq!(letter.reason.kind, DeadReasonKind::Exhausted);
    assert!(letter.reason.text.contains("busy"), "{}", letter.reason);
    assert_eq!(letter.digest, Some(acts::digest(2)));
    pass(Duration::from_hours(1)).await;
    assert_eq!(
        world.history.count(is_reported),
        1,
        "one request is one attempt"
    );
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_component_is_not_in_service_stays_and_says_so() {
    let (world, host) = with_letters(1).await;
    host.remove("a");
    for round in 1..=3 {
        request_all(&world).await;
        world.history.until_seen(round, is_reported).await;
    }
    let reason = world.db.only_letter().reason;
    assert_eq!(reason.kind, DeadReasonKind::Rejected);
    assert_eq!(reason.text.matches("not in service").count(), 1, "{reason}");
    assert!(reason.text.contains("no such order"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_event_was_handled_meanwhile_is_removed_without_effect() {
    let (world, host) = with_letters(1).await;
    host.install(&component("a", "order.placed", acts::done()).build(2));
    host.dispatcher.dispatch(placed(1)).await.unwrap();
    request_all(&world).await;
    world
        .history
        .until("the letter is gone", || world.db.letters() == 0)
        .await;
    let commits = world
        .history
        .count(|e| matches!(e, Effect::Committed { component, .. } if component == "a"));
    assert_eq!(commits, 1);
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_letters_are_all_served_however_often_a_report_is_not_taken() {
    let (world, host) = with_letters(200).await;
    let odd_done: crate::models::handler::Act = {
        let (done, reject) = (acts::done(), acts::reject());
        Arc::new(move |invocation| {
            let odd = invocation.envelope.event_id.as_u128() % 2 == 1;
            if odd {
                done(invocation)
            } else {
                reject(invocation)
            }
        })
    };
    host.install(&component("a", "order.placed", odd_done).build(2));
    world.db.tables().reports_lost = 7;
    let calls = world.history.count(is_called);
    request_all(&world).await;
    world.history.until_seen(100, is_reported).await;
    world
        .history
        .until("the others are gone", || world.db.letters() == 100)
        .await;
    assert_eq!(world.history.count(is_called), calls + 200, "each once");
    let tables = world.db.tables();
    assert!(
        tables
            .letters
            .values()
            .all(|stored| stored.letter.attempts == 2)
    );
}

#[tokio::test(start_paused = true)]
async fn the_slow_letters_of_one_component_do_not_keep_those_of_another_waiting() {
    let world = World::new();
    let mut host = world.host("h");
    host.relay();
    host.serve(&component("a", "order.placed", acts::reject()));
    host.serve(&component("b", "order.placed", acts::reject()));
    for id in 1..=5 {
        world.db.insert(&placed(id));
    }
    world.history.until_seen(10, is_termed).await;
    host.replay();
    let slow = acts::slowly(Duration::from_mins(10), acts::done());
    host.install(&component("a", "order.placed", slow).build(2));
    host.install(&component("b", "order.placed", acts::done()).build(2));
    let b = ComponentName::parse("b").unwrap();
    request_all(&world).await;
    let served = world.history.until("b's are served", || {
        world
            .db
            .tables()
            .letters
            .values()
            .all(|stored| stored.letter.component != b)
    });
    let ((), took) = timed(&world.history, served).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_database_is_waited_for_in_a_retry_too() {
    let (world, host) = with_letters(3).await;
    let slow = acts::slowly(Duration::from_secs(2), acts::retry());
    host.install(&component("a", "order.placed", slow).build(2));
    let calls = world.history.count(is_called);
    request_all(&world).await;
    world.history.until_seen(calls + 1, is_called).await;
    world.db_down_for(Duration::from_hours(1)).await;
    world.history.until_seen(3, is_reported).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_all_the_letters_that_were_taken() {
    let (world, mut host) = with_letters(30).await;
    let slow = acts::slowly(Duration::from_secs(4), acts::done());
    host.install(&component("a", "order.placed", slow).build(2));
    let calls = world.history.count(is_called);
    request_all(&world).await;
    world.history.until_seen(calls + 1, is_called).await;
    let ((), took) = timed(&world.history, host.drain()).await;
    assert!(took <= Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_database_that_hangs() {
    let (world, mut host) = with_letters(1).await;
    world.db.door.set(Weather::Hung);
    pass(Duration::from_secs(10)).await;
    let ((), took) = timed(&world.history, host.drain()).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
}

//! What every stream keeps, the embedded one and a broker's. A test file runs
//! all of it with [`stream_contract!`](crate::stream_contract).
//!
//! Absence is proved by a `fetch` that comes back empty after its own wait; no
//! test sleeps.
#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a suite for tests: panicking is how it says no"
)]

pub mod durable;
pub mod resuming;
pub mod sending;
pub mod settling;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::fault::Fault;
use crate::name::{ComponentName, EventName};
use crate::pattern::Pattern;
use crate::ports::{Delivery, Published, Publisher, Source, StoredAt, Stream, Subscription};
use crate::settings::StartFrom;
use crate::wire::{Headers, Outgoing};

/// Acknowledgement wait in tests that let it pass. Brokers keep it roughly, so
/// not much less.
const ACK_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long something must stay away to count as absent.
const QUIET: Duration = Duration::from_millis(400);

/// A fresh stream without messages and consumers, gone on drop.
pub trait World {
    /// Its sending side.
    fn publisher(&self) -> &dyn Publisher;
    /// Its receiving side.
    fn stream(&self) -> &dyn Stream;
}

/// Makes a test of each promise. `$world` is an expression that makes a future
/// of a fresh [`World`](crate::contract::stream::World), for instance `make()`.
#[macro_export]
macro_rules! stream_contract {
    ($world:expr) => {
        $crate::stream_contract! { $world =>
            sending::a_message_arrives_as_it_was_sent,
            sending::a_large_body_arrives_byte_for_byte,
            sending::a_second_message_with_the_same_id_is_not_stored,
            sending::many_messages_have_an_answer_each,
            sending::answers_and_deliveries_stand_in_the_order_of_sending,
            sending::a_consumer_gets_what_its_patterns_match_and_nothing_else,
            sending::every_component_gets_every_message,
            sending::a_fetch_gives_no_more_than_it_was_asked_for,
            sending::a_fetch_waits_no_longer_than_it_was_told,
            sending::a_fetch_that_waits_is_woken_by_a_message,
            settling::an_acknowledged_message_does_not_come_again,
            settling::an_unsettled_message_comes_again_and_is_counted,
            settling::a_handed_back_message_comes_again_after_the_pause,
            settling::a_handed_back_message_does_not_hold_up_the_others,
            settling::progress_keeps_a_message_from_coming_again,
            settling::a_terminated_message_does_not_come_again,
            settling::a_late_acknowledgement_is_accepted,
            settling::unsettled_messages_are_bounded,
            resuming::what_was_in_hand_comes_again_at_once_and_in_order,
            resuming::what_is_behind_a_consumer_stays_behind_it,
            resuming::a_consumer_that_was_never_there_begins_where_it_should,
            resuming::who_was_resumed_over_gets_nothing_that_is_missed,
            resuming::handing_over_is_counted_without_a_gap,
            durable::a_component_that_comes_back_goes_on_where_it_was,
            durable::a_component_can_begin_with_what_comes_from_now_on,
            durable::a_new_pattern_counts_from_now_on_and_repeats_nothing,
            durable::lag_counts_what_waits_and_what_is_in_flight,
            durable::the_lags_of_many_are_those_of_each,
            durable::a_stream_that_is_there_says_so,
            durable::a_stream_knows_when_it_was_made_and_how_far_it_goes,
        }
    };
    ($world:expr => $($part:ident::$promise:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let world = $world.await;
                $crate::contract::stream::$part::$promise(&world).await;
            }
        )+
    };
}

/// A message of this event, with a fresh id.
pub fn message(name: &str) -> Outgoing {
    let message_id = Uuid::now_v7();
    let Ok(event_name) = EventName::parse(name) else {
        panic!("`{name}` is no event name");
    };
    let body =
        format!(r#"{{"event_id":"{message_id}","event_name":"{name}","payload":{{"x":1.10}}}}"#);
    Outgoing {
        message_id,
        headers: Headers::of_event(&event_name, 1, message_id, None, Some(Uuid::max()), None),
        event_name,
        body: body.into(),
    }
}

/// A subscription with everything at ease.
pub fn subscription(component: &str, patterns: &[&str]) -> Subscription {
    let patterns = patterns.iter().map(|raw| match Pattern::parse(raw) {
        Ok(pattern) => pattern,
        Err(error) => panic!("{error}"),
    });
    let Ok(component) = ComponentName::parse(component) else {
        panic!("`{component}` is no component's name");
    };
    Subscription {
        component,
        patterns: patterns.collect(),
        ack_wait: Duration::from_mins(1),
        in_flight_max: 100,
        start: StartFrom::Beginning,
    }
}

fn impatient(component: &str, patterns: &[&str]) -> Subscription {
    Subscription {
        ack_wait: ACK_WAIT,
        ..subscription(component, patterns)
    }
}

fn ok<T>(answer: Result<T, Fault>) -> T {
    match answer {
        Ok(value) => value,
        Err(fault) => panic!("{}", fault.chain()),
    }
}

async fn send(world: &impl World, messages: &[Outgoing]) -> Vec<StoredAt> {
    let answers = world.publisher().publish(messages).await;
    assert_eq!(answers.len(), messages.len(), "one answer for each message");
    let stored = answers.into_iter().map(|answer| match answer {
        Published::Stored(stored) => stored,
        Published::Refused(why) | Published::Unknown(why) => panic!("not stored: {why}"),
    });
    stored.collect()
}

async fn subscribe(world: &impl World, subscription: &Subscription) -> Box<dyn Source> {
    ok(world.stream().subscribe(subscription).await)
}

async fn resume(world: &impl World, subscription: &Subscription) -> Box<dyn Source> {
    ok(world.stream().resume(subscription).await)
}

/// The one message that must come next.
async fn next(source: &mut Box<dyn Source>) -> Delivery {
    let mut deliveries = ok(source.fetch(1, PATIENCE).await);
    match (deliveries.pop(), deliveries.pop()) {
        (Some(delivery), None) => delivery,
        (None, _) => panic!("no message within {PATIENCE:?}"),
        (Some(_), Some(_)) => panic!("more messages than asked for"),
    }
}

/// Exactly so many, however many fetches it takes.
async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let some = ok(source.fetch(count - taken.len(), PATIENCE).await);
        assert!(
            !some.is_empty(),
            "{} of {count} messages within {PATIENCE:?}",
            taken.len()
        );
        taken.extend(some);
    }
    taken
}

async fn nothing(source: &mut Box<dyn Source>, within: Duration) {
    let came = ok(source.fetch(10, within).await);
    assert!(came.is_empty(), "unexpected: {came:?}");
}

fn bodies(deliveries: &[Delivery]) -> Vec<Bytes> {
    deliveries
        .iter()
        .map(|delivery| delivery.body.clone())
        .collect()
}

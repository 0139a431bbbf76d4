//! The stream is made once, verified ever after, and never changed.

use std::time::Duration;

use crate::world::{aside, broker};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use qx_broker::testing::Nats;
use qx_broker::{Broker, BrokerError, NatsConfig};
use qx_events::ports::Stream;

fn other(name: &str, subject: &str) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..Config::default()
    }
}

#[tokio::test]
async fn an_absent_stream_is_made_as_promised_and_taken_up_again() {
    let nats = Nats::start().await.unwrap();
    broker(&nats).await;
    let context = aside(&nats).await;
    let made = context
        .get_stream("QX_EVENTS")
        .await
        .unwrap()
        .cached_info()
        .clone();
    assert_eq!(made.config.subjects, ["svc.>"]);
    assert_eq!(made.config.storage, StorageType::File);
    assert_eq!(made.config.retention, RetentionPolicy::Limits);
    assert_eq!(made.config.duplicate_window, Duration::from_mins(10));
    assert_eq!(made.config.max_age, Duration::from_hours(168));
    assert!(made.config.allow_direct && made.config.allow_atomic_publish);

    broker(&nats).await.check().await.unwrap();
    let again = context
        .get_stream("QX_EVENTS")
        .await
        .unwrap()
        .cached_info()
        .clone();
    assert_eq!(again.created, made.created);
    assert_eq!(again.config, made.config);
}

#[tokio::test]
async fn a_stream_that_does_not_fit_is_refused_by_name_and_left_alone() {
    let nats = Nats::start().await.unwrap();
    let context = aside(&nats).await;
    let theirs = Config {
        storage: StorageType::Memory,
        retention: RetentionPolicy::Interest,
        duplicate_window: Duration::from_mins(2),
        ..other("QX_EVENTS", "svc.only.*")
    };
    context.create_stream(theirs).await.unwrap();
    let before = context
        .get_stream("QX_EVENTS")
        .await
        .unwrap()
        .cached_info()
        .clone();

    let error = Broker::connect(nats.config()).await.unwrap_err();
    assert!(!error.is_transient());
    let text = error.to_string();
    for part in [
        "subjects is [\"svc.only.*\"] and must be [\"svc.>\"]",
        "retention is interest and must be limits",
        "storage is memory and must be file",
        "duplicate_window is 2m and must be at least 10m: `nats stream edit QX_EVENTS --dupe-window=10m`",
    ] {
        assert!(text.contains(part), "{part} not in: {text}");
    }
    let after = context
        .get_stream("QX_EVENTS")
        .await
        .unwrap()
        .cached_info()
        .clone();
    assert_eq!(after.config, before.config);
}

#[tokio::test]
async fn subjects_that_another_stream_has_are_refused_with_a_way_out() {
    let nats = Nats::start().await.unwrap();
    aside(&nats)
        .await
        .create_stream(other("THEIRS", "svc.a.>"))
        .await
        .unwrap();
    let error = Broker::connect(nats.config()).await.unwrap_err();
    assert!(
        matches!(error, BrokerError::SubjectsTaken { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("nats stream find --subject svc.>"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_with_more_than_we_need_is_taken() {
    let nats = Nats::start().await.unwrap();
    let theirs = Config {
        subjects: vec!["svc.>".to_owned(), "more.*".to_owned()],
        duplicate_window: Duration::from_hours(1),
        max_message_size: 2000,
        ..other("QX_EVENTS", "")
    };
    aside(&nats).await.create_stream(theirs).await.unwrap();
    broker(&nats).await.check().await.unwrap();
}

#[tokio::test]
async fn more_copies_than_servers_are_refused_in_the_servers_words() {
    let nats = Nats::start().await.unwrap();
    let config = NatsConfig {
        replicas: 3,
        ..nats.config()
    };
    let error = Broker::connect(config).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("replicas"), "{error}: {cause}");
}

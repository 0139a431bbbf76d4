//! What a durable consumer promises, with a server that stays.

use std::time::{Duration, Instant};

use crate::world::{
    self, LONG, SHORT, aside, bodies, broker, messages, store, subscribe, subscription, take,
};
use async_nats::jetstream::consumer::{AckPolicy, Config};
use async_nats::{HeaderMap, HeaderValue};
use qx_broker::testing::Nats;
use qx_events::ports::{Lag, Stream, Subscription};
use qx_events::{ComponentName, StartFrom};

#[tokio::test]
async fn a_fetch_takes_what_is_there_and_never_more_than_asked() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &messages("a", 5)).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let first = source.fetch(2, LONG).await.unwrap();
    assert_eq!(bodies(&first), ["0", "1"]);
    let began = Instant::now();
    let rest = source.fetch(10, LONG).await.unwrap();
    assert_eq!(bodies(&rest), ["2", "3", "4"]);
    assert!(began.elapsed() < Duration::from_secs(1), "waited for more");
    assert!(source.fetch(0, LONG).await.unwrap().is_empty());
    let began = Instant::now();
    assert!(source.fetch(10, SHORT).await.unwrap().is_empty());
    assert!(began.elapsed() >= SHORT);
    assert!(source.fetch(10, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_waiting_fetch_returns_with_the_first_message() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let began = Instant::now();
    let (got, ()) = tokio::join!(source.fetch(10, Duration::from_secs(30)), async {
        // The fetch is polled first, and the store takes a while.
        tokio::task::yield_now().await;
        store(&broker, &messages("a", 1)).await;
    });
    assert_eq!(bodies(&got.unwrap()), ["0"]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_heartbeat_does_not_end_the_wait() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let began = Instant::now();
    assert!(
        source
            .fetch(1, Duration::from_secs(3))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_fetch_that_is_dropped_loses_nothing() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    for _ in 0..3 {
        let waiting = source.fetch(10, Duration::from_secs(30));
        assert!(tokio::time::timeout(SHORT, waiting).await.is_err());
    }
    store(&broker, &messages("a", 4)).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let got = source.fetch(3, LONG).await.unwrap();
        assert!(got.len() <= 3);
        for delivery in &got {
            assert_eq!(delivery.delivered, 1, "{delivery:?}");
            delivery.receipt.ack().await.unwrap();
        }
        seen.extend(bodies(&got));
    }
    assert_eq!(seen, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_full_fetch_does_not_slow_down_the_next() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &messages("a", 500)).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let began = Instant::now();
    take(&mut source, 1).await;
    for _ in 1..500 {
        let got = source.fetch(1, LONG).await.unwrap();
        got[0].receipt.ack().await.unwrap();
    }
    // A pause of 20 ms between two of them would take ten seconds.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn each_component_gets_what_its_patterns_say() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    for name in [
        "order.placed",
        "order.item.added",
        "user.registered",
        "ping",
    ] {
        store(&broker, &[world::message(name, name)]).await;
    }
    let table: [(&str, &[&str], &[&str]); 4] = [
        ("one", &["order.placed"], &["order.placed"]),
        (
            "two",
            &["order.*", "order.placed", "ping"],
            &["order.placed", "ping"],
        ),
        (
            "deep",
            &["order.>", "*.registered"],
            &["order.placed", "order.item.added", "user.registered"],
        ),
        (
            "all",
            &[">"],
            &[
                "order.placed",
                "order.item.added",
                "user.registered",
                "ping",
            ],
        ),
    ];
    for (component, patterns, expected) in table {
        let mut source = subscribe(&broker, component, patterns).await;
        let got = source.fetch(10, LONG).await.unwrap();
        assert_eq!(bodies(&got), expected, "{component}");
    }
}

#[tokio::test]
async fn acknowledged_is_gone_given_back_comes_again_terminated_never() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &messages("a", 3)).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let got = source.fetch(3, LONG).await.unwrap();
    assert_eq!(
        got.iter().map(|it| it.stream_seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    got[0].receipt.ack().await.unwrap();
    got[1]
        .receipt
        .nak(Duration::from_millis(400))
        .await
        .unwrap();
    got[2].receipt.term("no\nuse").await.unwrap();
    let began = Instant::now();
    let again = source.fetch(3, LONG).await.unwrap();
    assert_eq!(bodies(&again), ["1"]);
    assert_eq!((again[0].delivered, again[0].stream_seq), (2, 2));
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    again[0].receipt.nak(Duration::ZERO).await.unwrap();
    let third = source.fetch(3, LONG).await.unwrap();
    assert_eq!(third[0].delivered, 3);
    third[0].receipt.ack().await.unwrap();
    assert!(source.fetch(3, SHORT).await.unwrap().is_empty());
    let component = ComponentName::parse("c").unwrap();
    assert_eq!(broker.lag(&component).await.unwrap(), Some(Lag::default()));
}

#[tokio::test]
async fn an_unsettled_message_comes_again_after_the_wait_and_progress_extends_it() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &messages("a", 1)).await;
    let brief = Subscription {
        ack_wait: Duration::from_secs(1),
        ..subscription("c", &["a"])
    };
    let mut source = broker.subscribe(&brief).await.unwrap();
    let got = source.fetch(1, LONG).await.unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        assert!(
            source
                .fetch(1, Duration::from_millis(500))
                .await
                .unwrap()
                .is_empty()
        );
        got[0].receipt.progress().await.unwrap();
    }
    let again = source.fetch(1, LONG).await.unwrap();
    assert_eq!(again[0].delivered, 2);
    assert!(
        began.elapsed() >= Duration::from_millis(2200),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn no_more_than_the_bound_is_in_flight() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &messages("a", 5)).await;
    let narrow = Subscription {
        in_flight_max: 2,
        ..subscription("c", &["a"])
    };
    let mut source = broker.subscribe(&narrow).await.unwrap();
    let began = Instant::now();
    let got = source.fetch(5, LONG).await.unwrap();
    assert_eq!(bodies(&got), ["0", "1"]);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "waited for a slot: {:?}",
        began.elapsed()
    );
    let lag = broker
        .lag(&ComponentName::parse("c").unwrap())
        .await
        .unwrap();
    assert_eq!(
        lag,
        Some(Lag {
            pending: 3,
            in_flight: 2
        })
    );
    assert!(source.fetch(5, SHORT).await.unwrap().is_empty());
    got[0].receipt.ack().await.unwrap();
    let next = source.fetch(5, LONG).await.unwrap();
    assert_eq!(bodies(&next), ["2"]);
    assert_eq!(next[0].delivered, 1);
}

#[tokio::test]
async fn two_hosts_share_one_components_work() {
    let nats = Nats::start().await.unwrap();
    let (here, there) = (broker(&nats).await, broker(&nats).await);
    store(&here, &messages("a", 10)).await;
    let mut left = subscribe(&here, "c", &["a"]).await;
    let mut right = subscribe(&there, "c", &["a"]).await;
    let mut seen = bodies(&left.fetch(4, LONG).await.unwrap());
    seen.extend(bodies(&right.fetch(10, LONG).await.unwrap()));
    assert_eq!(seen, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_component_begins_where_it_says() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    store(&broker, &[world::message("a", "old")]).await;
    let from_now = Subscription {
        start: StartFrom::Now,
        ..subscription("late", &["a"])
    };
    let mut late = broker.subscribe(&from_now).await.unwrap();
    store(&broker, &[world::message("a", "new")]).await;
    assert_eq!(bodies(&late.fetch(5, LONG).await.unwrap()), ["new"]);
    let mut early = subscribe(&broker, "early", &["a"]).await;
    assert_eq!(bodies(&early.fetch(5, LONG).await.unwrap()), ["old", "new"]);
    assert_eq!(
        broker
            .lag(&ComponentName::parse("nobody").unwrap())
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_changed_subscription_keeps_its_progress() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut source = subscribe(&broker, "c", &["a"]).await;
    store(&broker, &messages("a", 2)).await;
    take(&mut source, 2).await;
    drop(source);
    store(
        &broker,
        &[world::message("a", "third"), world::message("b", "fourth")],
    )
    .await;

    let changed = Subscription {
        ack_wait: Duration::from_secs(77),
        in_flight_max: 7,
        ..subscription("c", &["a", "b"])
    };
    let mut source = broker.subscribe(&changed).await.unwrap();
    assert_eq!(
        bodies(&source.fetch(9, LONG).await.unwrap()),
        ["third", "fourth"]
    );
    let stream = aside(&nats).await.get_stream("QX_EVENTS").await.unwrap();
    let config = stream.consumer_info("qx_c").await.unwrap().config;
    assert_eq!(config.ack_wait, Duration::from_secs(77));
    assert_eq!(config.max_ack_pending, 7);
    assert_eq!(config.filter_subjects, ["svc.a", "svc.b"]);
    assert_eq!(config.max_deliver, -1);
}

#[tokio::test]
async fn a_consumer_that_somebody_else_made_is_refused_by_name() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let stream = aside(&nats).await.get_stream("QX_EVENTS").await.unwrap();
    let theirs = |name: &str| Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ..Config::default()
    };
    let table = [
        (
            "acks",
            Config {
                ack_policy: AckPolicy::All,
                ..theirs("qx_acks")
            },
            "ack_policy is all and must be explicit",
        ),
        (
            "push",
            Config {
                deliver_subject: Some("to.me".to_owned()),
                ..theirs("qx_push")
            },
            "deliver_subject is `to.me`",
        ),
        (
            "tries",
            Config {
                max_deliver: 5,
                ..theirs("qx_tries")
            },
            "max_deliver is 5 and must be -1",
        ),
    ];
    for (component, config, says) in table {
        stream.create_consumer(config).await.unwrap();
        let fault = broker
            .subscribe(&subscription(component, &["a"]))
            .await
            .err()
            .unwrap();
        assert!(!fault.is_transient());
        let text = fault.chain();
        assert!(text.contains(says), "{text}");
        assert!(
            text.contains(&format!("nats consumer rm QX_EVENTS qx_{component}")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn foreign_headers_are_read_in_their_own_case_and_all_of_them() {
    let nats = Nats::start().await.unwrap();
    let broker = broker(&nats).await;
    let mut headers = HeaderMap::new();
    headers.insert("Qx.Event_Name", "a");
    headers.append("X-Tag", HeaderValue::from("one"));
    headers.append("X-Tag", HeaderValue::from("two"));
    let context = aside(&nats).await;
    context
        .publish_with_headers("svc.a", headers, "{}".into())
        .await
        .unwrap()
        .await
        .unwrap();
    context
        .publish("svc.a", "bare".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut source = subscribe(&broker, "c", &["a"]).await;
    let got = source.fetch(2, LONG).await.unwrap();
    assert_eq!(got[0].headers.get("qx.event_name"), Some("a"));
    let tags = got[0].headers.0.iter().filter(|(name, _)| name == "X-Tag");
    assert_eq!(
        tags.map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert!(got[1].headers.0.is_empty());
}

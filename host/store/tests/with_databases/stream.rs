//! The embedded stream keeps the contract of streams, and some promises of its own.

use qx_events::contract::stream::World;
use qx_events::ports::{Publisher, Stream};
use qx_store::{EmbeddedStream, StreamConfig};
use tempfile::TempDir;

struct Embedded {
    stream: EmbeddedStream,
    config: StreamConfig,
    folder: TempDir,
}

impl World for Embedded {
    fn publisher(&self) -> &dyn Publisher {
        &self.stream
    }
    fn stream(&self) -> &dyn Stream {
        &self.stream
    }
}

async fn fresh() -> Embedded {
    let folder = tempfile::tempdir().unwrap();
    let config = StreamConfig {
        path: folder.path().join("stream.db"),
        name: "QX_EVENTS".to_owned(),
        subject_prefix: "svc".to_owned(),
    };
    let stream = EmbeddedStream::open(&config).await.unwrap();
    Embedded {
        stream,
        config,
        folder,
    }
}

mod contract {
    qx_events::stream_contract!(super::fresh());
}

mod own {
    use std::time::Duration;

    use qx_events::contract::stream::{message, subscription};
    use qx_events::ports::{Delivery, Lag, Published, Publisher, Source, Stream, Subscription};
    use qx_events::wire::Outgoing;
    use qx_store::{EmbeddedStream, StoreError, StreamStatus};
    use tokio::task::JoinSet;

    use super::{Embedded, fresh};

    /// Longest wait for something that must come.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long something must stay away to count as absent.
    const QUIET: Duration = Duration::from_millis(200);

    async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<Delivery> {
        let taken = source.fetch(count, PATIENCE).await.unwrap();
        assert_eq!(taken.len(), count);
        taken
    }

    async fn send(stream: &EmbeddedStream, names: &[&str]) {
        let messages: Vec<Outgoing> = names.iter().map(|name| message(name)).collect();
        for answer in stream.publish(&messages).await {
            assert!(matches!(answer, Published::Stored(_)), "{answer:?}");
        }
    }

    /// As after kill -9: nothing was handed back or closed in order.
    async fn reopened(world: Embedded) -> Embedded {
        let Embedded {
            stream,
            config,
            folder,
        } = world;
        stream.close().await;
        drop(stream);
        let stream = EmbeddedStream::open(&config).await.unwrap();
        Embedded {
            stream,
            config,
            folder,
        }
    }

    #[tokio::test]
    async fn what_a_former_process_had_in_hand_comes_again_at_once_embedded_1() {
        let world = fresh().await;
        send(&world.stream, &["a", "a", "a", "a"]).await;
        let wanted = subscription("a", &["a"]);
        let mut source = world.stream.subscribe(&wanted).await.unwrap();
        let in_hand = take(&mut source, 3).await;
        in_hand[0].receipt.ack().await.unwrap();
        in_hand[1].receipt.nak(PATIENCE * 6).await.unwrap();
        drop((in_hand, source));
        let world = reopened(world).await;
        let mut source = world.stream.subscribe(&wanted).await.unwrap();
        let came = source.fetch(10, PATIENCE).await.unwrap();
        let came: Vec<_> = came
            .iter()
            .map(|one| (one.stream_seq, one.delivered))
            .collect();
        assert_eq!(
            came,
            [(3, 2), (4, 1)],
            "what was handed back keeps its pause"
        );
    }

    #[tokio::test]
    async fn one_process_owns_the_stream_and_others_may_look() {
        let world = fresh().await;
        send(&world.stream, &["a", "b", "a"]).await;
        let mut source = world
            .stream
            .subscribe(&subscription("one", &["a"]))
            .await
            .unwrap();
        take(&mut source, 1).await;
        let error = EmbeddedStream::open(&world.config).await.err().unwrap();
        assert!(matches!(error, StoreError::StreamInUse { .. }));
        assert!(
            error.to_string().contains("this process already"),
            "{error}"
        );
        let status = StreamStatus::read(&world.config.path).await.unwrap();
        assert_eq!((status.messages, status.first, status.last), (3, 1, 3));
        let consumers: Vec<_> = status
            .consumers
            .iter()
            .map(|one| (one.component.as_str(), one.lag))
            .collect();
        assert_eq!(
            consumers,
            [(
                "one",
                Lag {
                    pending: 1,
                    in_flight: 1
                }
            )]
        );
    }

    #[tokio::test]
    async fn a_stream_that_cannot_be_opened_says_why() {
        let world = fresh().await;
        let mut config = world.config.clone();
        config.path = config.path.with_file_name("missing").join("stream.db");
        let error = EmbeddedStream::open(&config).await.err().unwrap();
        assert!(error.to_string().contains("mkdir -p"), "{error}");
        config.path = world.config.path.with_file_name("text.db");
        std::fs::write(&config.path, "this is a text and not a stream at all").unwrap();
        let error = EmbeddedStream::open(&config).await.err().unwrap();
        assert!(
            error.to_string().contains("is not a SQLite database"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_refused_and_the_others_are_stored() {
        let world = fresh().await;
        let large = Outgoing {
            body: vec![b'1'; (1 << 20) + 1].into(),
            ..message("a")
        };
        let answers = world
            .stream
            .publish(&[message("a"), large, message("a")])
            .await;
        assert!(matches!(answers[0], Published::Stored(_)));
        assert!(matches!(&answers[1], Published::Refused(why) if why.contains("1048576")));
        assert!(matches!(answers[2], Published::Stored(_)));
    }

    #[tokio::test]
    async fn a_subscription_that_cannot_work_is_refused_by_name() {
        let world = fresh().await;
        let fine = subscription("a", &["a"]);
        for (broken, says) in [
            (
                Subscription {
                    patterns: vec![],
                    ..fine.clone()
                },
                "pattern",
            ),
            (
                Subscription {
                    in_flight_max: 0,
                    ..fine.clone()
                },
                "in_flight_max",
            ),
            (
                Subscription {
                    ack_wait: Duration::ZERO,
                    ..fine.clone()
                },
                "ack_wait",
            ),
        ] {
            let fault = world.stream.subscribe(&broken).await.err().unwrap();
            assert!(
                !fault.is_transient() && fault.to_string().contains(says),
                "{fault}"
            );
        }
    }

    #[tokio::test]
    async fn only_what_everybody_has_passed_is_cleaned_up() {
        let world = fresh().await;
        let stream = &world.stream;
        let mut fast = stream
            .subscribe(&subscription("fast", &["a"]))
            .await
            .unwrap();
        let mut slow = stream
            .subscribe(&subscription("slow", &["a"]))
            .await
            .unwrap();
        let mut other = stream
            .subscribe(&subscription("other", &["b"]))
            .await
            .unwrap();
        send(stream, &["a", "a", "a", "a"]).await;
        for delivery in take(&mut fast, 4).await {
            delivery.receipt.ack().await.unwrap();
        }
        assert!(
            other.fetch(1, QUIET).await.unwrap().is_empty(),
            "passes over all of them"
        );
        assert_eq!(
            stream.clean_up(Duration::ZERO, 10).await.unwrap(),
            0,
            "slow has none"
        );
        let in_hand = take(&mut slow, 3).await;
        in_hand[0].receipt.ack().await.unwrap();
        in_hand[2].receipt.ack().await.unwrap();
        assert_eq!(
            stream.clean_up(PATIENCE * 60, 10).await.unwrap(),
            0,
            "none is old enough"
        );
        assert_eq!(
            stream.clean_up(Duration::ZERO, 10).await.unwrap(),
            1,
            "the second is in hand"
        );
        assert!(
            stream
                .forget(&subscription("slow", &["a"]).component)
                .await
                .unwrap()
        );
        assert_eq!(stream.clean_up(Duration::ZERO, 2).await.unwrap(), 2);
        assert_eq!(stream.clean_up(Duration::ZERO, 2).await.unwrap(), 1);
        let fault = slow.fetch(1, QUIET).await.unwrap_err();
        assert!(
            fault.is_transient(),
            "its source ends, and can subscribe again"
        );
        // The next message gets a position that nobody had.
        send(stream, &["a"]).await;
        assert_eq!(take(&mut fast, 1).await[0].stream_seq, 5);
    }

    #[tokio::test]
    async fn a_rare_event_is_found_behind_many_others_and_survives_a_restart() {
        let world = fresh().await;
        let many: Vec<&str> = vec!["often"; 1_500];
        for _ in 0..8 {
            send(&world.stream, &many).await;
        }
        send(&world.stream, &["rare"]).await;
        let wanted = subscription("a", &["rare"]);
        let mut source = world.stream.subscribe(&wanted).await.unwrap();
        let lag = world.stream.lag(&wanted.component).await.unwrap();
        assert_eq!(
            lag,
            Some(Lag {
                pending: 1,
                in_flight: 0
            })
        );
        let rare = take(&mut source, 1).await;
        assert_eq!(rare[0].stream_seq, 12_001);
        rare[0].receipt.ack().await.unwrap();
        send(&world.stream, &["often", "often"]).await;
        assert!(source.fetch(1, QUIET).await.unwrap().is_empty());
        drop((rare, source));
        let world = reopened(world).await;
        send(&world.stream, &["rare"]).await;
        let mut source = world.stream.subscribe(&wanted).await.unwrap();
        assert_eq!(take(&mut source, 1).await[0].stream_seq, 12_004);
    }

    /// Many settle at once, so they commit in groups; nothing may get lost on it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn deliveries_settled_at_once_are_all_settled() {
        const COUNT: usize = 300;
        let world = fresh().await;
        send(&world.stream, &["a"; COUNT]).await;
        let wanted = Subscription {
            in_flight_max: COUNT,
            ..subscription("a", &["a"])
        };
        let mut source = world.stream.subscribe(&wanted).await.unwrap();
        let mut settling = JoinSet::new();
        for (number, delivery) in take(&mut source, COUNT).await.into_iter().enumerate() {
            settling.spawn(async move {
                match number % 3 {
                    0 => delivery.receipt.ack().await.unwrap(),
                    1 => delivery.receipt.term("why").await.unwrap(),
                    _ => delivery.receipt.nak(Duration::ZERO).await.unwrap(),
                }
            });
            // Some give up waiting, which must not take the others' with it.
            if number % 50 == 49 {
                let cancelled = settling.spawn(std::future::pending());
                cancelled.abort();
            }
        }
        while let Some(settled) = settling.join_next().await {
            assert!(settled.is_ok() || settled.unwrap_err().is_cancelled());
        }
        let again = take(&mut source, COUNT / 3).await;
        assert!(again.iter().all(|delivery| delivery.delivered == 2));
        let lag = world.stream.lag(&wanted.component).await.unwrap();
        assert_eq!(
            lag,
            Some(Lag {
                pending: 0,
                in_flight: 100
            })
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_sources_of_a_component_share_the_messages() {
        let world = fresh().await;
        let wanted = subscription("a", &["a"]);
        let mut workers = JoinSet::new();
        for _ in 0..2 {
            let mut source = world.stream.subscribe(&wanted).await.unwrap();
            workers.spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let some = source.fetch(3, QUIET * 5).await.unwrap();
                    if some.is_empty() {
                        return seen;
                    }
                    for delivery in some {
                        delivery.receipt.ack().await.unwrap();
                        seen.push(delivery.stream_seq);
                    }
                }
            });
        }
        for _ in 0..20 {
            send(&world.stream, &["a"; 5]).await;
        }
        let mut seen = workers.join_all().await.concat();
        seen.sort_unstable();
        assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    }
}

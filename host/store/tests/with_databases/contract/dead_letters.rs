//! What a person relies on who looks after what went wrong.

use bytes::Bytes;
use qx_events::wire::Headers;
use qx_events::{DeadLetter, DeadReason, DeadReasonKind, Digest, LetterFilter, NameFilter};
use uuid::Uuid;

use crate::world::{World, letter, name};

pub(super) async fn list(world: &World, filter: &LetterFilter) -> Vec<DeadLetter> {
    world.letters.list(filter, 100).await.unwrap()
}

pub(super) async fn all(world: &World) -> Vec<DeadLetter> {
    list(world, &LetterFilter::default()).await
}

pub(super) async fn taken(world: &World) -> Vec<Uuid> {
    let letters = world.letters.take_requested(100).await.unwrap();
    letters.into_iter().map(|letter| letter.id).collect()
}

pub(super) fn only(letter: &DeadLetter) -> LetterFilter {
    LetterFilter::only(letter.id)
}

fn assert_same(left: &DeadLetter, right: &DeadLetter) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

pub(super) async fn a_letter_comes_back_as_it_was_written(world: &World) {
    let full = letter("a", "order.placed");
    let bare = DeadLetter {
        digest: None,
        event_id: None,
        correlation_id: None,
        tenant_id: None,
        headers: Headers::default(),
        attempts: 0,
        ..letter("a", "not a legal name")
    };
    for written in [&full, &bare] {
        world.letters.bury(written).await.unwrap();
        assert_same(&list(world, &only(written)).await[0], written);
    }
    let many = DeadLetter {
        headers: Headers(
            [("a", "1"), ("b", "2"), ("b", "3")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        ),
        ..letter("a", "x")
    };
    world.letters.bury(&many).await.unwrap();
    assert_eq!(list(world, &only(&many)).await[0].headers, many.headers);
}

pub(super) async fn any_bytes_at_all_can_be_a_letter(world: &World) {
    let long = "\0ü".repeat(3_000);
    for body in [
        Bytes::from_static(b""),
        Bytes::from_static(b"\xff\xfe\x00"),
        Bytes::from_static(b"{\"a\": \"\\u0000\", \"b\": \"\\ud800\"}"),
        Bytes::from_static(b"[1e999999]"),
        Bytes::from("[".repeat(100_000) + &"]".repeat(100_000)),
        Bytes::from_static(b"{\"a\": 1} trailing"),
    ] {
        let written = DeadLetter {
            body,
            event_name: long.clone(),
            event_version: u32::MAX,
            subject: long.clone(),
            headers: Headers(vec![(long.clone(), long.clone())]),
            reason: DeadReason {
                kind: DeadReasonKind::Malformed,
                text: long.clone(),
            },
            ..letter("a", "x")
        };
        world.letters.bury(&written).await.unwrap();
        let read = &list(world, &only(&written)).await[0];
        assert_eq!(read.body, written.body);
        assert_eq!(read.reason.kind, DeadReasonKind::Malformed);
        assert_eq!(read.reason.text.chars().count(), 2_048);
    }
}

pub(super) async fn a_letter_written_twice_is_one_letter_brought_up_to_date(world: &World) {
    let first = letter("a", "x");
    let second = DeadLetter {
        attempts: 9,
        digest: None,
        reason: DeadReason {
            kind: DeadReasonKind::Exhausted,
            text: "again".to_owned(),
        },
        ..first.clone()
    };
    world.letters.bury(&first).await.unwrap();
    world.letters.request_retry(&only(&first)).await.unwrap();
    world.letters.bury(&second).await.unwrap();
    let letters = all(world).await;
    assert_eq!(letters.len(), 1);
    let second = DeadLetter {
        retry_requested_at: letters[0].retry_requested_at,
        ..second
    };
    assert_same(&letters[0], &second);
    assert_eq!(taken(world).await, [first.id], "the request stands");
}

pub(super) async fn letters_are_listed_newest_first_and_by_filter(world: &World) {
    let mut letters = Vec::new();
    for (age, (component, event_name, kind)) in [
        ("a", "x", DeadReasonKind::Rejected),
        ("b", "x", DeadReasonKind::Rejected),
        ("a", "y", DeadReasonKind::Exhausted),
        ("a", "x", DeadReasonKind::Exhausted),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = letter(component, event_name);
        one.reason.kind = kind;
        one.failed_at -= chrono::Duration::seconds(i64::try_from(age).unwrap());
        world.letters.bury(&one).await.unwrap();
        letters.push(one.id);
    }
    let filter = LetterFilter::default();
    let found = async |filter: LetterFilter| {
        let found = list(world, &filter).await;
        found
            .iter()
            .map(|one| letters.iter().position(|id| *id == one.id).unwrap())
            .collect()
    };
    let everything: Vec<usize> = found(filter.clone()).await;
    assert_eq!(everything, [0, 1, 2, 3]);
    assert_eq!(world.letters.list(&filter, 2).await.unwrap().len(), 2);
    let of_a = LetterFilter {
        component: Some(name("a")),
        ..filter.clone()
    };
    let x = LetterFilter {
        event_name: Some(NameFilter::parse("x")),
        ..filter.clone()
    };
    let exhausted = LetterFilter {
        kind: Some(DeadReasonKind::Exhausted),
        ..filter.clone()
    };
    let two = LetterFilter {
        ids: vec![letters[1], letters[2]],
        ..filter.clone()
    };
    let both = LetterFilter {
        component: Some(name("a")),
        ..two.clone()
    };
    for (filter, expected) in [
        (of_a, vec![0, 2, 3]),
        (x, vec![0, 1, 3]),
        (exhausted, vec![2, 3]),
        (two, vec![1, 2]),
        (both, vec![2]),
    ] {
        let found: Vec<usize> = found(filter.clone()).await;
        assert_eq!(found, expected, "{filter:?}");
    }
    assert_eq!(
        world.letters.count(&LetterFilter::default()).await.unwrap(),
        4
    );
}

pub(super) async fn a_requested_letter_is_handed_out_once_for_each_request(world: &World) {
    let (first, second, third) = (letter("a", "x"), letter("a", "x"), letter("b", "x"));
    for one in [&first, &second, &third] {
        world.letters.bury(one).await.unwrap();
    }
    assert!(taken(world).await.is_empty());
    assert_eq!(
        world.letters.request_retry(&only(&second)).await.unwrap(),
        1
    );
    assert_eq!(taken(world).await, [second.id]);
    assert!(taken(world).await.is_empty());
    let of_a = LetterFilter {
        component: Some(name("a")),
        ..LetterFilter::default()
    };
    assert_eq!(world.letters.request_retry(&of_a).await.unwrap(), 2);
    assert_eq!(world.letters.take_requested(1).await.unwrap().len(), 1);
    assert_eq!(world.letters.take_requested(5).await.unwrap().len(), 1);
    assert!(taken(world).await.is_empty());
}

pub(super) async fn a_request_that_a_dead_host_took_is_handed_out_again_retry_1(world: &World) {
    let one = letter("a", "x");
    world.letters.bury(&one).await.unwrap();
    world.letters.request_retry(&only(&one)).await.unwrap();
    assert_eq!(taken(world).await, [one.id]);
    world
        .sql("UPDATE qx_dead_letters SET retry_taken_at = '2020-01-01T00:00:00.000Z'")
        .await;
    assert_eq!(taken(world).await, [one.id]);
    assert!(taken(world).await.is_empty());
}

pub(super) async fn a_request_during_a_retry_is_not_lost(world: &World) {
    let one = letter("a", "x");
    world.letters.bury(&one).await.unwrap();
    world.letters.request_retry(&only(&one)).await.unwrap();
    assert_eq!(taken(world).await, [one.id]);
    world.letters.request_retry(&only(&one)).await.unwrap();
    world
        .letters
        .retry_failed(one.id, None, &one.reason)
        .await
        .unwrap();
    assert_eq!(taken(world).await, [one.id]);
}

pub(super) async fn a_failed_retry_is_one_more_attempt(world: &World) {
    let one = letter("a", "x");
    world.letters.bury(&one).await.unwrap();
    world.letters.request_retry(&only(&one)).await.unwrap();
    assert_eq!(taken(world).await, [one.id]);
    let reason = DeadReason {
        kind: DeadReasonKind::Exhausted,
        text: "still".to_owned(),
    };
    let digest = Digest::new([1; 32]);
    world
        .letters
        .retry_failed(one.id, Some(digest), &reason)
        .await
        .unwrap();
    let read = &all(world).await[0];
    assert_eq!(
        (read.attempts, &read.reason, read.digest),
        (4, &reason, Some(digest))
    );
    assert!(read.failed_at > one.failed_at);
    assert!(taken(world).await.is_empty());
    world
        .letters
        .retry_failed(one.id, None, &reason)
        .await
        .unwrap();
    assert_eq!(all(world).await[0].digest, Some(digest));
}

pub(super) async fn only_the_letters_that_are_meant_are_dropped(world: &World) {
    let letters = [letter("a", "x"), letter("a", "y"), letter("b", "x")];
    for one in &letters {
        world.letters.bury(one).await.unwrap();
    }
    let of_a = LetterFilter {
        component: Some(name("a")),
        ..only(&letters[0])
    };
    assert_eq!(world.letters.drop_letters(&of_a).await.unwrap(), 1);
    assert_eq!(world.letters.drop_letters(&of_a).await.unwrap(), 0);
    assert_eq!(
        world.letters.count(&LetterFilter::default()).await.unwrap(),
        2
    );
    assert_eq!(
        world
            .letters
            .drop_letters(&LetterFilter::default())
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        world.letters.count(&LetterFilter::default()).await.unwrap(),
        0
    );
}

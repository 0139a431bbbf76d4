//! What a person does with dead letters: finds them, edits them, lets them expire.

use bytes::Bytes;
use qx_events::ports::{AfterEdit, EditAnswer};
use qx_events::{DeadLetter, LetterFilter, NameFilter};
use uuid::Uuid;

use super::dead_letters::{all, list, only, taken};
use crate::world::{World, letter};

async fn read(world: &World, letter: &DeadLetter) -> DeadLetter {
    list(world, &only(letter)).await.remove(0)
}

async fn edit(world: &World, letter: &DeadLetter, body: &Bytes, then: AfterEdit) -> EditAnswer {
    let event_id = letter.event_id.unwrap_or(Uuid::max());
    let edited = world.letters.edit(letter.id, event_id, body, then);
    edited.await.unwrap()
}

pub(super) async fn letters_are_meant_by_pattern_tenant_time_and_words(world: &World) {
    let tenant = Uuid::now_v7();
    let mut letters = Vec::new();
    for (age, (event_name, text)) in [
        ("order.placed", "100% of the stock is gone"),
        ("order.placed.late", "Timeout of the payment"),
        ("user.left", "no such user"),
        ("Not A Name", "body is not JSON"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = letter("a", event_name);
        one.reason.text = text.to_owned();
        one.failed_at -= chrono::Duration::seconds(i64::try_from(age).unwrap());
        one.tenant_id = (age == 2).then_some(tenant);
        world.letters.bury(&one).await.unwrap();
        letters.push(one);
    }
    let named = |text| LetterFilter {
        event_name: Some(NameFilter::parse(text)),
        ..LetterFilter::default()
    };
    let said = |text: &str| LetterFilter {
        reason_text: Some(text.to_owned()),
        ..LetterFilter::default()
    };
    let before = LetterFilter {
        failed_before: Some(letters[1].failed_at),
        ..LetterFilter::default()
    };
    let since = LetterFilter {
        failed_since: Some(letters[1].failed_at),
        ..LetterFilter::default()
    };
    let of_tenant = LetterFilter {
        tenant_id: Some(tenant),
        ..LetterFilter::default()
    };
    for (filter, expected) in [
        (named("order.*"), vec![0]),
        (named("order.>"), vec![0, 1]),
        (named("*.*.late"), vec![1]),
        (named(">"), vec![0, 1, 2]),
        (named("Not A Name"), vec![3]),
        (named("nobody.*"), vec![]),
        (said("timeout OF"), vec![1]),
        (said("100%"), vec![0]),
        (said("%"), vec![0]),
        (said("_"), vec![]),
        (before, vec![2, 3]),
        (since, vec![0, 1]),
        (of_tenant, vec![2]),
    ] {
        let found: Vec<usize> = list(world, &filter)
            .await
            .iter()
            .map(|one| letters.iter().position(|own| own.id == one.id).unwrap())
            .collect();
        assert_eq!(found, expected, "{filter:?}");
        let count = world.letters.count(&filter).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    }
    let late = named("order.>");
    assert_eq!(world.letters.request_retry(&late).await.unwrap(), 2);
    assert_eq!(world.letters.drop_letters(&late).await.unwrap(), 2);
    assert_eq!(all(world).await.len(), 2);
}

pub(super) async fn an_edited_letter_keeps_the_body_of_the_message_beside_its_own(world: &World) {
    let one = letter("a", "x");
    world.letters.bury(&one).await.unwrap();
    let (first, second) = (
        Bytes::from_static(b"{\"n\": 1}"),
        Bytes::from_static(b"{\"n\": 2}"),
    );
    assert_eq!(
        edit(world, &one, &first, AfterEdit::Keep).await,
        EditAnswer::Done
    );
    assert_eq!(
        edit(world, &one, &second, AfterEdit::Keep).await,
        EditAnswer::Done
    );
    let read_back = read(world, &one).await;
    assert_eq!(read_back.body, second);
    assert_eq!(read_back.edited.unwrap().original, one.body);
    assert_eq!(read_back.event_id, one.event_id);
    assert!(
        taken(world).await.is_empty(),
        "an edit alone asks for nothing"
    );

    // The message comes again: what the person made of it is not lost.
    let again = DeadLetter {
        body: Bytes::from_static(b"{\"of\": \"the message\"}"),
        ..one.clone()
    };
    world.letters.bury(&again).await.unwrap();
    let read_back = read(world, &one).await;
    assert_eq!(read_back.body, second);
    assert_eq!(read_back.edited.unwrap().original, again.body);

    let first_again = edit(world, &one, &first, AfterEdit::Retry).await;
    assert_eq!(first_again, EditAnswer::Done);
    let handed = world.letters.take_requested(9).await.unwrap();
    assert_eq!(handed[0].body, first, "a retry gives the edited body");
}

pub(super) async fn a_letter_without_an_event_gets_that_of_its_first_envelope(world: &World) {
    let bare = DeadLetter {
        event_id: None,
        ..letter("a", "x")
    };
    world.letters.bury(&bare).await.unwrap();
    let body = Bytes::from_static(b"{}");
    assert_eq!(
        edit(world, &bare, &body, AfterEdit::Keep).await,
        EditAnswer::Done
    );
    assert_eq!(read(world, &bare).await.event_id, Some(Uuid::max()));
}

pub(super) async fn a_letter_that_is_being_retried_is_not_edited(world: &World) {
    let one = letter("a", "x");
    world.letters.bury(&one).await.unwrap();
    world.letters.request_retry(&only(&one)).await.unwrap();
    assert_eq!(taken(world).await, [one.id]);
    let body = Bytes::from_static(b"{\"n\": 1}");
    for then in [AfterEdit::Keep, AfterEdit::Retry] {
        assert_eq!(
            edit(world, &one, &body, then).await,
            EditAnswer::BeingRetried
        );
    }
    assert_eq!(read(world, &one).await.body, one.body);
    world
        .letters
        .retry_failed(one.id, None, &one.reason)
        .await
        .unwrap();
    assert_eq!(
        edit(world, &one, &body, AfterEdit::Keep).await,
        EditAnswer::Done
    );
    world.letters.drop_letters(&only(&one)).await.unwrap();
    assert_eq!(
        edit(world, &one, &body, AfterEdit::Keep).await,
        EditAnswer::Gone
    );
}

pub(super) async fn letters_expire_a_few_at_a_time_and_never_one_that_is_asked_for(world: &World) {
    let day = std::time::Duration::from_hours(24);
    // Days since 1970: long ago, and long after anybody runs this.
    let of_day = |component, day: i64| DeadLetter {
        failed_at: chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap(),
        ..letter(component, "x")
    };
    let (young, asked) = (of_day("a", 50_000), of_day("a", 9));
    for one in [
        &young,
        &asked,
        &of_day("a", 12),
        &of_day("b", 11),
        &of_day("b", 10),
    ] {
        world.letters.bury(one).await.unwrap();
    }
    world.letters.request_retry(&only(&asked)).await.unwrap();
    let expire = async |limit| {
        let gone = world.store.expire_dead_letters(30 * day, limit).await;
        Vec::from_iter(gone.unwrap())
    };
    assert_eq!(expire(2).await, [("b".to_owned(), 2)], "the oldest first");
    assert_eq!(expire(2).await, [("a".to_owned(), 1)]);
    assert_eq!(expire(2).await, []);
    let left: Vec<Uuid> = all(world).await.iter().map(|one| one.id).collect();
    assert_eq!(left, [young.id, asked.id]);
    let kept = world
        .store
        .expire_dead_letters(std::time::Duration::MAX, 9)
        .await;
    assert!(kept.unwrap().is_empty());
}

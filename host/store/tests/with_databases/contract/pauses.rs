//! What operators have paused.

use crate::world::{World, name};

pub(super) async fn a_pause_is_kept_with_its_words_until_it_is_resumed(world: &World) {
    let table = world.store.pauses();
    assert_eq!(table.paused().await.unwrap(), []);
    table.pause(&name("a"), "ada", "moving").await.unwrap();
    table.pause(&name("b"), "b\0b", "").await.unwrap();
    let mut paused = table.paused().await.unwrap();
    paused.sort_by(|one, other| one.component.cmp(&other.component));
    let words: Vec<_> = paused
        .iter()
        .map(|pause| (pause.component.as_str(), &*pause.by, &*pause.reason))
        .collect();
    assert_eq!(words, [("a", "ada", "moving"), ("b", "b\u{fffd}b", "")]);
    let since = paused[0].since;
    table.pause(&name("a"), "bob", "still").await.unwrap();
    assert!(table.resume(&name("b")).await.unwrap());
    assert!(!table.resume(&name("b")).await.unwrap());
    let paused = table.paused().await.unwrap();
    assert_eq!((&*paused[0].by, paused[0].since), ("bob", since));
    assert_eq!(paused.len(), 1);
}

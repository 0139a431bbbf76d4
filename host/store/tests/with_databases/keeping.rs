//! What is kept, counted and forgotten, and a file that another process holds.

use std::time::Duration;

use qx_events::Known;
use sqlx::{Connection, SqliteConnection};

use crate::world::{World, event, letter, settlement};

/// A person's open transaction in another program must not stop the host for ever.
#[tokio::test]
async fn a_file_that_is_never_given_back_is_a_transient_fault() {
    let world = World::sqlite().await;
    let mut conn = SqliteConnection::connect(&world.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut conn)
        .await
        .unwrap();
    let fault = world.ledger.settle(&[settlement("a")]).await.unwrap_err();
    assert!(fault.is_transient(), "{}", fault.chain());
    assert!(fault.chain().contains("locked"), "{}", fault.chain());
    assert_eq!(
        world.outbox.pending(1).await.unwrap().len(),
        0,
        "reading goes on"
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut conn).await.unwrap();
    world.ledger.settle(&[settlement("a")]).await.unwrap();
}

#[tokio::test]
async fn old_inbox_marks_are_forgotten_and_the_audit_counts_what_is_left() {
    for world in [World::postgres().await, World::sqlite().await] {
        let group = [settlement("a"), settlement("a"), settlement("b")];
        world.ledger.settle(&group).await.unwrap();
        world.letters.bury(&letter("b", "x")).await.unwrap();
        world.record(&[event("x"), event("x"), event("y")]).await;
        let lease = world.lease().await;
        let first = world.outbox.pending(1).await.unwrap()[0].seq;
        assert!(world.mark(lease, [first]).await);
        let day = Duration::from_hours(24);
        assert_eq!(world.store.clean_up_inbox(day, 100).await.unwrap(), 0);
        let old = group[0].event_id;
        world
            .sql(&format!(
                "UPDATE qx_inbox SET handled_at = '2020-01-01T00:00:00.000Z'
                           WHERE event_id = '{old}'"
            ))
            .await;
        assert_eq!(
            world
                .store
                .clean_up_inbox(Duration::MAX, 100)
                .await
                .unwrap(),
            0
        );
        assert_eq!(world.store.clean_up_inbox(day, 100).await.unwrap(), 1);
        let audit = world.store.audit().await.unwrap();
        let components: Vec<_> = audit
            .components
            .iter()
            .map(|one| (&*one.component, one.handled, one.dead))
            .collect();
        assert_eq!(components, [("a", 1, 0), ("b", 1, 1)]);
        let events: Vec<_> = audit
            .events
            .iter()
            .map(|one| (&*one.event_name, one.pending, one.published, one.failed))
            .collect();
        assert_eq!(events, [("x", 1, 1, 0), ("y", 1, 0, 0)]);
    }
}

/// A dead letter can be retried for as long as it is kept.
#[tokio::test]
async fn a_mark_stays_while_there_is_a_dead_letter_of_its_component_and_event() {
    for world in [World::postgres().await, World::sqlite().await] {
        let (buried, other) = (letter("a", "x"), letter("b", "x"));
        for one in [&buried, &other] {
            world.letters.bury(one).await.unwrap();
        }
        let mut group: Vec<_> = (0..3).map(|_| settlement("a")).collect();
        group[0].event_id = buried.event_id.unwrap();
        group[1].event_id = other.event_id.unwrap();
        world.ledger.settle(&group).await.unwrap();
        let age = "UPDATE qx_inbox SET handled_at = '2020-01-01T00:00:00.000Z'";
        world.sql(age).await;
        let day = Duration::from_hours(24);
        let clean_up = async || world.store.clean_up_inbox(day, 2).await.unwrap();
        assert_eq!(clean_up().await, 2, "b's letter is not a's");
        assert_eq!(clean_up().await, 0);
        world.sql("DELETE FROM qx_dead_letters").await;
        assert_eq!(clean_up().await, 1);
    }
}

/// A row that goes out again because the stream lost it can come again for as long as
/// any: its mark counts from then.
#[tokio::test]
async fn a_mark_is_as_young_as_the_last_delivery_of_its_event() {
    for world in [World::postgres().await, World::sqlite().await] {
        let group = [settlement("a"), settlement("a"), settlement("b")];
        world.ledger.settle(&group).await.unwrap();
        let age = "UPDATE qx_inbox SET handled_at = '2020-01-01T00:00:00.000Z'";
        world.sql(age).await;
        let (component, events) = (&group[0].component, [group[0].event_id]);
        let known = world.ledger.known(component, &events).await.unwrap();
        assert_eq!(known.get(&events[0]), Some(&Known::Handled));
        let day = Duration::from_hours(24);
        assert_eq!(world.store.clean_up_inbox(day, 100).await.unwrap(), 2);
        let known = world.ledger.known(component, &events).await.unwrap();
        assert_eq!(known.get(&events[0]), Some(&Known::Handled));
        assert_eq!(world.number("SELECT count(*) FROM qx_inbox").await, 1);
    }
}

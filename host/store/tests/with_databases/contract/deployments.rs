//! The history of builds, and the builds that are refused.

use qx_events::Digest;
use qx_events::ports::{Action, Deployment, HISTORY_MAX};

use crate::world::{World, name};

fn line(component: &str, digest: u8, action: Action) -> Deployment {
    Deployment {
        component: name(component),
        digest: Some(Digest::new([digest; 32])),
        action,
        by: "ada".to_owned(),
        host: "one".to_owned(),
        folder: "/srv/components".to_owned(),
        reason: "be\0cause".to_owned(),
    }
}

pub(super) async fn the_history_of_a_component_is_kept_newest_first_and_bounded(world: &World) {
    let table = world.store.deployments();
    assert_eq!(table.history(&name("a")).await.unwrap(), []);
    for (digest, action) in [
        (1, Action::Load),
        (2, Action::CanaryStart),
        (2, Action::Swap),
    ] {
        table.record(&line("a", digest, action)).await.unwrap();
    }
    let unread = Deployment {
        digest: None,
        ..line("a", 0, Action::Refuse)
    };
    table.record(&unread).await.unwrap();
    table.record(&line("b", 3, Action::Load)).await.unwrap();
    let history = table.history(&name("a")).await.unwrap();
    let seen: Vec<_> = history
        .iter()
        .map(|line| {
            let first = line.deployment.digest.map(|digest| digest.bytes()[0]);
            (first, line.deployment.action)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (None, Action::Refuse),
            (Some(2), Action::Swap),
            (Some(2), Action::CanaryStart),
            (Some(1), Action::Load),
        ]
    );
    assert_eq!(history[1].deployment.reason, "be\u{fffd}cause");
    assert!(history.is_sorted_by(|newer, older| newer.at >= older.at));

    for _ in 0..=HISTORY_MAX {
        table.record(&line("a", 4, Action::Swap)).await.unwrap();
    }
    let history = table.history(&name("a")).await.unwrap();
    assert_eq!(history.len(), HISTORY_MAX as usize);
    let four = Some(Digest::new([4; 32]));
    assert!(history.iter().all(|line| line.deployment.digest == four));
    assert_eq!(table.history(&name("b")).await.unwrap().len(), 1);
}

pub(super) async fn a_build_that_was_taken_back_is_refused_until_a_person_allows_it(world: &World) {
    let table = world.store.deployments();
    let back = line("a", 7, Action::CanaryRollback);
    table
        .record(&line("a", 6, Action::CanaryStart))
        .await
        .unwrap();
    assert_eq!(table.refused(&name("a")).await.unwrap(), []);
    for _ in 0..2 {
        table.record(&back).await.unwrap();
    }
    let refused = table.refused(&name("a")).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].digest, Digest::new([7; 32]));
    assert_eq!(
        (&*refused[0].host, &*refused[0].reason),
        ("one", "be\u{fffd}cause")
    );
    assert_eq!(table.refused(&name("b")).await.unwrap(), []);
    assert!(table.allow(&name("a"), Digest::new([7; 32])).await.unwrap());
    assert!(!table.allow(&name("a"), Digest::new([7; 32])).await.unwrap());
    assert_eq!(table.refused(&name("a")).await.unwrap(), []);
}

//! Every kind of fault, one after the other, under load, in an order that the seed
//! gives: nothing is lost, invented or done twice, and the lag goes back by itself.
//!
//! `make soak MINUTES=10 SEED=7` goes on for longer. The history of a run stays in
//! `target/trials`: `cargo run -p acceptance --bin check -- target/trials/soak-7.jsonl`.
#![cfg(test)]

use std::time::Duration;

use acceptance::soak::{Until, soak};

/// Of the run in the tests. Another one finds other orders.
const SEED: u64 = 3;

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_fault_one_after_the_other_nothing_is_lost_or_done_twice() {
    let seed = number_in("QX_SEED").unwrap_or(SEED);
    let until = number_in("QX_SOAK_MINUTES").map_or(Until::EachOnce, |minutes| {
        Until::For(Duration::from_mins(minutes))
    });
    let (judgement, history) = soak(seed, until).await;
    let path = history.display();
    assert!(judgement.is_good(), "QX_SEED={seed}, {path}:\n{judgement}");
    assert!(judgement.seen.committed > 200, "{path}:\n{judgement}");
}

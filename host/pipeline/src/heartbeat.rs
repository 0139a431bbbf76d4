//! Keeps deliveries ours while work on them goes on.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::join_all;
use qx_events::ports::Receipt;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Shortest pause between two heartbeats, should somebody ask for none.
const EVERY_MIN: Duration = Duration::from_millis(10);

/// Runs `work`; tells the stream every `every` that these deliveries are in hand.
///
/// A heartbeat that fails is no reason to stop: if the delivery comes again, the
/// inbox knows it. One that hangs does not hold the work up.
pub(crate) async fn with_heartbeat<T>(
    receipts: &[&dyn Receipt],
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        biased; // A finished work needs no more heartbeat.
        done = work => done,
        never = beat(receipts, every.max(EVERY_MIN)) => match never {},
    }
}

async fn beat(receipts: &[&dyn Receipt], every: Duration) -> Infallible {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let beats = receipts.iter().map(|receipt| receipt.progress());
        for taken in join_all(beats).await {
            if let Err(fault) = taken {
                tracing::debug!(error = fault.chain(), "heartbeat was not taken");
            }
        }
    }
}

//! Keeps deliveries ours while work on them goes on.

use std::time::Duration;

use qx_events::ports::Receipt;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Runs `work`; tells the stream every `every` that these deliveries are in hand.
///
/// A heartbeat that fails is no reason to stop: if the delivery comes again, the
/// inbox knows it.
pub(crate) async fn with_heartbeat<T>(
    receipts: &[&dyn Receipt],
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased; // A finished work needs no more heartbeat.
            done = &mut work => return done,
            _ = ticks.tick() => {
                for receipt in receipts {
                    if let Err(fault) = receipt.progress().await {
                        tracing::debug!(error = fault.chain(), "heartbeat was not taken");
                    }
                }
            }
        }
    }
}

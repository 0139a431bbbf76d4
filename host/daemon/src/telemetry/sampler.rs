//! Looks every few seconds at what cannot be counted as it happens: how much
//! waits, and where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qx_events::ports::{Lag, OutboxStatus};
use qx_events::{ComponentName, StateSize};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::names;

/// How often: finer than most scrape, and cheap for the database and for the broker.
const EVERY: Duration = Duration::from_secs(10);
/// How long one look may take before its figures are given up.
const WAIT: Duration = Duration::from_secs(4);

/// What one look found. What could not be learned is left out, and is then absent
/// from `/metrics` rather than old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The outbox.
    pub outbox: Option<OutboxStatus>,
    /// How far each component is behind.
    pub lags: BTreeMap<ComponentName, Lag>,
    /// Dead letters that are kept.
    pub dead_letters: Option<u64>,
    /// Components by state.
    pub components: BTreeMap<String, usize>,
    /// The shares of builds that are tried, in percent, by component.
    pub canaries: BTreeMap<String, u8>,
    /// How much state each component has.
    pub stored: BTreeMap<String, StateSize>,
}

/// Can be looked at.
#[async_trait]
pub trait Sampled: Send + Sync {
    /// One look.
    async fn sample(&self) -> Sample;
}

/// The loop that looks.
pub struct Sampler {
    metrics: Metrics,
    sampled: Arc<dyn Sampled>,
}

impl Sampler {
    /// Looks at `sampled`, for `metrics`.
    pub fn new(metrics: Metrics, sampled: Arc<dyn Sampled>) -> Self {
        Self { metrics, sampled }
    }

    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased; // Stop wins over another look.
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.look().await;
        }
    }

    /// One look. Also folds the histograms, which would otherwise grow unscraped.
    pub async fn look(&self) {
        let sample = tokio::time::timeout(WAIT, self.sampled.sample()).await;
        self.metrics
            .replace_sampled(&figures(&sample.unwrap_or_default()));
        self.metrics.fold();
    }
}

fn figures(sample: &Sample) -> Metrics {
    let figures = Metrics::blank();
    if let Some(outbox) = sample.outbox {
        figures
            .gauge(&names::OUTBOX_PENDING, &[])
            .set(count(outbox.pending));
        figures
            .gauge(&names::OUTBOX_OLDEST, &[])
            .set(count(outbox.oldest_pending_ms) / 1e3);
        figures
            .gauge(&names::OUTBOX_KEPT, &[])
            .set(count(outbox.published));
        figures
            .gauge(&names::OUTBOX_FAILED, &[])
            .set(count(outbox.failed));
    }
    if let Some(letters) = sample.dead_letters {
        figures
            .gauge(&names::DEAD_LETTERS_KEPT, &[])
            .set(count(letters));
    }
    for (component, lag) in &sample.lags {
        let labels = &[component.as_str()];
        figures.gauge(&names::LAG, labels).set(count(lag.pending));
        figures
            .gauge(&names::IN_FLIGHT, labels)
            .set(count(lag.in_flight));
    }
    for (component, percent) in &sample.canaries {
        figures
            .gauge(&names::CANARY, &[component.as_str()])
            .set(f64::from(*percent));
    }
    for (component, size) in &sample.stored {
        let labels = &[component.as_str()];
        figures
            .gauge(&names::STATE_KEYS, labels)
            .set(count(size.keys));
        figures
            .gauge(&names::STATE_BYTES, labels)
            .set(count(size.bytes));
    }
    for (state, components) in &sample.components {
        figures
            .gauge(&names::COMPONENTS, &[state.as_str()])
            .set(count(*components as u64));
    }
    figures
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; counts past 2^53 may round"
)]
fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers with these in turn, then not at all.
    struct Script(Mutex<Vec<Sample>>);

    #[async_trait]
    impl Sampled for Script {
        async fn sample(&self) -> Sample {
            let next = self.0.lock().unwrap().pop();
            match next {
                Some(sample) => sample,
                None => std::future::pending().await,
            }
        }
    }

    fn full() -> Sample {
        let stars = ComponentName::parse("stars").unwrap();
        Sample {
            outbox: Some(OutboxStatus {
                pending: 7,
                delayed: 0,
                oldest_pending_ms: 1_500,
                published: 3,
                failed: 1,
            }),
            lags: BTreeMap::from([(
                stars,
                Lag {
                    pending: 4,
                    in_flight: 2,
                },
            )]),
            dead_letters: Some(9),
            components: BTreeMap::from([("serving".to_owned(), 1)]),
            canaries: BTreeMap::from([("stars".to_owned(), 10)]),
            stored: BTreeMap::from([("stars".to_owned(), StateSize { keys: 5, bytes: 60 })]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sampled_is_shown_and_what_is_gone_is_not() {
        let metrics = Metrics::new();
        let script = Script(Mutex::new(vec![Sample::default(), full()]));
        let sampler = Sampler::new(metrics.clone(), Arc::new(script));
        sampler.look().await;
        let text = metrics.render();
        for line in [
            "qx_outbox_pending 7",
            "qx_component_state_keys{component=\"stars\"} 5",
            "qx_component_state_bytes{component=\"stars\"} 60",
            "qx_canary_percent{component=\"stars\"} 10",
            "qx_outbox_oldest_pending_seconds 1.5",
            "qx_outbox_published_kept 3",
            "qx_outbox_failed 1",
            "qx_component_lag{component=\"stars\"} 4",
            "qx_component_in_flight{component=\"stars\"} 2",
            "qx_dead_letters_kept 9",
            "qx_components{state=\"serving\"} 1",
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is not in\n{text}"
            );
        }
        sampler.look().await;
        let text = metrics.render();
        assert!(
            !text.contains("qx_component_lag") && !text.contains("qx_outbox_pending"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_never_ends_leaves_no_old_figures_and_does_not_stop_the_loop() {
        let metrics = Metrics::new();
        let script = Script(Mutex::new(vec![full()]));
        let sampler = Sampler::new(metrics.clone(), Arc::new(script));
        sampler.look().await;
        sampler.look().await;
        assert!(!metrics.render().contains("qx_outbox_pending"));
        let stop = CancellationToken::new();
        stop.cancel();
        sampler.run(stop).await;
    }
}

//! The figures of one process, and their text for Prometheus.
//!
//! Nothing is global: who counts holds a [`Metrics`], so several can live side by
//! side. What is sampled is a snapshot of its own that is replaced whole: a
//! component that is gone leaves no figure behind, and a database that does not
//! answer leaves no stale one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use qx_events::ComponentName;
use qx_events::ports::Action;

use super::names::{self, Kind, Metric};

const METADATA: Metadata<'static> = Metadata::new("qx", Level::INFO, None);

/// Counts. Clones count into the same place.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: PrometheusRecorder,
    sampled: ArcSwap<String>,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let inner = Inner {
            recorder: recorder(),
            sampled: ArcSwap::default(),
        };
        let metrics = Self {
            inner: Arc::new(inner),
        };
        metrics
            .gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        metrics
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        let mut text = self.inner.recorder.handle().render();
        text.push_str(&self.inner.sampled.load());
        text
    }

    /// So many dead letters of the component were deleted by age.
    pub(crate) fn dead_letters_expired(&self, component: &str, letters: u64) {
        let expired = self.counter(&names::DEAD_LETTERS_EXPIRED, &[component]);
        expired.increment(letters);
    }

    /// Something happened to a build.
    pub(crate) fn deployed(&self, component: &ComponentName, action: Action) {
        let labels = [component.as_str(), action.as_str()];
        self.counter(&names::DEPLOYMENTS, &labels).increment(1);
    }

    /// Replaces what was sampled.
    pub(super) fn replace_sampled(&self, sampled: &Self) {
        let text = sampled.inner.recorder.handle().render();
        self.inner.sampled.store(Arc::new(text));
    }

    /// A place for samples: nothing in it, not even the build.
    pub(super) fn blank() -> Self {
        let inner = Inner {
            recorder: recorder(),
            sampled: ArcSwap::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Folds observations into their buckets. Until then each takes memory, so this
    /// must happen every few seconds, scraped or not.
    pub(super) fn fold(&self) {
        self.inner.recorder.handle().run_upkeep();
    }

    /// `labels` are the values for the metric's labels, in their order.
    pub(super) fn counter(&self, metric: &'static Metric, labels: &[&str]) -> Counter {
        self.inner
            .recorder
            .register_counter(&key(metric, labels), &METADATA)
    }

    /// As above.
    pub(super) fn gauge(&self, metric: &'static Metric, labels: &[&str]) -> Gauge {
        self.inner
            .recorder
            .register_gauge(&key(metric, labels), &METADATA)
    }

    /// As above.
    pub(super) fn histogram(&self, metric: &'static Metric, labels: &[&str]) -> Histogram {
        self.inner
            .recorder
            .register_histogram(&key(metric, labels), &METADATA)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn recorder() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for metric in names::ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = match builder.set_buckets_for_metric(name, buckets) {
                Ok(builder) => builder,
                // Only an empty list is refused, and none is.
                Err(_) => PrometheusBuilder::new(),
            };
        }
    }
    let recorder = builder.build_recorder();
    for metric in names::ALL {
        let (name, doc) = (metric.name.into(), metric.doc.into());
        let unit = Unit::from_string(metric.unit);
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, unit, doc),
            Kind::Gauge => recorder.describe_gauge(name, unit, doc),
            Kind::Histogram(_) => recorder.describe_histogram(name, unit, doc),
        }
    }
    recorder
}

fn key(metric: &'static Metric, labels: &[&str]) -> Key {
    let pairs = metric.labels.iter().zip(labels);
    let labels: Vec<Label> = pairs
        .map(|(label, value)| Label::new(*label, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hosts_in_one_process_count_apart() {
        let (left, right) = (Metrics::new(), Metrics::new());
        left.counter(&names::RELAY_PUBLISHED, &[]).increment(3);
        assert!(left.render().contains("qx_relay_published_total 3\n"));
        assert!(!right.render().contains("qx_relay_published_total 3"));
    }

    #[test]
    fn the_text_has_help_types_and_the_build() {
        let metrics = Metrics::new();
        metrics.histogram(&names::ATTEMPT, &["stars"]).record(0.003);
        let text = metrics.render();
        assert!(
            text.contains("# HELP qx_attempt_duration_seconds One attempt"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE qx_attempt_duration_seconds histogram"),
            "{text}"
        );
        let bucket = |le: &str| {
            format!("qx_attempt_duration_seconds_bucket{{component=\"stars\",le=\"{le}\"}}")
        };
        assert!(
            text.contains(&format!("{} 0\n", bucket("0.0025"))),
            "{text}"
        );
        assert!(text.contains(&format!("{} 1\n", bucket("0.005"))), "{text}");
        assert!(text.contains("qx_build_info{version="), "{text}");
    }
}

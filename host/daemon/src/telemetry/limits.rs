//! Counts the limits that calls hit. The words are those of `docs/limits.md`.

use std::sync::Arc;

use qx_events::ports::LogLine;
use qx_sandbox::{CallId, LogSink};

use super::metrics::Metrics;
use super::names;

/// Counts limits; looks at no line.
pub struct LimitsHit(Metrics);

impl LimitsHit {
    /// Counts into `metrics`.
    pub fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self(metrics))
    }
}

impl LogSink for LimitsHit {
    fn line(&self, _: &CallId, _: &LogLine) {}

    fn limit(&self, call: &CallId, limit: &'static str) {
        let labels = [call.component.as_str(), limit];
        self.0.counter(&names::LIMITS, &labels).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use qx_events::ComponentName;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_limit_is_counted_by_component_and_word() {
        let metrics = Metrics::new();
        let call = CallId {
            component: ComponentName::parse("stars").unwrap(),
            event_id: Uuid::nil(),
            attempt: 1,
        };
        LimitsHit::new(metrics.clone()).limit(&call, "cpu");
        let text = metrics.render();
        let line = "qx_limits_hit_total{component=\"stars\",limit=\"cpu\"} 1";
        assert!(text.contains(line), "{text}");
    }
}

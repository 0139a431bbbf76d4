//! Counts the limits that calls hit, by the words of `docs/limits.md`, and what
//! happens to instances that are used again.

use std::sync::Arc;

use qx_events::ComponentName;
use qx_events::ports::LogLine;
use qx_sandbox::{CallId, Life, LogSink};

use super::metrics::Metrics;
use super::names;

/// Counts limits and instances; looks at no line.
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

    fn instance(&self, component: &ComponentName, life: Life) {
        let component = component.as_str();
        let counter = match life {
            Life::Made => self.0.counter(&names::INSTANCES_MADE, &[component]),
            Life::Reused => self.0.counter(&names::INSTANCES_REUSED, &[component]),
            Life::Retired(why) => {
                let labels = [component, why.as_str()];
                self.0.counter(&names::INSTANCES_RETIRED, &labels)
            }
        };
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use qx_sandbox::Retired;
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

    #[test]
    fn instances_are_counted_by_component_and_why_they_went() {
        let metrics = Metrics::new();
        let counts = LimitsHit::new(metrics.clone());
        let stars = ComponentName::parse("stars").unwrap();
        for life in [Life::Made, Life::Reused, Life::Reused] {
            counts.instance(&stars, life);
        }
        for why in Retired::ALL {
            counts.instance(&stars, Life::Retired(why));
        }
        let text = metrics.render();
        assert!(
            text.contains("qx_instances_made_total{component=\"stars\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("qx_instances_reused_total{component=\"stars\"} 2"),
            "{text}"
        );
        for why in Retired::ALL {
            let (name, why) = ("qx_instances_retired_total", why.as_str());
            let line = format!("{name}{{component=\"stars\",reason=\"{why}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }
}

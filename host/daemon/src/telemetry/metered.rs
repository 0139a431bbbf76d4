//! Decisions as figures. What is counted here is counted where it was decided, so
//! the counters can be added up against the tables.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram};
use qx_events::{ComponentName, DeadReasonKind};
use qx_pipeline::{PausedBy, Sight, Witness};

use super::metrics::Metrics;
use super::names;

/// Counts decisions.
pub struct Metered {
    metrics: Metrics,
    relay: RelayMeters,
    /// Grows with the catalog, and is read on every delivery.
    components: ArcSwap<HashMap<ComponentName, Arc<ComponentMeters>>>,
}

struct RelayMeters {
    leads: Gauge,
    published: Counter,
    duplicates: Counter,
    set_aside: Counter,
    blocked: Counter,
    held_back: Gauge,
    regressions: Counter,
    pass: Histogram,
}

/// What the hot path counts for one component. Rarer outcomes are looked up when
/// they occur.
struct ComponentMeters {
    done: Counter,
    duration: Histogram,
    emitted: Counter,
    duplicates: Counter,
    held: Gauge,
    holds: Counter,
}

impl Metered {
    /// Counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        let relay = RelayMeters {
            leads: metrics.gauge(&names::RELAY_LEADS, &[]),
            published: metrics.counter(&names::RELAY_PUBLISHED, &[]),
            duplicates: metrics.counter(&names::RELAY_DUPLICATES, &[]),
            set_aside: metrics.counter(&names::RELAY_SET_ASIDE, &[]),
            blocked: metrics.counter(&names::RELAY_BLOCKED, &[]),
            held_back: metrics.gauge(&names::RELAY_HELD_BACK, &[]),
            regressions: metrics.counter(&names::STREAM_REGRESSIONS, &[]),
            pass: metrics.histogram(&names::RELAY_PASS, &[]),
        };
        Self {
            metrics,
            relay,
            components: ArcSwap::default(),
        }
    }

    fn of(&self, component: &ComponentName) -> Arc<ComponentMeters> {
        if let Some(meters) = self.components.load().get(component) {
            return Arc::clone(meters);
        }
        // Two that race here get handles to the same counters.
        let meters = Arc::new(ComponentMeters::new(&self.metrics, component));
        self.components.rcu(|known| {
            let mut next = HashMap::clone(known);
            next.insert(component.clone(), Arc::clone(&meters));
            next
        });
        meters
    }

    fn count_attempt(&self, component: &ComponentName, outcome: &str) {
        let labels = [component.as_str(), outcome];
        self.metrics.counter(&names::ATTEMPTS, &labels).increment(1);
    }

    fn paused(&self, component: &ComponentName, by: PausedBy, value: f64) {
        let labels = [component.as_str(), by.as_str()];
        self.metrics.gauge(&names::PAUSED, &labels).set(value);
        if value > 0.0 {
            self.metrics.counter(&names::PAUSES, &labels).increment(1);
        }
    }

    fn buried(&self, component: &ComponentName, kind: DeadReasonKind) {
        let labels = [component.as_str(), kind.as_str()];
        self.metrics
            .counter(&names::DEAD_LETTERS, &labels)
            .increment(1);
        match kind {
            DeadReasonKind::Rejected | DeadReasonKind::Exhausted | DeadReasonKind::Unsettleable => {
                self.count_attempt(component, kind.as_str());
            }
            // The handler was not called.
            DeadReasonKind::UnknownVersion
            | DeadReasonKind::Malformed
            | DeadReasonKind::CrashLoop => {}
        }
    }
}

impl ComponentMeters {
    fn new(metrics: &Metrics, component: &ComponentName) -> Self {
        let labels = &[component.as_str()];
        Self {
            done: metrics.counter(&names::ATTEMPTS, &[component.as_str(), "done"]),
            duration: metrics.histogram(&names::ATTEMPT, labels),
            emitted: metrics.counter(&names::EMITTED, labels),
            duplicates: metrics.counter(&names::DUPLICATES, labels),
            held: metrics.gauge(&names::HELD, labels),
            holds: metrics.counter(&names::HOLDS, labels),
        }
    }
}

impl Witness for Metered {
    fn saw(&self, sight: &Sight<'_>) {
        match sight {
            Sight::Published {
                rows,
                duplicates,
                took,
            } => {
                self.relay.published.increment(*rows as u64);
                self.relay.duplicates.increment(*duplicates as u64);
                self.relay.pass.record(took.as_secs_f64());
            }
            Sight::SetAside { .. } => self.relay.set_aside.increment(1),
            Sight::RelayBlocked { .. } => self.relay.blocked.increment(1),
            Sight::StreamRegressed { .. } => self.relay.regressions.increment(1),
            Sight::HeldBack { waited, .. } => self.relay.held_back.set(waited.as_secs_f64()),
            Sight::LetGo => self.relay.held_back.set(0.0),
            Sight::RelayLeads(leads) => {
                // One for each part of the outbox.
                if *leads {
                    self.relay.leads.increment(1);
                } else {
                    self.relay.leads.decrement(1);
                    self.relay.held_back.set(0.0);
                }
            }
            Sight::InCharge { component, here } => {
                let here = f64::from(u8::from(*here));
                let labels = [component.as_str()];
                self.metrics.gauge(&names::IN_CHARGE, &labels).set(here);
            }
            Sight::Done { attempt, emitted } => {
                let meters = self.of(attempt.component);
                meters.done.increment(1);
                meters.emitted.increment(*emitted as u64);
                meters.duration.record(attempt.took.as_secs_f64());
            }
            Sight::Duplicate { component, .. } => self.of(component).duplicates.increment(1),
            Sight::Redelivered {
                attempt, outcome, ..
            } => {
                self.of(attempt.component)
                    .duration
                    .record(attempt.took.as_secs_f64());
                self.count_attempt(attempt.component, outcome);
            }
            Sight::Buried {
                component, reason, ..
            } => self.buried(component, reason.kind),
            Sight::Overfull { component, limit } => {
                let labels = [component.as_str(), limit.as_str()];
                self.metrics.counter(&names::LIMITS, &labels).increment(1);
            }
            Sight::Paused { component, by, .. } => self.paused(component, *by, 1.0),
            Sight::Unpaused { component, by } => self.paused(component, *by, 0.0),
            Sight::Held { component, .. } => {
                let meters = self.of(component);
                meters.holds.increment(1);
                meters.held.set(1.0);
            }
            Sight::Resumed { component } => self.of(component).held.set(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixtures::{PAYLOAD, Scene, TENANT};

    fn text(sights: impl FnOnce(&Metered, &Scene)) -> String {
        let (metrics, scene) = (Metrics::new(), Scene::new());
        sights(&Metered::new(metrics.clone()), &scene);
        metrics.render()
    }

    #[test]
    fn each_decision_is_counted_once_where_it_belongs() {
        let text = text(|metered, scene| {
            metered.saw(&Scene::published());
            metered.saw(&Sight::SetAside {
                event_name: "a b",
                seq: 1,
                reason: "no",
            });
            metered.saw(&Sight::RelayLeads(true));
            metered.saw(&Sight::StreamRegressed {
                stream: &qx_events::ports::StreamState {
                    name: "QX".to_owned(),
                    created_ns: 7,
                    last_seq: 3,
                },
                rows: 40,
            });
            metered.saw(&scene.done(2));
            metered.saw(&scene.done(1));
            metered.saw(&scene.duplicate());
            metered.saw(&scene.redelivered("busy"));
            metered.saw(&scene.buried("no"));
            metered.saw(&scene.buried_as(DeadReasonKind::Malformed, "no"));
            metered.saw(&scene.overfull());
            metered.saw(&scene.held());
            metered.saw(&scene.held());
            metered.saw(&scene.resumed());
            metered.saw(&scene.paused(PausedBy::Breaker));
            metered.saw(&scene.paused(PausedBy::Operator));
            metered.saw(&scene.unpaused(PausedBy::Operator));
        });
        for line in [
            "qx_relay_published_total 5",
            "qx_relay_duplicates_total 1",
            "qx_relay_set_aside_total 1",
            "qx_relay_leads 1",
            "qx_stream_regressions_total 1",
            "qx_relay_pass_duration_seconds_count 1",
            "qx_attempts_total{component=\"stars\",outcome=\"done\"} 2",
            "qx_attempts_total{component=\"stars\",outcome=\"retry\"} 1",
            "qx_attempts_total{component=\"stars\",outcome=\"rejected\"} 1",
            "qx_emitted_events_total{component=\"stars\"} 3",
            "qx_duplicates_total{component=\"stars\"} 1",
            "qx_attempt_duration_seconds_count{component=\"stars\"} 3",
            "qx_dead_letters_total{component=\"stars\",reason=\"rejected\"} 1",
            "qx_dead_letters_total{component=\"stars\",reason=\"malformed\"} 1",
            "qx_limits_hit_total{component=\"stars\",limit=\"state_keys\"} 1",
            "qx_component_holds_total{component=\"stars\"} 2",
            "qx_component_held{component=\"stars\"} 0",
            "qx_component_paused{component=\"stars\",by=\"breaker\"} 1",
            "qx_component_paused{component=\"stars\",by=\"operator\"} 0",
            "qx_component_pauses_total{component=\"stars\",by=\"breaker\"} 1",
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("outcome=\"malformed\""), "{text}");
    }

    #[test]
    fn no_figure_names_a_tenant_an_event_or_an_id() {
        let text = text(|metered, scene| {
            metered.saw(&scene.done(1));
            metered.saw(&scene.redelivered("busy"));
            metered.saw(&scene.buried("no"));
        });
        for secret in [PAYLOAD, TENANT, "github.star", "6f1f5e0e"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

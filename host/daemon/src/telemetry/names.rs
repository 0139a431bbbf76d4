//! Every metric there is: its name, kind, unit, labels, and the sentence that an
//! operator reads. `docs/metrics.md` is this table.
//!
//! Labels have few values: components, and words of our own. Never a tenant, a
//! subject or an id.

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) doc: &'static str,
}

/// How its values behave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Grows while the process lives.
    Counter,
    /// The value now.
    Gauge,
    /// Observations, in these buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    #[cfg(test)]
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Seconds. From a call that does little to the longest timeout one would set; the
/// upper half are the boundaries of OpenTelemetry's messaging conventions.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

macro_rules! metrics {
    ($($id:ident = $kind:expr, $name:literal, $unit:literal, [$($label:literal),*], $doc:literal;)*) => {
        $(pub(super) static $id: Metric = Metric {
            name: $name, kind: $kind, unit: $unit, labels: &[$($label),*], doc: $doc,
        };)*
        /// All of them, in the order of the reference.
        pub(super) static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD_INFO = Kind::Gauge, "qx_build_info", "", ["version"],
        "Always 1; the label says which version of the host this is.";

    OUTBOX_PENDING = Kind::Gauge, "qx_outbox_pending", "rows", [],
        "Rows that wait to be published.";
    OUTBOX_OLDEST = Kind::Gauge, "qx_outbox_oldest_pending_seconds", "seconds", [],
        "Age of the oldest row that waits; 0 when none does.";
    OUTBOX_KEPT = Kind::Gauge, "qx_outbox_published_kept", "rows", [],
        "Published rows that are still kept, until their retention is over.";
    OUTBOX_FAILED = Kind::Gauge, "qx_outbox_failed", "rows", [],
        "Rows set aside because they can never be published.";

    RELAY_LEADS = Kind::Gauge, "qx_relay_leads", "", [],
        "1 while this process is the relay in charge of the outbox, else 0; with `relay.shards` the parts of it that it is in charge of.";
    RELAY_PUBLISHED = Kind::Counter, "qx_relay_published_total", "rows", [],
        "Rows whose message the stream has stored.";
    RELAY_DUPLICATES = Kind::Counter, "qx_relay_duplicates_total", "rows", [],
        "Of them, rows whose message the stream had already: a pass that was repeated.";
    RELAY_SET_ASIDE = Kind::Counter, "qx_relay_set_aside_total", "rows", [],
        "Rows set aside because they can never be published.";
    RELAY_BLOCKED = Kind::Counter, "qx_relay_blocked_total", "passes", [],
        "Passes that could not publish because the stream or the database did not answer.";
    RELAY_HELD_BACK = Kind::Gauge, "qx_relay_held_back_seconds", "seconds", [],
        "With `relay.order = \"strict\"`: how long rows have waited for the oldest transaction that may bring an earlier one; 0 below a second.";
    STREAM_REGRESSIONS = Kind::Counter, "qx_stream_regressions_total", "times", [],
        "Times that the stream was found to have lost messages that it had confirmed, or to be made anew: their rows are published again.";
    RELAY_PASS = Kind::Histogram(SECONDS), "qx_relay_pass_duration_seconds", "seconds", [],
        "One pass of the relay that published something, from the read to the mark.";

    COMPONENTS = Kind::Gauge, "qx_components", "components", ["state"],
        "Components in the catalog, by state.";
    LAG = Kind::Gauge, "qx_component_lag", "messages", ["component"],
        "Messages on the stream that the component has not been given yet.";
    IN_FLIGHT = Kind::Gauge, "qx_component_in_flight", "messages", ["component"],
        "Messages given to the component and not settled yet.";
    IN_CHARGE = Kind::Gauge, "qx_component_in_charge", "", ["component"],
        "Of a component with `order = \"key\"`: 1 while this process consumes it, alone among all hosts, else 0.";
    STATE_KEYS = Kind::Gauge, "qx_component_state_keys", "keys", ["component"],
        "Keys of the component's state, over all tenants: what `limits.state_keys` bounds.";
    STATE_BYTES = Kind::Gauge, "qx_component_state_bytes", "bytes", ["component"],
        "Bytes of its keys and values: what `limits.state_mb` bounds.";
    HELD = Kind::Gauge, "qx_component_held", "", ["component"],
        "1 while the component waits for something that does not answer, else 0.";
    HOLDS = Kind::Counter, "qx_component_holds_total", "times", ["component"],
        "Times that something the component needs did not answer, repeats included.";

    PAUSED = Kind::Gauge, "qx_component_paused", "", ["component", "by"],
        "1 while the component gets no messages because its `breaker` is open, an `operator` paused it, or another host consumes it in `order` and this one would not; else 0.";
    PAUSES = Kind::Counter, "qx_component_pauses_total", "times", ["component", "by"],
        "Times that it was paused; each failed probe of a breaker counts.";

    CANARY = Kind::Gauge, "qx_canary_percent", "percent", ["component"],
        "While a new build is tried: its share of the component's events.";
    DEPLOYMENTS = Kind::Counter, "qx_deployments_total", "builds", ["component", "action"],
        "What happened to builds, by the words of `qx-host handlers history`.";

    ATTEMPTS = Kind::Counter, "qx_attempts_total", "attempts", ["component", "outcome"],
        "Attempts by outcome: `done`; `retry`, `trap` or the word of a limit (docs/limits.md) when the event comes again; `rejected`, `exhausted` (the last attempt failed) or `unsettleable` when it became a dead letter.";
    LIMITS = Kind::Counter, "qx_limits_hit_total", "times", ["component", "limit"],
        "Limits that calls hit, by the word in docs/limits.md; once for each call. Not every one ends the call.";
    INSTANCES_MADE = Kind::Counter, "qx_instances_made_total", "instances", ["component"],
        "Instances made of a component with `[reuse]`; each call of any other has its own.";
    INSTANCES_REUSED = Kind::Counter, "qx_instances_reused_total", "calls", ["component"],
        "Calls that began on an instance that was kept.";
    INSTANCES_RETIRED = Kind::Counter, "qx_instances_retired_total", "instances", ["component", "reason"],
        "Instances that are gone, by why: `failed` (its call trapped, hit a limit, ran out of time or was cancelled), `uses`, `memory`, `handles`, `idle`, `room` (its slot was needed), `rest` (the component was replaced, removed or paused).";
    ATTEMPT = Kind::Histogram(SECONDS), "qx_attempt_duration_seconds", "seconds", ["component"],
        "One attempt, from the call to the commit; those that became dead letters are not in it.";
    HTTP_REQUESTS = Kind::Counter, "qx_http_requests_total", "requests", ["component", "outcome"],
        "Requests of handlers over HTTP, by how they ended: the class of the status (`2xx`), or `denied`, `invalid`, `too-large`, `timeout`, `connect`, `tls`, `protocol`.";
    HTTP_DURATION = Kind::Histogram(SECONDS), "qx_http_request_duration_seconds", "seconds", ["component"],
        "One request of a handler, from its check to the last byte of the answer.";
    DUPLICATES = Kind::Counter, "qx_duplicates_total", "deliveries", ["component"],
        "Deliveries of an event that the component had handled before.";
    EMITTED = Kind::Counter, "qx_emitted_events_total", "events", ["component"],
        "Events that left with a commit.";
    DEAD_LETTERS = Kind::Counter, "qx_dead_letters_total", "letters", ["component", "reason"],
        "Dead letters written or brought up to date, by the class of their reason.";
    DEAD_LETTERS_KEPT = Kind::Gauge, "qx_dead_letters_kept", "letters", [],
        "Dead letters that wait for a person.";
    DEAD_LETTERS_EXPIRED = Kind::Counter, "qx_dead_letters_expired_total", "letters", ["component"],
        "Dead letters deleted because they were older than `dead_letters.retention_days`: events that were never handled.";
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "| Metric | Kind | Unit | Labels | Meaning |\n|---|---|---|---|---|\n";

    fn table() -> String {
        let row = |metric: &&Metric| {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let (name, kind, unit) = (metric.name, metric.kind.as_str(), metric.unit);
            format!(
                "| `{name}` | {kind} | {unit} | {} | {} |\n",
                labels.join(", "),
                metric.doc
            )
        };
        ALL.iter()
            .fold(HEADER.to_owned(), |table, metric| table + &row(metric))
    }

    #[test]
    fn the_reference_lists_exactly_these_metrics() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let table = table();
        assert!(
            written.contains(&table),
            "docs/metrics.md must hold this table:\n{table}"
        );
        let rows = written
            .lines()
            .filter(|line| line.starts_with("| `qx_"))
            .count();
        assert_eq!(
            rows,
            ALL.len(),
            "docs/metrics.md has rows that no metric stands behind"
        );
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("qx_"), "{name}");
            assert_eq!(
                metric.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            assert_eq!(
                metric.unit == "seconds",
                name.ends_with("_seconds"),
                "{name}"
            );
            assert_eq!(
                ALL.iter().filter(|other| other.name == name).count(),
                1,
                "{name}"
            );
            for label in metric.labels {
                assert!(
                    [
                        "action",
                        "by",
                        "component",
                        "limit",
                        "outcome",
                        "reason",
                        "state",
                        "version"
                    ]
                    .contains(label),
                    "{name}"
                );
            }
        }
    }
}

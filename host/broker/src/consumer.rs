//! A component's durable consumer: how it must be, what may be changed while its
//! progress is kept, and what must not be.
//!
//! Explicit acknowledgement, deliveries without limit (the host counts attempts)
//! and no `backoff`, which would override the acknowledgement wait and ignore the
//! pauses that the host computes.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, ReplayPolicy};
use qx_events::ComponentName;
use qx_events::ports::Subscription;

use crate::error::Mismatch;
use crate::filters;
use crate::server::ServerVersion;

/// Name of a component's durable consumer: `qx_<component>`.
///
/// Every host that serves the component shares it, and with it the work.
pub fn durable_name(component: &ComponentName) -> String {
    format!("qx_{component}")
}

/// What a component wants of its consumer.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) filters: Vec<String>,
    ack_wait: Duration,
    max_ack_pending: i64,
}

impl Wanted {
    pub(crate) fn new(prefix: &str, subscription: &Subscription, server: ServerVersion) -> Self {
        let Subscription {
            component,
            patterns,
            ack_wait,
            in_flight_max,
            start: _,
        } = subscription;
        Self {
            name: durable_name(component),
            filters: filters::of(prefix, patterns, server),
            ack_wait: *ack_wait,
            max_ack_pending: i64::try_from(*in_flight_max).unwrap_or(i64::MAX).max(1),
        }
    }

    /// The consumer as we make it.
    pub(crate) fn fresh(&self, deliver_policy: DeliverPolicy) -> Config {
        self.over(Config {
            name: Some(self.name.clone()),
            durable_name: Some(self.name.clone()),
            description: Some("component of Qx Host".to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            replay_policy: ReplayPolicy::Instant,
            max_deliver: -1,
            ..Config::default()
        })
    }

    /// The consumer as it should be, when it is not: the same but for what may change.
    pub(crate) fn update_of(&self, found: &Config) -> Option<Config> {
        let mut own = self.filters.clone();
        let mut theirs = found.filter_subjects.clone();
        if !found.filter_subject.is_empty() {
            theirs.push(found.filter_subject.clone());
        }
        own.sort();
        theirs.sort();
        let same = own == theirs
            && found.ack_wait == self.ack_wait
            && found.max_ack_pending == self.max_ack_pending;
        (!same).then(|| self.over(found.clone()))
    }

    pub(crate) fn over(&self, base: Config) -> Config {
        let (filter_subject, filter_subjects) = match self.filters.as_slice() {
            [only] => (only.clone(), Vec::new()),
            [..] => (String::new(), self.filters.clone()),
        };
        Config {
            ack_wait: self.ack_wait,
            max_ack_pending: self.max_ack_pending,
            filter_subject,
            filter_subjects,
            ..base
        }
    }
}

/// What of a consumer that is there would break a promise.
pub(crate) fn conflicts(stream: &str, name: &str, found: &Config) -> Vec<Mismatch> {
    let remedy = format!(
        "it was made by somebody else: rename the component, or remove the consumer (`nats consumer rm {stream} {name}`), which forgets its progress"
    );
    let mut all = Vec::new();
    let mut refuse = |field, found: String, wanted: &str| {
        all.push(Mismatch {
            field,
            found,
            wanted: wanted.to_owned(),
            remedy: remedy.clone(),
        });
    };
    if found.ack_policy != AckPolicy::Explicit {
        let now = format!("{:?}", found.ack_policy).to_lowercase();
        refuse("ack_policy", now, "explicit");
    }
    if let Some(subject) = &found.deliver_subject {
        refuse(
            "deliver_subject",
            format!("`{subject}`"),
            "unset (a pull consumer)",
        );
    }
    if found.max_deliver > 0 {
        refuse("max_deliver", found.max_deliver.to_string(), "-1");
    }
    if !found.backoff.is_empty() {
        refuse("backoff", format!("{:?}", found.backoff), "unset");
    }
    if found.headers_only {
        refuse("headers_only", "set".to_owned(), "unset");
    }
    if found.replay_policy != ReplayPolicy::Instant {
        refuse("replay_policy", "original".to_owned(), "instant");
    }
    if !found.priority_groups.is_empty() {
        refuse(
            "priority_groups",
            format!("{:?}", found.priority_groups),
            "unset",
        );
    }
    if !found.inactive_threshold.is_zero() {
        let now = format!("{:?}", found.inactive_threshold);
        refuse("inactive_threshold", now, "unset");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use qx_events::{Pattern, StartFrom};

    fn wanted(patterns: &[&str]) -> Wanted {
        let subscription = Subscription {
            component: ComponentName::parse("greeter-1").unwrap(),
            patterns: patterns
                .iter()
                .map(|raw| Pattern::parse(raw).unwrap())
                .collect(),
            ack_wait: Duration::from_secs(30),
            in_flight_max: 16,
            start: StartFrom::Beginning,
        };
        Wanted::new("svc", &subscription, ServerVersion::parse("2.15.1"))
    }

    #[test]
    fn the_consumer_we_make_is_the_consumer_we_take() {
        let wanted = wanted(&["a.b", "c.>"]);
        let made = wanted.fresh(DeliverPolicy::All);
        assert_eq!(made.durable_name.as_deref(), Some("qx_greeter-1"));
        assert_eq!(made.filter_subjects, ["svc.a.b", "svc.c.>"]);
        assert_eq!((made.max_deliver, made.max_ack_pending), (-1, 16));
        assert!(made.backoff.is_empty());
        assert_eq!(wanted.update_of(&made), None);
        assert_eq!(conflicts("S", "c", &made), []);
    }

    #[test]
    fn only_what_may_change_is_changed() {
        let start = DeliverPolicy::ByStartSequence { start_sequence: 7 };
        let found = Config {
            max_waiting: 99,
            ..wanted(&["a.b"]).fresh(start)
        };
        let update = wanted(&["a.b", "a.c"]).update_of(&found).unwrap();
        assert_eq!(update.filter_subject, "");
        assert_eq!(update.filter_subjects, ["svc.a.b", "svc.a.c"]);
        assert_eq!(update.deliver_policy, start);
        assert_eq!(update.max_waiting, 99);
        let back = wanted(&["a.b"]).update_of(&update).unwrap();
        assert_eq!(back, found);
    }

    #[test]
    fn what_breaks_a_promise_is_refused_by_its_field() {
        let found = Config {
            ack_policy: AckPolicy::All,
            deliver_subject: Some("push.here".to_owned()),
            max_deliver: 5,
            backoff: vec![Duration::from_secs(1)],
            headers_only: true,
            ..wanted(&["a"]).fresh(DeliverPolicy::New)
        };
        let all = conflicts("S", "qx_greeter-1", &found);
        let fields: Vec<&str> = all.iter().map(|mismatch| mismatch.field).collect();
        let expected = [
            "ack_policy",
            "deliver_subject",
            "max_deliver",
            "backoff",
            "headers_only",
        ];
        assert_eq!(fields, expected);
        assert!(
            all[2]
                .to_string()
                .starts_with("max_deliver is 5 and must be -1: ")
        );
    }
}

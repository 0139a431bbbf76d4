//! Settings of the server and the stream with which confirmed messages can be lost
//! or stored twice, each with what to do. Nothing of it stops a host: what is lost
//! is published again for as long as its row is kept.

use std::time::Duration;

use async_nats::jetstream::stream::Info;

use crate::broker::Broker;
use crate::error::BrokerError;
use crate::server::ServerVersion;
use crate::stream::{self, shown};

/// Longest pause between two attempts of the relay, and of the connection, and the
/// longest wait for an answer; four times, because the first of them may fail too.
const DUPLICATES_MIN: Duration = Duration::from_mins(1);

/// What can be lost or doubled, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risks {
    /// One sentence each.
    pub found: Vec<String>,
    /// What no server tells.
    pub unknown: String,
}

impl Broker {
    /// Looks for such settings. `rows_kept`: how long published rows are kept.
    pub async fn risks(&self, rows_kept: Duration) -> Result<Risks, BrokerError> {
        let info = self.inner.stream_state().await?;
        let version = self.inner.client.server_info().version;
        Ok(Risks {
            found: found(&info, &version, rows_kept, self.inner.config.max_age),
            unknown: unknown(&info),
        })
    }
}

fn found(info: &Info, version: &str, rows_kept: Duration, max_age: Duration) -> Vec<String> {
    let config = &info.config;
    let mut found = Vec::new();
    if ServerVersion::parse(version) < ServerVersion::parse("2.10") {
        found.push(format!(
            "nats-server {version} cannot sync its disk with every write, and a power cut takes what it confirmed in the last two minutes: update to 2.10 or later and set `jetstream {{ sync_interval: always }}`"
        ));
    }
    let cluster = info.cluster.as_ref().and_then(|own| own.name.as_deref());
    if let Some(cluster) = cluster.filter(|name| !name.is_empty())
        && config.num_replicas < 2
    {
        found.push(format!(
            "the stream has one replica in the cluster `{cluster}`, and is gone with its server: `nats stream edit {} --replicas=3`, and set nats.replicas = 3",
            config.name
        ));
    }
    if config.duplicate_window < DUPLICATES_MIN {
        found.push(format!(
            "the stream remembers message ids for {} only, and the relay may send a message again after {}: `nats stream edit {} --dupe-window=10m`, and set nats.duplicate_window_s = 600",
            shown(config.duplicate_window),
            shown(DUPLICATES_MIN),
            config.name
        ));
    }
    if !config.max_age.is_zero() && config.max_age < rows_kept {
        found.push(format!(
            "the stream keeps events for {}, handled or not, and the outbox keeps their rows for {} without sending them again: `nats stream edit {} --max-age={}`, and set nats.max_age_h, or shorten relay.retention_hours",
            shown(config.max_age),
            shown(rows_kept),
            config.name,
            shown(rows_kept)
        ));
    }
    found.extend(stream::outlives(config, max_age));
    found.extend(stream::limits(config));
    found
}

/// Nobody can ask for the interval: the servers' API does not have it.
fn unknown(info: &Info) -> String {
    let copies = match info.config.num_replicas {
        0 | 1 => "one copy".to_owned(),
        several => format!("{several} copies"),
    };
    format!(
        "{copies} of the stream; whether the server syncs its disk with every write cannot be asked: it does where its configuration says `jetstream {{ sync_interval: always }}`, and else every two minutes"
    )
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::Config;

    use super::*;

    const LONE: &str = r#"{"leader":"A"}"#;
    const CLUSTER: &str = r#"{"name":"C1","leader":"A"}"#;

    /// Of the stream that we make, as the server shows it, with this change.
    fn found_in(cluster: &str, version: &str, change: impl FnOnce(&mut Config)) -> Vec<String> {
        let text = format!(
            r#"{{"config":{{"name":"QX","subjects":["svc.>"],"retention":"limits","max_consumers":-1,
                "max_msgs":-1,"max_bytes":-1,"discard":"old","max_age":604800000000000,
                "max_msgs_per_subject":-1,"storage":"file","num_replicas":1,
                "duplicate_window":600000000000}},
                "created":"2026-01-01T00:00:00Z","cluster":{cluster},
                "state":{{"messages":0,"bytes":0,"first_seq":0,"first_ts":"2026-01-01T00:00:00Z",
                "last_seq":0,"last_ts":"2026-01-01T00:00:00Z","consumer_count":0}},
                "ts":"2026-01-01T00:00:00Z"}}"#
        );
        let mut info: Info = serde_json::from_str(&text).unwrap();
        change(&mut info.config);
        assert!(unknown(&info).contains("cannot be asked"));
        found(&info, version, Duration::from_hours(72), Duration::ZERO)
    }

    #[test]
    fn the_stream_that_we_make_has_no_risk_that_can_be_told() {
        assert_eq!(found_in(LONE, "2.15.1", |_| ()), [""; 0]);
        assert_eq!(found_in("null", "2.10.0", |_| ()), [""; 0]);
        let three = found_in(CLUSTER, "2.15.1", |it| it.num_replicas = 3);
        assert_eq!(three, [""; 0]);
        let for_ever = found_in(LONE, "2.15.1", |it| it.max_age = Duration::ZERO);
        assert_eq!(for_ever, [""; 0]);
    }

    #[test]
    fn each_risk_is_told_with_what_to_do() {
        let says = |found: &[String], what: &str, remedy: &str| {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].contains(what) && found[0].contains(remedy),
                "{found:?}"
            );
        };
        let old = found_in(LONE, "2.9.10", |_| ());
        says(&old, "nats-server 2.9.10", "sync_interval: always");
        let one = found_in(CLUSTER, "2.15.1", |_| ());
        says(&one, "one replica in the cluster `C1`", "--replicas=3");
        let half = Duration::from_secs(30);
        let short = found_in(LONE, "2.15.1", |it| it.duplicate_window = half);
        says(&short, "ids for 30s only", "--dupe-window=10m");
        let hour = Duration::from_hours(1);
        let young = found_in(LONE, "2.15.1", |it| it.max_age = hour);
        says(&young, "keeps events for 1h", "--max-age=72h");
        let small = found_in(LONE, "2.15.1", |it| it.max_bytes = 1_000);
        says(&small, "max_bytes (1000)", "oldest events");
    }
}

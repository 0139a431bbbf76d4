//! The stream itself: made when it is absent, otherwise checked field by field.
//!
//! Never: changes a stream that is there. What does not fit is refused by name;
//! what may lose events on purpose (limits) is said aloud and left alone.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode, context};

use crate::config::NatsConfig;
use crate::error::{BrokerError, Mismatch};
use crate::filters::covers;
use crate::server::ServerVersion;

/// Takes up the stream, or makes it.
pub(crate) async fn ensure(
    context: &Context,
    config: &NatsConfig,
    server: ServerVersion,
) -> Result<Info, BrokerError> {
    if let Some(info) = look(context, config).await? {
        return Ok(info);
    }
    let made = context.create_stream(wanted(config, server)).await;
    match made {
        Ok(stream) => {
            tracing::info!(stream = config.stream, subjects = %all(config), "made the stream");
            Ok(stream.cached_info().clone())
        }
        Err(error) => Err(explain_create(config, error)),
    }
}

/// The stream as it is, checked; `None` when there is none.
pub(crate) async fn look(
    context: &Context,
    config: &NatsConfig,
) -> Result<Option<Info>, BrokerError> {
    let found = show(context, config).await?;
    if let Some(info) = &found {
        check(&info.config, config)?;
    }
    Ok(found)
}

/// The stream as it is; `None` when there is none.
pub(crate) async fn show(
    context: &Context,
    config: &NatsConfig,
) -> Result<Option<Info>, BrokerError> {
    let doing = || format!("show the stream `{}`", config.stream);
    match context.get_stream(&config.stream).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) => match error.kind() {
            context::GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            context::GetStreamErrorKind::JetStream(cause) => Err(answered(doing(), &cause)),
            context::GetStreamErrorKind::Request
            | context::GetStreamErrorKind::EmptyName
            | context::GetStreamErrorKind::InvalidStreamName => Err(BrokerError::Unanswered {
                doing: doing(),
                source: Box::new(error),
            }),
        },
    }
}

/// An answer of the server that is an error: of passing nature, or for good.
pub(crate) fn answered(doing: String, cause: &jetstream::Error) -> BrokerError {
    let source = Box::new(cause.clone());
    // 503: no leader, no peers, no resources at present.
    if cause.code() == 503 || cause.code() == 500 {
        BrokerError::Unanswered { doing, source }
    } else {
        BrokerError::Refused { doing, source }
    }
}

/// The subjects that have the prefix.
fn all(config: &NatsConfig) -> String {
    format!("{}.>", config.subject_prefix)
}

/// The stream as we make it.
fn wanted(config: &NatsConfig, server: ServerVersion) -> Config {
    Config {
        name: config.stream.clone(),
        description: Some("events of Qx Host".to_owned()),
        subjects: vec![all(config)],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: config.max_age,
        duplicate_window: config.duplicate_window,
        num_replicas: config.replicas,
        allow_direct: true,
        allow_atomic_publish: server.has_atomic_batches(),
        allow_batch_publish: server.has_fast_ingest(),
        ..Config::default()
    }
}

fn explain_create(config: &NatsConfig, error: context::CreateStreamError) -> BrokerError {
    let doing = format!("make the stream `{}`", config.stream);
    match error.kind() {
        context::CreateStreamErrorKind::JetStream(cause)
            if cause.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP =>
        {
            BrokerError::SubjectsTaken {
                subjects: all(config),
                source: Box::new(cause),
            }
        }
        context::CreateStreamErrorKind::JetStream(cause) => answered(doing, &cause),
        context::CreateStreamErrorKind::EmptyStreamName
        | context::CreateStreamErrorKind::InvalidStreamName
        | context::CreateStreamErrorKind::DomainAndExternalSet => BrokerError::Refused {
            doing,
            source: Box::new(error),
        },
        context::CreateStreamErrorKind::JetStreamUnavailable
        | context::CreateStreamErrorKind::TimedOut
        | context::CreateStreamErrorKind::Response
        | context::CreateStreamErrorKind::NotFound
        | context::CreateStreamErrorKind::ResponseParse => BrokerError::Unanswered {
            doing,
            source: Box::new(error),
        },
    }
}

fn check(found: &Config, config: &NatsConfig) -> Result<(), BrokerError> {
    for remark in remarks(found, config) {
        tracing::warn!(stream = config.stream, "{remark}");
    }
    let mismatches = mismatches(found, config);
    if mismatches.is_empty() {
        return Ok(());
    }
    Err(BrokerError::StreamMismatch {
        stream: config.stream.clone(),
        mismatches,
    })
}

/// What breaks a promise.
fn mismatches(found: &Config, config: &NatsConfig) -> Vec<Mismatch> {
    let name = &config.stream;
    let mut all_of_them = Vec::new();
    let mut refuse = |field, found: String, wanted: String, remedy: String| {
        all_of_them.push(Mismatch {
            field,
            found,
            wanted,
            remedy,
        });
    };
    let anew = || {
        format!(
            "it cannot be changed: set nats.stream to another name, or remove the stream (`nats stream rm {name}`) once its events are handled"
        )
    };
    let edit = |option: String| format!("`nats stream edit {name} {option}`");
    let every = all(config);
    if !found.subjects.iter().any(|own| covers(own, &every)) {
        let now = format!("{:?}", found.subjects);
        let remedy = edit(format!("--subjects '{every}'")) + ", or correct nats.subject_prefix";
        refuse("subjects", now, format!("[{every:?}]"), remedy);
    }
    if found.retention != RetentionPolicy::Limits {
        let now = format!("{:?}", found.retention).to_lowercase();
        refuse("retention", now, "limits".to_owned(), anew());
    }
    if found.storage != StorageType::File {
        let now = format!("{:?}", found.storage).to_lowercase();
        refuse("storage", now, "file".to_owned(), anew());
    }
    if found.duplicate_window < config.duplicate_window {
        let wanted = shown(config.duplicate_window);
        let remedy = edit(format!("--dupe-window={wanted}"))
            + ", or shorten nats.duplicate_window_s, when no outage lasts longer";
        let now = shown(found.duplicate_window);
        refuse(
            "duplicate_window",
            now,
            format!("at least {wanted}"),
            remedy,
        );
    }
    let flags = [
        ("no_ack", found.no_ack),
        ("sealed", found.sealed),
        ("mirror", found.mirror.is_some()),
        ("subject_transform", found.subject_transform.is_some()),
    ];
    for (field, set) in flags {
        if set {
            refuse(field, "set".to_owned(), "unset".to_owned(), anew());
        }
    }
    all_of_them
}

/// What may lose events that nobody has handled yet, by somebody's choice.
fn remarks(found: &Config, config: &NatsConfig) -> Vec<String> {
    let mut remarks = Vec::new();
    let age = found.max_age;
    if !age.is_zero() && (config.max_age.is_zero() || age < config.max_age) {
        remarks.push(format!(
            "the stream keeps events for {} only, nats.max_age_h says {}",
            shown(age),
            shown(config.max_age)
        ));
    }
    remarks.extend(outlives(found, config.max_age));
    remarks.extend(limits(found));
    remarks
}

/// Messages that come again when nobody knows any more that they were handled.
pub(crate) fn outlives(found: &Config, configured: Duration) -> Option<String> {
    let longer = found.max_age.is_zero() || found.max_age > configured;
    (!configured.is_zero() && longer).then(|| {
        let kept = if found.max_age.is_zero() {
            "ever".to_owned()
        } else {
            shown(found.max_age)
        };
        format!(
            "the stream keeps events for {kept}, and inbox marks are kept for as long as nats.max_age_h says, {}: one that comes again later is handled a second time; set nats.max_age_h = {}",
            shown(configured),
            found.max_age.as_secs().div_ceil(3_600)
        )
    })
}

/// Limits that drop what nobody has handled yet.
pub(crate) fn limits(found: &Config) -> impl Iterator<Item = String> {
    let drops = found.discard == DiscardPolicy::Old;
    let limits = [
        ("max_msgs", found.max_messages),
        ("max_bytes", found.max_bytes),
        ("max_msgs_per_subject", found.max_messages_per_subject),
    ];
    let reached = limits
        .into_iter()
        .filter(move |(_, limit)| drops && *limit > 0);
    reached.map(|(field, limit)| {
        format!(
            "the stream drops its oldest events when {field} ({limit}) is reached, handled or not"
        )
    })
}

/// A duration as the server's tools take it.
pub(crate) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0".to_owned(),
        0 => format!("{}ms", duration.as_millis()),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(change: impl FnOnce(&mut Config)) -> Vec<&'static str> {
        let config = NatsConfig::default();
        let mut found = wanted(&config, ServerVersion::parse("2.15.1"));
        change(&mut found);
        let found = mismatches(&found, &config);
        found.iter().map(|mismatch| mismatch.field).collect()
    }

    #[test]
    fn the_stream_we_make_is_the_stream_we_take() {
        let config = NatsConfig::default();
        let made = wanted(&config, ServerVersion::parse("2.9.10"));
        assert_eq!(mismatches(&made, &config), []);
        assert!(remarks(&made, &config).is_empty());
        assert!(!made.allow_atomic_publish && !made.allow_batch_publish);
    }

    #[test]
    fn what_breaks_a_promise_is_refused_by_its_field() {
        assert_eq!(
            fields(|it| it.subjects = vec!["x.>".to_owned()]),
            ["subjects"]
        );
        assert_eq!(
            fields(|it| it.subjects = vec!["svc.*".to_owned()]),
            ["subjects"]
        );
        assert_eq!(
            fields(|it| it.retention = RetentionPolicy::WorkQueue),
            ["retention"]
        );
        assert_eq!(fields(|it| it.storage = StorageType::Memory), ["storage"]);
        let minute = Duration::from_mins(1);
        assert_eq!(
            fields(|it| it.duplicate_window = minute),
            ["duplicate_window"]
        );
        assert_eq!(
            fields(|it| {
                it.no_ack = true;
                it.sealed = true;
            }),
            ["no_ack", "sealed"]
        );
    }

    #[test]
    fn what_is_stronger_or_does_not_matter_is_taken() {
        let none: [&str; 0] = [];
        assert_eq!(fields(|it| it.subjects.push("other.>".to_owned())), none);
        assert_eq!(
            fields(|it| it.duplicate_window = Duration::from_hours(1)),
            none
        );
        assert_eq!(fields(|it| it.max_message_size = 1000), none);
        assert_eq!(fields(|it| it.num_replicas = 3), none);
    }

    #[test]
    fn limits_that_lose_events_are_remarked() {
        let config = NatsConfig::default();
        let mut found = wanted(&config, ServerVersion::parse("2.15.1"));
        found.max_age = Duration::from_hours(1);
        found.max_messages_per_subject = 1;
        let remarks = remarks(&found, &config);
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].contains("for 1h only, nats.max_age_h says 168h"));
    }

    #[test]
    fn a_stream_that_outlives_the_inbox_marks_is_remarked() {
        let config = NatsConfig::default();
        let mut found = wanted(&config, ServerVersion::parse("2.15.1"));
        assert_eq!(outlives(&found, config.max_age), None);
        found.max_age = Duration::from_hours(500);
        let remark = outlives(&found, config.max_age).unwrap();
        assert!(remark.contains("set nats.max_age_h = 500"), "{remark}");
        assert_eq!(
            outlives(&found, Duration::ZERO),
            None,
            "marks are kept for ever"
        );
        found.max_age = Duration::ZERO;
        let remark = outlives(&found, config.max_age).unwrap();
        assert!(remark.contains("set nats.max_age_h = 0"), "{remark}");
        assert_eq!(remarks(&found, &config), [remark]);
    }
}

//! What an operator says about the broker, and everything that is wrong with it
//! at once. A [`Secret`] shows itself to nobody.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use qx_events::EventName;

use crate::address::{Addresses, without_user};
use crate::publisher::gait::PublishWay;

/// How the broker is reached, and what the stream must be like.
#[derive(Clone)]
pub struct NatsConfig {
    /// Servers of one cluster: `nats://host:4222` or `tls://host:4222`.
    pub servers: Vec<String>,
    /// Name of the stream.
    pub stream: String,
    /// Events have the subject `<prefix>.<event name>`.
    pub subject_prefix: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Encryption.
    pub tls: Tls,
    /// So long the stream remembers message ids. Must be longer than any outage
    /// after which the relay sends again without looking.
    pub duplicate_window: Duration,
    /// So long the stream keeps an event, handled or not. Zero: for ever.
    pub max_age: Duration,
    /// Copies of the stream in a cluster.
    pub replicas: usize,
    /// Patience with one attempt to connect.
    pub connect_timeout: Duration,
    /// Patience with one request, and with the answer to a published message.
    pub request_timeout: Duration,
    /// How messages are sent.
    pub publish: PublishWay,
    /// Who else publishes in order to this stream.
    pub beside: Beside,
}

/// Who publishes to the stream beside a publisher, so that it cannot know which message
/// is the last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nobody who counts: each message may name the one before it.
    #[default]
    Nobody,
    /// Relays of other parts of the outbox. Messages go in atomic batches, or one by one
    /// where the stream takes none.
    Relays,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            stream: "QX_EVENTS".to_owned(),
            subject_prefix: "svc".to_owned(),
            credentials: Credentials::None,
            tls: Tls::default(),
            duplicate_window: Duration::from_mins(10),
            max_age: Duration::from_hours(7 * 24),
            replicas: 1,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            publish: PublishWay::Auto,
            beside: Beside::Nobody,
        }
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(|raw| without_user(raw)).collect();
        f.debug_struct("NatsConfig")
            .field("servers", &servers)
            .field("stream", &self.stream)
            .field("subject_prefix", &self.subject_prefix)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("duplicate_window", &self.duplicate_window)
            .field("max_age", &self.max_age)
            .field("replicas", &self.replicas)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("publish", &self.publish)
            .field("beside", &self.beside)
            .finish()
    }
}

/// Who we are to the server.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody, or whoever the servers' URLs name.
    #[default]
    None,
    /// A `.creds` file. Read again at every connection, so that it can be renewed.
    File(PathBuf),
    /// A user and its password.
    UserPassword {
        /// The user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// The seed of a user's nkey.
    NKey(Secret),
}

/// Encryption of the connection.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Refuse to talk in the clear, whatever the server says.
    pub required: bool,
    /// Certificates to trust instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// What we show to a server that asks.
    pub client: Option<ClientCertificate>,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// File of the certificate.
    pub cert_file: PathBuf,
    /// File of the key.
    pub key_file: PathBuf,
}

/// Text that is not shown: no `Display`, and a `Debug` of three stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the server's eyes only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The key, as in the configuration file.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl NatsConfig {
    /// Everything that cannot work, without asking a server.
    pub fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |key, problem: String| faults.push(ConfigFault { key, problem });
        if let Err(problem) = Addresses::read(&self.servers, &self.credentials) {
            fault("nats.servers", problem);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.stream.is_empty() || !self.stream.chars().all(legal) {
            let problem = "must be letters, digits, `_` and `-`, for instance \"QX_EVENTS\"";
            fault("nats.stream", problem.to_owned());
        }
        if EventName::parse(&self.subject_prefix).is_err() || self.subject_prefix.starts_with('$') {
            let problem = "must be dot-separated tokens without spaces and wildcards, not beginning with `$`, for instance \"svc\"";
            fault("nats.subject_prefix", problem.to_owned());
        }
        if self.duplicate_window.is_zero() {
            let problem = "must be longer than zero, for instance 600: without it a message that is sent twice is stored twice";
            fault("nats.duplicate_window_s", problem.to_owned());
        }
        if !self.max_age.is_zero() && self.max_age < self.duplicate_window {
            let problem = "must not be shorter than nats.duplicate_window_s";
            fault("nats.max_age_h", problem.to_owned());
        }
        if !matches!(self.replicas, 1..=5) {
            fault("nats.replicas", "must be 1 to 5".to_owned());
        }
        let files = [
            ("nats.tls_ca", self.tls.ca_file.as_ref()),
            (
                "nats.tls_cert",
                self.tls.client.as_ref().map(|own| &own.cert_file),
            ),
            (
                "nats.tls_key",
                self.tls.client.as_ref().map(|own| &own.key_file),
            ),
        ];
        for (key, path) in files {
            if let Some(path) = path
                && let Err(error) = File::open(path)
            {
                fault(key, format!("{} cannot be read: {error}", path.display()));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(NatsConfig::default().faults(), []);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let config = NatsConfig {
            servers: vec!["ws://x:1".to_owned()],
            stream: "a.b".to_owned(),
            subject_prefix: "svc.>".to_owned(),
            duplicate_window: Duration::from_hours(2),
            max_age: Duration::from_hours(1),
            replicas: 9,
            tls: Tls {
                ca_file: Some("/nowhere/ca.pem".into()),
                ..Tls::default()
            },
            ..NatsConfig::default()
        };
        let keys: Vec<&str> = config.faults().iter().map(|fault| fault.key).collect();
        let all = [
            "servers",
            "stream",
            "subject_prefix",
            "max_age_h",
            "replicas",
            "tls_ca",
        ];
        assert_eq!(keys, all.map(|key| format!("nats.{key}")));
    }
}

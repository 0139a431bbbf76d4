//! What an operator says about the broker, and everything that is wrong with it
//! at once. A [`Secret`] shows itself to nobody.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use qx_events::EventName;

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
            .finish()
    }
}

/// A URL, legal or not, without what stands before its last `@`.
fn without_user(raw: &str) -> String {
    match (raw.rsplit_once('@'), raw.split_once("://")) {
        (None, _) => raw.to_owned(),
        (Some((_, host)), Some((scheme, _))) => format!("{scheme}://***@{host}"),
        (Some((_, host)), None) => format!("***@{host}"),
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

/// The servers' addresses without the credentials that were in them, and those.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) credentials: Credentials,
}

/// The user that a URL names, or the token, which stands where a user would.
#[derive(PartialEq, Eq)]
struct Named {
    user: String,
    password: Option<String>,
}

impl From<Named> for Credentials {
    fn from(Named { user, password }: Named) -> Self {
        match password {
            Some(password) => Self::UserPassword {
                user,
                password: Secret::new(password),
            },
            None => Self::Token(Secret::new(user)),
        }
    }
}

impl NatsConfig {
    /// Everything that cannot work, without asking a server.
    pub fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |key, problem: String| faults.push(ConfigFault { key, problem });
        if let Err(problem) = self.addresses() {
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
            let problem = "must be longer than zero, for instance \"10m\": without it a message that is sent twice is stored twice";
            fault("nats.duplicate_window", problem.to_owned());
        }
        if !self.max_age.is_zero() && self.max_age < self.duplicate_window {
            let problem = "must not be shorter than nats.duplicate_window";
            fault("nats.max_age", problem.to_owned());
        }
        if !matches!(self.replicas, 1..=5) {
            fault("nats.replicas", "must be 1 to 5".to_owned());
        }
        faults
    }

    /// Takes users and passwords out of the URLs, so that no log can show them.
    pub(crate) fn addresses(&self) -> Result<Addresses, String> {
        let mut servers = Vec::with_capacity(self.servers.len());
        let mut found: Option<Named> = None;
        for raw in &self.servers {
            let (server, named) = address(raw)?;
            servers.push(server);
            let Some(named) = named else { continue };
            if found.as_ref().is_some_and(|known| *known != named) {
                return Err("the URLs name different users; name one in nats.user".to_owned());
            }
            found = Some(named);
        }
        if servers.is_empty() {
            return Err(
                "is empty; name a server, for instance \"nats://127.0.0.1:4222\"".to_owned(),
            );
        }
        let credentials = match (found, &self.credentials) {
            (None, own) => own.clone(),
            (Some(named), Credentials::None) => named.into(),
            (Some(_), _) => {
                let problem = "a URL names a user, and so do other settings; keep one of the two";
                return Err(problem.to_owned());
            }
        };
        Ok(Addresses {
            servers,
            credentials,
        })
    }
}

/// A server's address without the user (or token) and password that its URL names,
/// and those.
fn address(raw: &str) -> Result<(ServerAddr, Option<Named>), String> {
    // The text may hold a password, and so may the parser's error: neither is repeated.
    let wrong =
        || "not a URL such as \"nats://127.0.0.1:4222\" or \"tls://nats.example:4222\"".to_owned();
    let parsed: ServerAddr = raw.parse().ok().ok_or_else(wrong)?;
    if parsed.is_websocket() {
        return Err("WebSocket is not supported; use nats:// or tls://".to_owned());
    }
    if parsed.host().is_empty() {
        return Err(wrong());
    }
    let mut url = parsed.into_inner();
    let user = percent_decoded(url.username());
    let password = url.password().map(percent_decoded);
    let named = (!user.is_empty()).then_some(Named { user, password });
    if url.set_password(None).is_err() || url.set_username("").is_err() {
        return Err(wrong());
    }
    let server = ServerAddr::from_url(url).ok().ok_or_else(wrong)?;
    Ok((server, named))
}

/// Undoes `%xx`; what is none stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_servers(servers: &[&str]) -> NatsConfig {
        NatsConfig {
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            ..NatsConfig::default()
        }
    }

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
            ..NatsConfig::default()
        };
        let keys: Vec<&str> = config.faults().iter().map(|fault| fault.key).collect();
        let all = ["servers", "stream", "subject_prefix", "max_age", "replicas"];
        assert_eq!(keys, all.map(|key| format!("nats.{key}")));
    }

    #[test]
    fn credentials_leave_the_url_before_anybody_sees_them() {
        let config = with_servers(&["nats://joe:s%40fe%2F1@a:4222", "nats://b:4222"]);
        let addresses = config.addresses().unwrap();
        let Credentials::UserPassword { user, password } = &addresses.credentials else {
            panic!("{:?}", addresses.credentials);
        };
        assert_eq!((user.as_str(), password.reveal()), ("joe", "s@fe/1"));
        let shown = format!("{addresses:?}");
        assert!(
            !shown.contains("s@fe") && !shown.contains("s%40fe"),
            "{shown}"
        );

        let token = with_servers(&["nats://t0ken@a:4222"]).addresses().unwrap();
        assert!(
            matches!(token.credentials, Credentials::Token(token) if token.reveal() == "t0ken")
        );
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_its_password() {
        for bad in [
            &["nats://joe:hunter2@"][..],
            &["http://joe:hunter2@a:1"],
            &["nats://joe:hunter2@a:99999"],
            &["nats://joe:hunter2@a:1", "nats://ann:hunter2@b:1"],
            &[],
        ] {
            let faults = with_servers(bad).faults();
            assert_eq!(faults.len(), 1, "{bad:?}");
            assert!(!faults[0].to_string().contains("hunter2"), "{}", faults[0]);
        }
        let twice = NatsConfig {
            credentials: Credentials::Token(Secret::new("hunter2")),
            ..with_servers(&["nats://joe:x@a:1"])
        };
        assert_eq!(twice.faults().len(), 1);
        assert!(!format!("{twice:?}").contains("hunter2"));
    }
}

//! The section `[nats]`: where the cluster is, how to sign in, and what the
//! stream should be like.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::keys;
use super::reader::Reader;
use super::secret::Secret;

/// How to reach NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// At least one. Never with a user or a password in it.
    pub servers: Vec<Url>,
    /// The stream's name.
    pub stream: String,
    /// How to sign in.
    pub auth: NatsAuth,
    /// How to speak TLS.
    pub tls: NatsTls,
    /// Copies of the stream, when it is created.
    pub replicas: u8,
    /// How long the stream recognises a message it has already.
    pub duplicate_window: Duration,
    /// How long the stream keeps a message; `None` is for ever.
    pub max_age: Option<Duration>,
}

/// How to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsAuth {
    /// Not at all.
    Nobody,
    /// With a `.creds` file.
    Credentials(PathBuf),
    /// With a name and a password.
    User {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a token.
    Token(Secret),
    /// With the nkey whose seed is in this file.
    NkeySeed(PathBuf),
}

/// How to speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatsTls {
    /// Whether a server without it is refused.
    pub required: bool,
    /// Authorities to trust beside those of the system.
    pub ca: Option<PathBuf>,
    /// Who we are.
    pub identity: Option<NatsIdentity>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsIdentity {
    /// The certificate, as PEM.
    pub cert: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// What begins a subject.
pub(super) fn subject_prefix(reader: &Reader<'_>) -> String {
    let prefix = reader.text(&keys::NATS_SUBJECT_PREFIX).unwrap_or_default();
    // A prefix is made of what an event's name is made of.
    if !prefix.is_empty() && qx_events::EventName::parse(&prefix).is_err() {
        let text = "not a legal beginning of a subject; use dot-separated tokens of printable \
            ASCII without spaces, `*` and `>`";
        reader.fault(&keys::NATS_SUBJECT_PREFIX, text);
    }
    prefix
}

/// Reads and checks the whole section, whether it is used or not.
pub(super) fn read(reader: &Reader<'_>) -> NatsConfig {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let (servers, from_urls) = servers(reader);
    let duplicate_window = Duration::from_secs(reader.number(&keys::NATS_DUPLICATE_WINDOW));
    let max_age = Some(hours(reader.number(&keys::NATS_MAX_AGE))).filter(|age| !age.is_zero());
    if max_age.is_some_and(|age| duplicate_window > age) {
        reader.disagreement(
            (
                &keys::NATS_DUPLICATE_WINDOW,
                "longer than nats.max_age_h; make it shorter",
            ),
            (
                &keys::NATS_MAX_AGE,
                "shorter than nats.duplicate_window_s; make it longer",
            ),
        );
    }
    NatsConfig {
        servers,
        stream: stream_name(reader),
        auth: auth(reader, from_urls),
        tls: tls(reader),
        replicas: u8::try_from(reader.number(&keys::NATS_REPLICAS)).unwrap_or(u8::MAX),
        duplicate_window,
        max_age,
    }
}

fn stream_name(reader: &Reader<'_>) -> String {
    let name = reader.text(&keys::NATS_STREAM).unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.chars().all(legal) {
        let text = "not a legal name of a stream; use letters, digits, `_` and `-`";
        reader.fault(&keys::NATS_STREAM, text);
    }
    name
}

/// The servers, and who the URLs say we are: taken out of them, so that no log
/// shows it.
fn servers(reader: &Reader<'_>) -> (Vec<Url>, NatsAuth) {
    let mut servers = Vec::new();
    let mut signed = Vec::new();
    for raw in reader.list_given(&keys::NATS_SERVERS).unwrap_or_default() {
        match server(&raw) {
            Ok((url, auth)) => {
                servers.push(url);
                signed.extend(auth);
            }
            Err(text) => reader.fault(&keys::NATS_SERVERS, text),
        }
    }
    let auth = signed.first().cloned().unwrap_or(NatsAuth::Nobody);
    if signed.iter().any(|other| *other != auth) {
        let text = "the URLs name different users; write one into nats.user and nats.password";
        reader.fault(&keys::NATS_SERVERS, text);
    }
    (servers, auth)
}

fn server(raw: &str) -> Result<(Url, Option<NatsAuth>), String> {
    let with_scheme = if raw.contains("://") {
        raw.to_owned()
    } else {
        format!("nats://{raw}")
    };
    // The text may carry a password: the faults do not repeat it.
    let mut url = Url::parse(&with_scheme)
        .map_err(|error| format!("one of them is not a URL ({error}); write nats://host:4222"))?;
    if !["nats", "tls"].contains(&url.scheme()) {
        return Err(format!(
            "`{}://` is not spoken here; write nats:// or tls://",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("one of them has no host; write nats://host:4222".to_owned());
    }
    let auth = match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(NatsAuth::Token(Secret::new(decoded(token)))),
        (user, Some(password)) => Some(NatsAuth::User {
            user: decoded(user),
            password: Secret::new(decoded(password)),
        }),
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    match cleared {
        Ok(()) => Ok((url, auth)),
        Err(()) => Err("one of them has no host; write nats://host:4222".to_owned()),
    }
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let pair = format!("k={}", text.replace('+', "%2B"));
    let value = url::form_urlencoded::parse(pair.as_bytes()).next();
    value.map_or_else(|| text.to_owned(), |(_, value)| value.into_owned())
}

fn auth(reader: &Reader<'_>, from_urls: NatsAuth) -> NatsAuth {
    let mut ways = Vec::new();
    if let Some(path) = reader.path(&keys::NATS_CREDENTIALS) {
        ways.push((&keys::NATS_CREDENTIALS, NatsAuth::Credentials(path)));
    }
    let user = reader.text(&keys::NATS_USER);
    let password = reader.secret(&keys::NATS_PASSWORD);
    match (user, password.map(Secret::new)) {
        (Some(user), Some(password)) => {
            ways.push((&keys::NATS_USER, NatsAuth::User { user, password }));
        }
        (Some(_), None) if !reader.is_given(&keys::NATS_PASSWORD) => {
            reader.fault(&keys::NATS_USER, "goes with nats.password; set that too");
        }
        (None, Some(_)) if !reader.is_given(&keys::NATS_USER) => {
            reader.fault(&keys::NATS_PASSWORD, "goes with nats.user; set that too");
        }
        (Some(_), None) | (None, Some(_) | None) => {}
    }
    if let Some(token) = reader.secret(&keys::NATS_TOKEN) {
        ways.push((&keys::NATS_TOKEN, NatsAuth::Token(Secret::new(token))));
    }
    if let Some(path) = reader.path(&keys::NATS_NKEY_SEED_FILE) {
        ways.push((&keys::NATS_NKEY_SEED_FILE, NatsAuth::NkeySeed(path)));
    }
    if from_urls != NatsAuth::Nobody {
        ways.push((&keys::NATS_SERVERS, from_urls));
    }
    let mut ways = ways.into_iter();
    let Some((first, auth)) = ways.next() else {
        return NatsAuth::Nobody;
    };
    for (key, _) in ways {
        let text = format!(
            "a second way of signing in beside {}; keep one",
            first.full()
        );
        reader.fault(key, text);
    }
    auth
}

fn tls(reader: &Reader<'_>) -> NatsTls {
    let cert = reader.path(&keys::NATS_TLS_CERT);
    let key = reader.path(&keys::NATS_TLS_KEY);
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(NatsIdentity { cert, key }),
        (Some(_), None) => {
            reader.fault(&keys::NATS_TLS_CERT, "goes with nats.tls_key; set that too");
            None
        }
        (None, Some(_)) => {
            reader.fault(&keys::NATS_TLS_KEY, "goes with nats.tls_cert; set that too");
            None
        }
        (None, None) => None,
    };
    NatsTls {
        required: reader.flag(&keys::NATS_TLS_REQUIRED),
        ca: reader.path(&keys::NATS_TLS_CA),
        identity,
    }
}

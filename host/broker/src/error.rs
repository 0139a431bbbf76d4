//! Why the broker cannot be used, and what to do about it. Classified here, once.
//!
//! Never: a secret, or the text of a URL that may hold one.

use std::error::Error;
use std::fmt;

use qx_events::Fault;

/// A cause that this crate has no words of its own for.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// The broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Settings that cannot work.
    #[error("bad settings: {}", joined(.0))]
    Config(Vec<crate::ConfigFault>),
    /// Nobody listens, or the name does not resolve.
    #[error(
        "no NATS server answers at {servers}: start one with `nats-server -js`, correct nats.servers, or set stream.kind = \"embedded\""
    )]
    NoServer {
        /// Where it was looked for.
        servers: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The server does not let us in.
    #[error("the NATS server at {servers} refuses {tried}: {remedy}")]
    Unauthorized {
        /// Where.
        servers: String,
        /// What we showed: the setting, never its value.
        tried: &'static str,
        /// Which setting to look at.
        remedy: &'static str,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// No common ground for encryption.
    #[error(
        "no TLS connection with {servers}: check nats.tls_ca (whose certificates do we trust?), the host name in nats.servers, nats.tls_cert and nats.tls_key, and that the server speaks TLS"
    )]
    Tls {
        /// Where.
        servers: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// A core server.
    #[error(
        "the NATS server at {servers} runs without JetStream{}: start it with `-js`, or enable JetStream for the account",
        if *.account { " for this account" } else { "" }
    )]
    NoJetStream {
        /// Where.
        servers: String,
        /// The server has it, the account has not.
        account: bool,
    },
    /// A stream of this name is there, and would break a promise.
    #[error("stream `{stream}` is there, but {}", joined(.mismatches))]
    StreamMismatch {
        /// The stream.
        stream: String,
        /// What does not fit.
        mismatches: Vec<Mismatch>,
    },
    /// Another stream has these subjects already.
    #[error(
        "subjects `{subjects}` belong to another stream: choose another nats.subject_prefix, set nats.stream to the stream that has them (`nats stream find --subject {subjects}`), or remove them from it"
    )]
    SubjectsTaken {
        /// The subjects we want.
        subjects: String,
        /// The server's answer.
        #[source]
        source: Cause,
    },
    /// A durable consumer of this name is there, and would break a promise.
    #[error("consumer `{consumer}` of stream `{stream}` is there, but {}", joined(.mismatches))]
    ConsumerMismatch {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// What does not fit.
        mismatches: Vec<Mismatch>,
    },
    /// The server understood, and says no.
    #[error("the NATS server refused to {doing}")]
    Refused {
        /// What was asked.
        doing: String,
        /// The server's answer.
        #[source]
        source: Cause,
    },
    /// No answer, or none that lasts: a connection, a timeout, an election.
    #[error("the NATS server did not {doing}")]
    Unanswered {
        /// What was asked.
        doing: String,
        /// What happened.
        #[source]
        source: Cause,
    },
}

/// A setting of a stream or a consumer that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The field, in the server's words.
    pub field: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub wanted: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            found,
            wanted,
            remedy,
        } = self;
        write!(f, "{field} is {found} and must be {wanted}: {remedy}")
    }
}

impl BrokerError {
    /// Whether the same call may succeed later, with nobody's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoServer { .. } | Self::Unanswered { .. } => true,
            Self::Config(_)
            | Self::Unauthorized { .. }
            | Self::Tls { .. }
            | Self::NoJetStream { .. }
            | Self::StreamMismatch { .. }
            | Self::SubjectsTaken { .. }
            | Self::ConsumerMismatch { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// As a port says it.
    pub(crate) fn into_fault(self, doing: impl Into<Box<str>>) -> Fault {
        if self.is_transient() {
            Fault::transient(doing, self)
        } else {
            Fault::permanent(doing, self)
        }
    }
}

fn joined<T: fmt::Display>(all: &[T]) -> String {
    let texts: Vec<String> = all.iter().map(T::to_string).collect();
    texts.join("; ")
}

//! Requests in a test: what a handler sent, and what it is answered.

use serde::Serialize;

use crate::host::{Answered, Body, Sent, Unanswered};

/// A request that a handler sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// For instance `POST`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What was sent.
    pub body: Vec<u8>,
    /// What the handler would have waited.
    pub timeout: Option<std::time::Duration>,
}

impl Request {
    /// The first value of a header, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> crate::Json {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn of(sent: &Sent) -> Self {
        Self {
            method: sent.method.clone(),
            url: sent.url.clone(),
            headers: sent.headers.clone(),
            body: match &sent.body {
                Some(Body::Text(text)) => text.clone().into_bytes(),
                Some(Body::Bytes(bytes)) => bytes.clone(),
                None => Vec::new(),
            },
            timeout: sent.timeout,
        }
    }
}

/// What a server says in a test, or that nobody answers.
#[derive(Debug, Clone)]
pub struct Reply(Result<Answered, Silence>);

/// Why nobody answers.
#[derive(Debug, Clone, Copy)]
enum Silence {
    Timeout,
    Connect,
    Tls,
    Protocol,
}

impl Reply {
    /// This status, and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self(Ok(Answered {
            status,
            headers: Vec::new(),
            body: Body::Text(String::new()),
        }))
    }

    /// Status 200 and this as JSON.
    ///
    /// # Panics
    /// When it has no form in JSON.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(body: &T) -> Self {
        Self::status(200).body(&super::json_text(body))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        if let Ok(answer) = &mut self.0 {
            answer.body = Body::Text(text.to_owned());
        }
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(answer) = &mut self.0 {
            let name = name.to_ascii_lowercase();
            answer.headers.push((name, value.to_owned()));
        }
        self
    }

    /// The server does not answer in time.
    #[must_use]
    pub fn timeout() -> Self {
        Self(Err(Silence::Timeout))
    }

    /// Nobody is there.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Err(Silence::Connect))
    }

    /// The server is not who it should be.
    #[must_use]
    pub fn stranger() -> Self {
        Self(Err(Silence::Tls))
    }

    /// The server hangs up in the middle of its answer.
    #[must_use]
    pub fn cut_off() -> Self {
        Self(Err(Silence::Protocol))
    }

    /// To a request that was sent there.
    pub(crate) fn given(&self, url: &str) -> Result<Answered, Unanswered> {
        self.0.clone().map_err(|silence| silence.told(url))
    }
}

impl Silence {
    /// In the words of the host's scenarios.
    fn told(self, url: &str) -> Unanswered {
        let origin = origin(url);
        match self {
            Self::Timeout => Unanswered::Timeout(format!("no whole answer from {origin} in time")),
            Self::Connect => {
                Unanswered::Connect(format!("{origin} cannot be reached: connection refused"))
            }
            Self::Tls => Unanswered::Tls(format!("{origin}: invalid peer certificate")),
            Self::Protocol => {
                Unanswered::Protocol("connection closed before message completed".to_owned())
            }
        }
    }
}

/// Scheme and host.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url
        .get(authority..)
        .and_then(|rest| rest.find(['/', '?', '#']));
    path.and_then(|at| url.get(..authority + at)).unwrap_or(url)
}

//! HTTP of a scenario: the requests that a handler is expected to send, and what it is
//! answered.

mod web;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use qx_events::ports::{HttpError, HttpRequest, HttpResponse};
use qx_events::web::Origin;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::expect::{Text, present};
use super::script::Exchange;
pub(super) use web::Web;

/// Statuses of an answer. What comes before the answer, 1xx, no handler sees.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// A request that is expected, and what it is answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub(super) struct HttpExchange {
    request: Request,
    answer: Answer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    request: Request,
    response: Option<Response>,
    error: Option<Unanswered>,
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Response(Response),
    Error(Unanswered),
}

/// A request as it is written down.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Sent {
    request: Request,
}

/// A request, in the order in which a person reads it. What is not named is not looked at.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    url: Text,
    /// `null`: it is not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Option<Text>>,
    /// A text to the byte, anything else compared as JSON.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(deserialize_with = "status")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    /// A text as it is, anything else as its JSON.
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    #[serde(default, deserialize_with = "base64")]
    body_base64: Option<Vec<u8>>,
}

/// One header, or one of several lines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
enum Values {
    One(String),
    Several(Vec<String>),
}

/// Why there is no answer, by the words of `qx:events/http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unanswered {
    Timeout,
    Connect,
    Tls,
    Protocol,
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    if STATUSES.contains(&status) {
        return Ok(status);
    }
    let (first, last) = STATUSES.into_inner();
    Err(D::Error::custom(format!(
        "{status} is no status of an answer, which is from {first} to {last}"
    )))
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
    Ok(Some(bytes))
}

impl TryFrom<Raw> for HttpExchange {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw {
            mut request,
            response,
            error,
        } = raw;
        let answer = match (response, error) {
            (Some(response), None) => Answer::Response(response),
            (None, Some(error)) => Answer::Error(error),
            (Some(_), Some(_)) | (None, None) => {
                return Err(
                    "a request has either a `response`, such as {\"status\": 204}, or an `error`: \
                     \"timeout\", \"connect\", \"tls\" or \"protocol\""
                        .to_owned(),
                );
            }
        };
        if let Answer::Response(Response {
            body: Some(_),
            body_base64: Some(_),
            ..
        }) = &answer
        {
            return Err("an answer has either `body` or `body_base64`".to_owned());
        }
        let named = [
            request.body.is_some(),
            request.body_contains.is_some(),
            request.body_base64.is_some(),
        ];
        if named.into_iter().filter(|named| *named).count() > 1 {
            return Err(
                "a request has one of `body`, `body_contains` and `body_base64`".to_owned(),
            );
        }
        request.method.make_ascii_uppercase();
        if let Text::Whole(url) = &mut request.url {
            *url = as_sent(url);
        }
        let headers = std::mem::take(&mut request.headers).into_iter();
        let lower = |(name, value): (String, _)| (name.to_ascii_lowercase(), value);
        request.headers = headers.map(lower).collect();
        Ok(Self { request, answer })
    }
}

/// A URL as a server sees it: in one notation, and without what stays with the client.
/// One that is none is left as it is.
fn as_sent(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            url.set_fragment(None);
            url.into()
        }
        Err(_) => url.to_owned(),
    }
}

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
        Self {
            method: request.method.to_ascii_uppercase(),
            url: as_sent(&request.url),
            headers: request.headers.iter().map(lower).collect(),
            body: request.body.clone(),
        }
    }

    fn header<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let own = self.headers.iter().filter(move |(own, _)| own == name);
        own.map(|(_, value)| value.as_str())
    }

    /// All of it.
    fn whole(&self) -> Request {
        let mut headers = BTreeMap::new();
        for (name, value) in &self.headers {
            headers
                .entry(name.clone())
                .or_insert_with(|| Some(Text::Whole(value.clone())));
        }
        let mut whole = Request {
            method: self.method.clone(),
            url: Text::Whole(self.url.clone()),
            headers,
            body: None,
            body_contains: None,
            body_base64: None,
        };
        if !self.body.is_empty() {
            self.tell_body(&mut whole);
        }
        whole
    }

    /// As JSON where it is an object or a list, as text where it is one.
    fn tell_body(&self, request: &mut Request) {
        match std::str::from_utf8(&self.body) {
            Ok(text) => {
                let json = serde_json::from_str::<Value>(text).ok();
                let structured = json.filter(|json| json.is_object() || json.is_array());
                request.body = Some(structured.unwrap_or_else(|| text.into()));
            }
            Err(_) => request.body_base64 = Some(BASE64.encode(&self.body)),
        }
    }
}

impl Request {
    fn has_url(&self, asked: &Asked) -> bool {
        self.url.is(&asked.url)
    }

    fn has_header(name: &str, value: Option<&Text>, asked: &Asked) -> bool {
        let mut values = asked.header(name);
        match value {
            Some(value) => values.any(|own| value.is(own)),
            None => values.next().is_none(),
        }
    }

    fn has_body(&self, asked: &Asked) -> bool {
        let is = match &self.body {
            None => true,
            Some(Value::String(text)) => asked.body == text.as_bytes(),
            Some(json) => {
                serde_json::from_slice::<Value>(&asked.body).is_ok_and(|own| own == *json)
            }
        };
        let contains = self.body_contains.as_ref().is_none_or(|part| {
            let text = std::str::from_utf8(&asked.body);
            text.is_ok_and(|text| text.contains(part.as_str()))
        });
        let bytes = self.body_base64.as_ref();
        is && contains && bytes.is_none_or(|bytes| *bytes == BASE64.encode(&asked.body))
    }

    fn names_body(&self) -> bool {
        self.body.is_some() || self.body_contains.is_some() || self.body_base64.is_some()
    }
}

impl Exchange for HttpExchange {
    const KEY: &'static str = "http";
    const ANSWERS: &'static [&'static str] = &["response", "error"];
    type Asked = Asked;
    type Written = Sent;

    fn fits(&self, asked: &Asked) -> bool {
        let own = &self.request;
        let mut headers = own.headers.iter();
        own.method == asked.method
            && own.has_url(asked)
            && headers.all(|(name, value)| Request::has_header(name, value.as_ref(), asked))
            && own.has_body(asked)
    }

    fn answers(&self, _: &Asked) -> bool {
        true
    }

    fn written(&self) -> Sent {
        let request = self.request.clone();
        Sent { request }
    }

    fn shown(asked: &Asked, like: Option<&Self>) -> Sent {
        let request = match like {
            Some(like) => like.request.with(asked),
            None => asked.whole(),
        };
        Sent { request }
    }

    fn note(&self, _: &Asked) -> Option<String> {
        None
    }

    fn plain_answer(_: &Asked) -> (&'static str, &'static str) {
        ("response", "{\"status\": 200}")
    }
}

impl Request {
    /// Only what this one names, and in its words where they hold.
    fn with(&self, asked: &Asked) -> Self {
        let like = self;
        let mut shown = like.clone();
        shown.method.clone_from(&asked.method);
        if !like.has_url(asked) {
            shown.url = Text::Whole(asked.url.clone());
        }
        for (name, value) in &mut shown.headers {
            if !Request::has_header(name, value.as_ref(), asked) {
                let own = asked.header(name).next();
                *value = own.map(|own| Text::Whole(own.to_owned()));
            }
        }
        if like.names_body() && !like.has_body(asked) {
            (shown.body, shown.body_contains, shown.body_base64) = (None, None, None);
            asked.tell_body(&mut shown);
        }
        shown
    }
}

impl Response {
    fn given(&self) -> HttpResponse {
        let mut headers = Vec::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values,
            };
            let name = name.to_ascii_lowercase();
            headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
        HttpResponse {
            status: self.status,
            headers,
            body: match (&self.body, &self.body_base64) {
                (Some(Value::String(text)), _) => text.clone().into_bytes(),
                (Some(json), _) => json.to_string().into_bytes(),
                (None, Some(bytes)) => bytes.clone(),
                (None, None) => Vec::new(),
            },
        }
    }
}

impl Unanswered {
    /// As the real client says it, without what differs from run to run.
    fn given(self, origin: &Origin) -> HttpError {
        match self {
            Self::Timeout => HttpError::Timeout(format!("no whole answer from {origin} in time")),
            Self::Connect => {
                HttpError::Connect(format!("{origin} cannot be reached: connection refused"))
            }
            Self::Tls => HttpError::Tls(format!("{origin}: invalid peer certificate")),
            Self::Protocol => {
                HttpError::Protocol("connection closed before message completed".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! What a handler asks of the world outside, natively: requests and statements, in their
//! order, and the answers of the case.

use std::collections::BTreeMap;

use qx_guest::sql;
use qx_guest::testing::{Answer, Delivery, Host, Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};

/// A request that is expected, and the answer to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    request: Expected,
    response: Option<Response>,
    error: Option<Silence>,
}

/// Why nobody answers.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Silence {
    Timeout,
    Connect,
    Tls,
    Protocol,
}

/// What is looked at of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

/// A statement that is expected, and the answer to it.
#[derive(Deserialize)]
pub(super) struct Statement {
    #[serde(rename = "statement")]
    text: String,
    parameters: Option<Vec<Value>>,
    #[serde(flatten)]
    answer: Answered,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answered {
    Rows(Vec<Value>),
    Count(u64),
    Error { sqlstate: String, message: String },
}

/// The host with the answers of a step.
pub(super) fn answering(mut host: Host, http: &[Exchange], sql: &[Statement]) -> Host {
    for exchange in http {
        let Expected { method, url, .. } = &exchange.request;
        host = host.with_reply(&format!("{method} {url}"), exchange.reply());
    }
    for statement in sql {
        host = host.answering(match statement.answer.clone() {
            Answered::Rows(rows) => Answer::Rows(rows),
            Answered::Count(count) => Answer::Changed(count),
            Answered::Error { sqlstate, message } => Answer::Refused { sqlstate, message },
        });
    }
    host
}

impl Exchange {
    fn reply(&self) -> Reply {
        match (&self.response, self.error) {
            (Some(response), None) => response.reply(),
            (None, Some(Silence::Timeout)) => Reply::timeout(),
            (None, Some(Silence::Connect)) => Reply::nobody(),
            (None, Some(Silence::Tls)) => Reply::stranger(),
            (None, Some(Silence::Protocol)) => Reply::cut_off(),
            (None, None) | (Some(_), Some(_)) => {
                panic!("an exchange has either `response` or `error`")
            }
        }
    }
}

impl Response {
    fn reply(&self) -> Reply {
        let mut reply = Reply::status(self.status);
        for (name, value) in &self.headers {
            reply = reply.header(name, value);
        }
        match &self.body {
            Some(Value::String(text)) => reply.body(text),
            Some(json) => reply.body(&json.to_string()),
            None => reply,
        }
    }
}

/// Holds what was asked against what was expected.
pub(super) fn check(place: &str, expected: (&[Exchange], &[Statement]), seen: &Delivery) {
    let (http, sql) = expected;
    assert_eq!(seen.requests.len(), http.len(), "{place}: requests");
    for (sent, Exchange { request, .. }) in seen.requests.iter().zip(http) {
        check_request(place, request, sent);
    }
    assert_eq!(seen.statements.len(), sql.len(), "{place}: statements");
    for (ran, expected) in seen.statements.iter().zip(sql) {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&ran.text), words(&expected.text), "{place}");
        if let Some(parameters) = &expected.parameters {
            let seen: Vec<Value> = ran.parameters.iter().map(shown).collect();
            assert_eq!(seen, *parameters, "{place}: {}", ran.text);
        }
    }
}

fn check_request(place: &str, expected: &Expected, sent: &Request) {
    assert_eq!(
        (&sent.method, &sent.url),
        (&expected.method, &expected.url),
        "{place}"
    );
    for (name, value) in &expected.headers {
        assert_eq!(sent.header(name), Some(value.as_str()), "{place}: {name}");
    }
    if let Some(body) = &expected.body {
        assert_eq!(sent.json(), *body, "{place}");
    }
}

fn shown(parameter: &sql::Value) -> Value {
    match parameter {
        sql::Value::Null => Value::Null,
        sql::Value::Boolean(is) => json!(is),
        sql::Value::Integer(number) => json!(number),
        sql::Value::Number(number) => json!(number),
        sql::Value::Text(text) => json!(text),
        sql::Value::Bytes(bytes) => json!(bytes),
    }
}

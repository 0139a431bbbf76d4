//! The component's imports. One that no handler uses is dropped by the linker, so
//! that a component asks the host only for what it needs.

use super::{Answered, Body, Refusal, Sent, Unanswered};
use crate::bindings::qx::events as wit;
use crate::emit::{Due, NewEvent};
use crate::log::Level;
use crate::sql::{self, Value};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => wit::log::Level::Trace,
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    wit::log::log(level, message);
}

pub(crate) fn config_get(key: &str) -> Option<String> {
    wit::config::get(key)
}

pub(crate) fn state_get(key: &str) -> Option<String> {
    wit::state::get(key)
}

pub(crate) fn state_set(key: &str, value: &str) -> Result<(), String> {
    wit::state::set(key, value).map_err(|wit::state::Error::Limit(which)| which)
}

pub(crate) fn state_delete(key: &str) {
    wit::state::delete(key);
}

pub(crate) fn emit(event: &NewEvent<'_>, payload: &str) -> Result<String, Refusal> {
    let due = event.due.as_ref().map(|due| match due {
        Due::After(wait) => {
            let ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
            wit::emit::Due::After(ms)
        }
        Due::At(time) => wit::emit::Due::At(time.clone()),
    });
    let event = wit::emit::NewEvent {
        name: event.name.to_owned(),
        version: event.version,
        payload: payload.to_owned(),
        ordering_key: event.key.map(ToOwned::to_owned),
        due,
    };
    wit::emit::emit(&event).map_err(|error| match error {
        wit::emit::Error::Invalid(why) => Refusal::Invalid(why),
        wit::emit::Error::Denied(why) => Refusal::Denied(why),
        wit::emit::Error::Limit(which) => Refusal::Limit(which),
    })
}

pub(crate) fn sql_execute(statement: &str, parameters: &[Value]) -> Result<u64, sql::Error> {
    wit::sql::execute(statement, &values(parameters)).map_err(not_done)
}

pub(crate) fn sql_query(statement: &str, parameters: &[Value]) -> Result<Vec<String>, sql::Error> {
    wit::sql::query(statement, &values(parameters)).map_err(not_done)
}

fn values(parameters: &[Value]) -> Vec<wit::sql::Value> {
    let value = |one: &Value| match one {
        Value::Null => wit::sql::Value::Null,
        Value::Boolean(is) => wit::sql::Value::Boolean(*is),
        Value::Integer(number) => wit::sql::Value::Integer(*number),
        Value::Number(number) => wit::sql::Value::Number(*number),
        Value::Text(text) => wit::sql::Value::Text(text.clone()),
        Value::Bytes(bytes) => wit::sql::Value::Bytes(bytes.clone()),
    };
    parameters.iter().map(value).collect()
}

fn not_done(error: wit::sql::Error) -> sql::Error {
    match error {
        wit::sql::Error::Refused(refusal) => sql::Error::Refused {
            sqlstate: refusal.sqlstate,
            message: refusal.message,
        },
        wit::sql::Error::Limit(which) => sql::Error::Limit(which),
    }
}

pub(crate) fn secret_get(name: &str) -> Result<String, String> {
    wit::secrets::get(name).map_err(|wit::secrets::Error::Denied(why)| why)
}

pub(crate) fn http_send(sent: Sent) -> Result<Answered, Unanswered> {
    let headers = sent.headers.into_iter();
    let request = wit::http::Request {
        method: sent.method,
        url: sent.url,
        headers: headers
            .map(|(name, value)| wit::http::Header { name, value })
            .collect(),
        body: sent.body.map(|body| match body {
            Body::Text(text) => wit::http::Body::Text(text),
            Body::Bytes(bytes) => wit::http::Body::Bytes(bytes),
        }),
        timeout: sent
            .timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    match wit::http::send(&request) {
        Ok(response) => Ok(Answered {
            status: response.status,
            headers: response
                .headers
                .into_iter()
                .map(|header| (header.name, header.value))
                .collect(),
            body: match response.body {
                wit::http::Body::Text(text) => Body::Text(text),
                wit::http::Body::Bytes(bytes) => Body::Bytes(bytes),
            },
        }),
        Err(error) => Err(match error {
            wit::http::Error::Denied(why) => Unanswered::Denied(why),
            wit::http::Error::Invalid(why) => Unanswered::Invalid(why),
            wit::http::Error::Limit(why) => Unanswered::Limit(why),
            wit::http::Error::Timeout(why) => Unanswered::Timeout(why),
            wit::http::Error::Connect(why) => Unanswered::Connect(why),
            wit::http::Error::Tls(why) => Unanswered::Tls(why),
            wit::http::Error::Protocol(why) => Unanswered::Protocol(why),
        }),
    }
}

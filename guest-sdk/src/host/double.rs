//! The host of a native test: one call at a time, for each thread its own.
//!
//! Keeps what the call wants to change apart from what was there before, as the
//! real one does. Never: keeps anything of a call that was declined, or calls a
//! clock; `testing` decides what becomes of a call.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Answered, Refusal, Sent, Unanswered};
use crate::emit::{Due, NewEvent};
use crate::log::Level;
use crate::names;
use crate::sql::{self, Value};
use crate::testing::{Answer, Emitted, Line, Reply, Request, Statement};

/// Furthest that an event may be due, as in the host. There is no clock here, so a time
/// is not held against it.
const DUE_MAX: Duration = Duration::from_hours(366 * 24);

/// Values of state by key.
pub(crate) type Values = BTreeMap<String, String>;

/// What one call can see, and what it has done so far.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) committed: Values,
    pub(crate) written: BTreeMap<String, Option<String>>,
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) logs: Vec<Line>,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) limits: Limits,
    pub(crate) secrets: BTreeMap<String, String>,
    /// By method and URL, `POST https://…`.
    pub(crate) replies: BTreeMap<String, Reply>,
    pub(crate) requests: Vec<Request>,
    /// Names that may be emitted; `None` is every one.
    pub(crate) emits: Option<Vec<String>>,
}

/// The limits that an author's code can meet, with the host's defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one value of state, and of one emitted payload.
    pub(crate) value_bytes: usize,
    /// Events emitted in one call.
    pub(crate) emitted_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes: 256 << 10,
            emitted_events: 100,
        }
    }
}

impl Limits {
    fn admit(&self, what: &str, text: &str) -> Result<(), String> {
        let (bytes, most) = (text.len(), self.value_bytes);
        if bytes <= most {
            return Ok(());
        }
        Err(format!(
            "{what} has {bytes} bytes, at most {most} are allowed"
        ))
    }
}

thread_local! {
    static CALL: RefCell<Call> = RefCell::default();
}

/// Runs `body` as one call and gives back what it did.
pub(crate) fn during<R>(call: Call, body: impl FnOnce() -> R) -> (R, Call) {
    CALL.set(call);
    let result = body();
    (result, CALL.take())
}

fn with<R>(body: impl FnOnce(&mut Call) -> R) -> R {
    CALL.with_borrow_mut(body)
}

pub(crate) fn log(level: Level, message: &str) {
    let message = message.to_owned();
    with(|call| call.logs.push(Line { level, message }));
}

pub(crate) fn config_get(key: &str) -> Option<String> {
    with(|call| call.config.get(key).cloned())
}

pub(crate) fn state_get(key: &str) -> Option<String> {
    with(|call| match call.written.get(key) {
        Some(own) => own.clone(),
        None => call.committed.get(key).cloned(),
    })
}

pub(crate) fn state_set(key: &str, value: &str) -> Result<(), String> {
    with(|call| {
        call.limits.admit(&format!("the value at `{key}`"), value)?;
        call.written.insert(key.to_owned(), Some(value.to_owned()));
        Ok(())
    })
}

pub(crate) fn state_delete(key: &str) {
    with(|call| call.written.insert(key.to_owned(), None));
}

pub(crate) fn emit(event: &NewEvent<'_>, payload: &str) -> Result<String, Refusal> {
    let name = event.name;
    if !names::is_event_name(name) {
        return Err(Refusal::Invalid(format!(
            "event name `{name}` is not legal: use dot-separated tokens of printable ASCII"
        )));
    }
    if event.key.is_some_and(|key| !names::is_ordering_key(key)) {
        return Err(Refusal::Invalid(
            "ordering key is not legal: use from 1 to 255 bytes without control characters, and no space at either end"
                .to_owned(),
        ));
    }
    if matches!(&event.due, Some(Due::After(wait)) if *wait > DUE_MAX) {
        return Err(Refusal::Limit("an event is due within 366 days".to_owned()));
    }
    let payload_json = serde_json::from_str(payload)
        .map_err(|error| Refusal::Invalid(format!("the payload is not JSON: {error}")))?;
    with(|call| {
        let granted = call.emits.as_ref();
        if granted.is_some_and(|names| !names.iter().any(|own| own == name)) {
            let why = format!("the test does not grant the event `{name}`");
            return Err(Refusal::Denied(why));
        }
        let what = format!("the payload of `{name}`");
        call.limits.admit(&what, payload).map_err(Refusal::Limit)?;
        let most = call.limits.emitted_events;
        if call.emitted.len() >= most {
            return Err(Refusal::Limit(format!(
                "at most {most} events can be emitted in one call"
            )));
        }
        let id = format!("00000000-0000-4000-8000-{:012}", call.emitted.len() + 1);
        call.emitted.push(Emitted {
            id: id.clone(),
            name: name.to_owned(),
            version: event.version,
            payload: payload_json,
            key: event.key.map(ToOwned::to_owned),
            due: event.due.clone(),
        });
        Ok(id)
    })
}

pub(crate) fn sql_execute(statement: &str, parameters: &[Value]) -> Result<u64, sql::Error> {
    match answer(statement, parameters)? {
        Answer::Changed(rows) => Ok(rows),
        Answer::Rows(rows) => Ok(rows.len() as u64),
        Answer::Refused { sqlstate, message } => Err(sql::Error::Refused { sqlstate, message }),
    }
}

pub(crate) fn sql_query(statement: &str, parameters: &[Value]) -> Result<Vec<String>, sql::Error> {
    match answer(statement, parameters)? {
        Answer::Rows(rows) => Ok(rows.iter().map(ToString::to_string).collect()),
        Answer::Changed(_) => Ok(Vec::new()),
        Answer::Refused { sqlstate, message } => Err(sql::Error::Refused { sqlstate, message }),
    }
}

/// Notes the statement, and takes the next answer that the test gave.
fn answer(statement: &str, parameters: &[Value]) -> Result<Answer, sql::Error> {
    with(|call| {
        call.statements.push(Statement {
            text: statement.to_owned(),
            parameters: parameters.to_vec(),
        });
        call.answers.pop_front().ok_or_else(|| sql::Error::Refused {
            sqlstate: "58000".to_owned(),
            message: format!("the test gives no answer to `{statement}`: see Host::answering"),
        })
    })
}

pub(crate) fn secret_get(name: &str) -> Result<String, String> {
    let known = with(|call| call.secrets.get(name).cloned());
    known.ok_or_else(|| format!("the test has no secret `{name}`: add it with `with_secret`"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "as in a component, where it is given away"
)]
pub(crate) fn http_send(sent: Sent) -> Result<Answered, Unanswered> {
    with(|call| {
        call.requests.push(Request::of(&sent));
        let place = format!("{} {}", sent.method, sent.url);
        match call.replies.get(&place) {
            Some(reply) => reply.given(&sent.url),
            None => Err(Unanswered::Denied(format!(
                "the test has no reply for `{place}`: add it with `with_reply`"
            ))),
        }
    })
}

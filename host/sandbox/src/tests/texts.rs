//! Texts of strangers: of megabytes, and with escapes of a terminal, to every import and
//! in every answer.

use std::sync::Arc;

use qx_events::ports::{Answer, Http, HttpError, HttpRequest, HttpResponse};
use qx_events::ports::{SqlRefusal, Statement, Statements};
use qx_events::{Capability, Fault, Rights};

use super::hostile::{Hostile, hostile};
use super::world::World;
use crate::testing::ping;

/// A mebibyte of memory more, and a text of seven, given to an import.
fn huge(call: &str) -> Vec<u8> {
    ping(
        &format!("(drop (memory.grow (i32.const 110))) {call} (call $ok)"),
        "",
    )
}

/// An event of small name and payload, with this key and this time.
fn event(key: &str, due: &str) -> String {
    format!(
        "(call $emit-event (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 1)
            {key} {due} (i32.const 5000))"
    )
}

/// A request whose method, URL, header, number of headers and body are at these places.
fn request(parts: [&str; 3], body: &str) -> String {
    let [method, url, headers] = parts;
    format!(
        "(call $send {method} {url} {headers} {body} (i32.const 0) (i64.const 0) (i32.const 5000))"
    )
}

const HUGE: &str = "(i32.const 0) (i32.const 7000000)";
const SMALL: &str = "(i32.const 0) (i32.const 1)";
const NONE: &str = "(i32.const 0) (i32.const 0)";
const NO_BODY: &str = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)";

/// At 4,096 a record whose text at 0, 8 or both is one of seven megabytes: a header, or
/// a parameter of SQL.
fn huge_record(call: &str, record: &str) -> Vec<u8> {
    let fields = format!("(data (i32.const 4096) \"{record}\")");
    ping(
        &format!("(drop (memory.grow (i32.const 110))) {call} (call $ok)"),
        &fields,
    )
}

/// Pointer 0 and 7,000,000 bytes; pointer 0 and one.
const HUGE_TEXT: &str = "\\00\\00\\00\\00\\c0\\cf\\6a\\00";
const SMALL_TEXT: &str = "\\00\\00\\00\\00\\01\\00\\00\\00";

/// Texts of megabytes, to every import and in the answer.
pub(super) fn huge_texts() -> Vec<Hostile> {
    let guests = [
        (
            "huge line",
            huge("(call $say (i32.const 0) (i32.const 7000000))"),
        ),
        (
            "huge key of the settings",
            huge("(call $config (i32.const 0) (i32.const 7000000) (i32.const 5000))"),
        ),
        (
            "huge key to read",
            huge("(call $get (i32.const 0) (i32.const 7000000) (i32.const 5000))"),
        ),
        (
            "huge key to delete",
            huge("(call $delete (i32.const 0) (i32.const 7000000))"),
        ),
        (
            "huge reason",
            ping(
                "(drop (memory.grow (i32.const 110))) (call $reject (i32.const 0) (i32.const 7000000))",
                "",
            ),
        ),
        (
            "huge value",
            huge(
                "(call $set (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 7000000) (i32.const 5000))",
            ),
        ),
        (
            "huge key of an event",
            huge(&event(
                "(i32.const 1) (i32.const 0) (i32.const 7000000)",
                "(i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0)",
            )),
        ),
        (
            "huge time of an event",
            huge(&event(
                "(i32.const 0) (i32.const 0) (i32.const 0)",
                "(i32.const 1) (i32.const 1) (i64.const 0) (i32.const 7000000)",
            )),
        ),
        (
            "huge event",
            huge(
                "(call $emit (i32.const 0) (i32.const 7000000) (i32.const 1) (i32.const 0) (i32.const 7000000) (i32.const 5000))",
            ),
        ),
    ];
    let outside = huge_texts_to_the_outside();
    let guests = guests.into_iter().chain(outside);
    guests
        .map(|(name, bytes)| hostile(name, bytes, "host_data", "1048576"))
        .collect()
}

/// To the imports that reach out of the host: name, body, and what the guest is made of.
fn huge_texts_to_the_outside() -> Vec<(&'static str, Vec<u8>)> {
    let one = "(i32.const 4096) (i32.const 1)";
    let parameter = |kind: u8| format!("\\{kind:02x}\\00\\00\\00\\00\\00\\00\\00{HUGE_TEXT}");
    let send = |parts, body| request(parts, body);
    let with_body = |kind| format!("(i32.const 1) (i32.const {kind}) {HUGE}");
    let guests = [
        (
            "name of a secret",
            huge(&format!("(call $secret {HUGE} (i32.const 5000))")),
        ),
        (
            "statement",
            huge(&format!("(call $execute {HUGE} {NONE} (i32.const 5000))")),
        ),
        (
            "query",
            huge(&format!("(call $query {HUGE} {NONE} (i32.const 5000))")),
        ),
        (
            "text for a statement",
            huge_record(
                &format!("(call $execute {SMALL} {one} (i32.const 5000))"),
                &parameter(4),
            ),
        ),
        (
            "bytes for a statement",
            huge_record(
                &format!("(call $query {SMALL} {one} (i32.const 5000))"),
                &parameter(5),
            ),
        ),
        (
            "number of parameters",
            huge(&format!(
                "(call $execute {SMALL} (i32.const 0) (i32.const 400000) (i32.const 5000))"
            )),
        ),
        ("method", huge(&send([HUGE, SMALL, NONE], NO_BODY))),
        ("URL", huge(&send([SMALL, HUGE, NONE], NO_BODY))),
        (
            "name of a header",
            huge_record(
                &send([SMALL, SMALL, one], NO_BODY),
                &format!("{HUGE_TEXT}{SMALL_TEXT}"),
            ),
        ),
        (
            "value of a header",
            huge_record(
                &send([SMALL, SMALL, one], NO_BODY),
                &format!("{SMALL_TEXT}{HUGE_TEXT}"),
            ),
        ),
        (
            "number of headers",
            huge(&send(
                [SMALL, SMALL, "(i32.const 0) (i32.const 400000)"],
                NO_BODY,
            )),
        ),
        ("body", huge(&send([SMALL, SMALL, NONE], &with_body(0)))),
        (
            "body of bytes",
            huge(&send([SMALL, SMALL, NONE], &with_body(1))),
        ),
    ];
    Vec::from(guests)
}

/// Says in every way no with the guest's own words.
struct Echo;

#[async_trait::async_trait]
impl Statements for Echo {
    async fn run(&self, statement: Statement) -> Result<Result<Answer, SqlRefusal>, Fault> {
        let code = "42601".to_owned();
        let message = format!("syntax error at {}", statement.text);
        Ok(Err(SqlRefusal::Database { code, message }))
    }
}

#[async_trait::async_trait]
impl Http for Echo {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (name, value) = request.headers.first().cloned().unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let said = [request.method.as_str(), &request.url, &name, &value, &body].join(" ");
        Err(match request.headers.len() {
            0 => HttpError::Denied(said),
            1 => HttpError::Invalid(said),
            2 => HttpError::Timeout(said),
            3 => HttpError::Connect(said),
            4 => HttpError::Tls(said),
            5 => HttpError::Protocol(said),
            _ => HttpError::Limit {
                word: "http_url",
                message: said,
            },
        })
    }
}

/// An escape that renames a terminal, a bell, a new line, and a turn of the direction:
/// at 4,096, for as many bytes.
const ESCAPES: &str = r#"(data (i32.const 4096) "\1b]0;owned\07\0d\0a\e2\80\ae")"#;
const OWNED: &str = "(i32.const 4096) (i32.const 15)";

#[tokio::test]
async fn what_a_guest_gives_to_any_import_comes_back_without_an_escape() {
    let mut world = World::new();
    world.manifest.settings.rights = Rights::of(Capability::ALL);
    world.manifest.settings.rights.sql = Some("role".to_owned());
    world.manifest.outside.http = Some(Arc::new(Echo));
    // Calls, where their answer has its text, and whether that quotes the guest.
    let no_key = "(i32.const 0) (i32.const 0) (i32.const 0)";
    let at_once = "(i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0)";
    let emit = |name: &str, payload: &str, key: &str, due: &str| {
        format!("(call $emit-event {name} (i32.const 1) {payload} {key} {due} (i32.const 5000))")
    };
    let legal = "(i32.const 4200) (i32.const 1)";
    let mut calls = vec![
        (format!("(call $secret {OWNED} (i32.const 5000))"), 8),
        (
            format!("(call $execute {OWNED} {NONE} (i32.const 5000))"),
            20,
        ),
        (format!("(call $query {OWNED} {NONE} (i32.const 5000))"), 16),
        (emit(OWNED, legal, no_key, at_once), 8),
        (emit(legal, OWNED, no_key, at_once), 8),
        (
            emit(legal, legal, &format!("(i32.const 1) {OWNED}"), at_once),
            8,
        ),
        (
            emit(
                legal,
                legal,
                no_key,
                "(i32.const 1) (i32.const 1) (i64.const 4096) (i32.const 15)",
            ),
            8,
        ),
    ];
    for headers in 0..7 {
        let headers = format!("(i32.const 4300) (i32.const {headers})");
        let body = format!("(i32.const 1) (i32.const 0) {OWNED}");
        calls.push((request([OWNED, OWNED, &headers], &body), 8));
    }
    // Headers of the same words, and the letter 1: a name and a payload.
    let header = r"\00\10\00\00\0f\00\00\00".repeat(2 * 7);
    let fields =
        format!("{ESCAPES} (data (i32.const 4200) \"1\") (data (i32.const 4300) \"{header}\")");
    for (call, at) in calls {
        let rejects = format!(
            "{call} (call $say-field (i32.const 5000) (i32.const {at}))
            (call $reject (i32.load (i32.const {})) (i32.load (i32.const {})))",
            5000 + at,
            5004 + at
        );
        let loaded = world.load(ping(&rejects, &fields)).await;
        let outcome = world.call_asking(&loaded, Arc::new(Echo)).await;
        let seen = format!("{outcome:?}");
        assert_eq!(outcome.as_str(), "rejected", "{call}: {seen}");
        let said = world.logged().pop().unwrap();
        for text in [&seen, &said] {
            assert!(
                text.contains("owned") || call.contains("$emit"),
                "{call}: {text}"
            );
            let is_fit = |c: char| !c.is_control() && c != '\u{202e}';
            assert!(text.chars().all(is_fit), "{call}: {text}");
        }
    }
}

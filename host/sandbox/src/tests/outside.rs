//! What a component reaches outside the host: what it is granted, within limits, and
//! none of its secrets in what it says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use qx_events::ports::{Answer, SqlRefusal, Statement, Statements};
use qx_events::ports::{Http, HttpError, HttpRequest, HttpResponse, SecretSource};
use qx_events::{Capability, Fault, Limits, Outcome, Reuse, Rights};

use super::world::{PARENT, World, effects, failure};
use crate::Life;
use crate::testing::ping;

/// What no line, reason or error may show.
const PLANTED: &str = "planted-s3cret-value";

struct Planted;

#[async_trait::async_trait]
impl SecretSource for Planted {
    async fn value(&self) -> Arc<str> {
        Arc::from(PLANTED)
    }

    fn known(&self) -> Vec<Arc<str>> {
        vec![Arc::from(PLANTED)]
    }
}

/// A server for every URL, by its path.
#[derive(Default)]
struct Web(Mutex<Vec<HttpRequest>>);

#[async_trait::async_trait]
impl Http for Web {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let body = match request.url.rsplit('/').next() {
            Some("text") => b"answered".to_vec(),
            Some("denied") => return Err(HttpError::Denied("not there".to_owned())),
            Some("stuck") => std::future::pending().await,
            _ => {
                return Err(HttpError::Limit {
                    word: "http_response_kb",
                    message: "1 KiB".to_owned(),
                });
            }
        };
        self.0.lock().unwrap().push(request);
        Ok(HttpResponse {
            status: 200,
            headers: vec![("x-a".to_owned(), "b".to_owned())],
            body,
        })
    }
}

fn world() -> (World, Arc<Web>) {
    let mut world = World::new();
    let web = Arc::new(Web::default());
    world.manifest.settings.rights = Rights::of(Capability::ALL);
    world.manifest.settings.rights.sql = Some("role".to_owned());
    world.manifest.outside.http = Some(Arc::clone(&web) as _);
    let secrets = &mut world.manifest.outside.secrets;
    secrets.insert("token".to_owned(), Arc::new(Planted));
    (world, web)
}

/// Reads the secret `token`; its text is then at `$at`, `$length`.
const TOKEN: &str = "
    (call $secret (i32.const 4096) (i32.const 5) (i32.const 5000))
    (local.set $at (i32.load (i32.const 5004)))
    (local.set $length (i32.load (i32.const 5008)))";

fn with_token(rest: &str) -> Vec<u8> {
    let body = format!("(local $at i32) (local $length i32) {TOKEN} {rest}");
    ping(&body, r#"(data (i32.const 4096) "token")"#)
}

/// Posts `hello` with one header, `x-a: b`, to a URL, so many times, and says the words
/// of the last error or the last body.
fn send(url: &str, times: u32) -> Vec<u8> {
    send_bytes(5, url, times)
}

/// The same with so many bytes of a body, zeros after the word.
fn send_bytes(bytes: usize, url: &str, times: u32) -> Vec<u8> {
    let length = url.len();
    let body = format!(
        "(local $n i32)
        (loop
            (call $send (i32.const 4096) (i32.const 4) (i32.const 4100) (i32.const {length})
                (i32.const 4600) (i32.const 1)
                (i32.const 1) (i32.const 0) (i32.const 4760) (i32.const {bytes})
                (i32.const 0) (i64.const 0) (i32.const 5000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const {times}))))
        (if (i32.load8_u (i32.const 5000))
            (then (call $say-field (i32.const 5000) (i32.const 8)))
            (else (call $say-field (i32.const 5000) (i32.const 20))))
        (call $ok)"
    );
    // The header's record: pointer and length of its name, and of its value.
    let fields = format!(
        r#"(data (i32.const 4096) "POST") (data (i32.const 4100) {url:?})
        (data (i32.const 4600) "\70\12\00\00\03\00\00\00\78\12\00\00\01\00\00\00")
        (data (i32.const 4760) "hello") (data (i32.const 4720) "x-a") (data (i32.const 4728) "b")"#
    );
    ping(&body, &fields)
}

#[tokio::test]
async fn a_granted_secret_is_given_and_none_of_the_components_words_show_it() {
    let (world, _) = world();
    let says = "(call $say (local.get $at) (local.get $length))";
    let done = world.run(with_token(&format!("{says} (call $ok)"))).await;
    assert!(effects(done).is_empty());
    assert_eq!(world.logged(), ["[redacted]"]);

    let rejects = "(call $reject (local.get $at) (local.get $length))";
    let Outcome::Rejected { reason } = world.run(with_token(rejects)).await else {
        panic!("not rejected");
    };
    assert_eq!(reason, "[redacted]");

    let retries = "(call $retry (local.get $at) (local.get $length) (i64.const 0))";
    let Outcome::Retry { reason, .. } = world.run(with_token(retries)).await else {
        panic!("not put off");
    };
    assert_eq!(reason, "[redacted]");

    let traps = "(call $log (i32.const 4) (local.get $at) (local.get $length)) (unreachable)";
    let (breach, detail) = failure(world.run(with_token(traps)).await);
    assert_eq!(breach, "trap");
    assert!(detail.starts_with("[redacted]: "), "{detail}");
    assert!(!format!("{:?}", world.manifest).contains(PLANTED));
}

#[tokio::test]
async fn a_secret_that_is_not_granted_is_denied_with_how_to_grant_it() {
    let (mut world, _) = world();
    world.manifest.outside.secrets.clear();
    let body = "(call $secret (i32.const 4096) (i32.const 5) (i32.const 5000))
        (call $say-field (i32.const 5000) (i32.const 8)) (call $ok)";
    let guest = ping(body, r#"(data (i32.const 4096) "token")"#);
    drop(effects(world.run(guest).await));
    let said = world.logged().remove(0);
    assert!(
        said.contains("no secret `token`: add it to `secrets` under `[grants.stars]`"),
        "{said}"
    );
}

#[tokio::test]
async fn a_request_is_sent_as_the_guest_wants_it_and_its_answer_comes_back() {
    let (world, web) = world();
    drop(effects(world.run(send("https://x.example/text", 1)).await));
    assert_eq!(world.logged(), ["answered"]);
    let sent = web.0.lock().unwrap();
    assert_eq!(sent[0].method, "POST");
    assert_eq!(sent[0].url, "https://x.example/text");
    assert_eq!(sent[0].headers, [("x-a".to_owned(), "b".to_owned())]);
    assert_eq!(sent[0].body, b"hello");
    assert_eq!(sent[0].trace.as_ref().unwrap().traceparent(), PARENT);
    let limits = &world.manifest.settings.limits;
    assert_eq!(sent[0].response_bytes_max, limits.http_response_bytes);
    assert!(
        sent[0].timeout < limits.timeout,
        "the handler has time to answer"
    );
}

#[tokio::test]
async fn what_is_denied_or_too_large_is_told_to_the_guest() {
    let (mut world, _) = world();
    drop(effects(
        world.run(send("https://x.example/denied", 1)).await,
    ));
    drop(effects(world.run(send("https://x.example/large", 1)).await));
    assert_eq!(world.logged(), ["not there", "http_response_kb: 1 KiB"]);
    assert_eq!(world.limits_hit(), ["http_response_kb"]);
    world.manifest.outside.http = None;
    drop(effects(world.run(send("https://x.example/text", 1)).await));
    let said = world.logged().pop().unwrap();
    assert!(said.contains("under `[grants.stars]`"), "{said}");
}

#[tokio::test]
async fn requests_of_one_call_are_limited_in_number_and_size() {
    let (world, web) = world();
    let world = world.limits(|limits| limits.http_requests = 3);
    drop(effects(world.run(send("https://x.example/text", 9)).await));
    assert_eq!(
        world.logged(),
        ["http_requests: a call sends at most 3 requests (limits.http_requests)"]
    );
    assert_eq!(web.0.lock().unwrap().len(), 3);
    let world = world.limits(|limits| limits.value_bytes = 100);
    drop(effects(
        world
            .run(send_bytes(101, "https://x.example/text", 1))
            .await,
    ));
    let said = world.logged().pop().unwrap();
    assert!(
        said.contains("at most 100 bytes, this one has 101"),
        "{said}"
    );
    assert_eq!(web.0.lock().unwrap().len(), 3);
    assert_eq!(world.limits_hit(), ["http_requests", "value_kb"]);
}

#[tokio::test]
async fn a_guest_that_sends_without_end_is_stopped_and_sends_no_more_than_its_limit() {
    let (world, web) = world();
    let world = world.limits(|limits| limits.host_calls = 500);
    let (breach, _) = failure(world.run(send("https://x.example/text", u32::MAX)).await);
    assert_eq!(breach, "host_calls");
    let most = world.manifest.settings.limits.http_requests;
    assert_eq!(web.0.lock().unwrap().len(), usize::try_from(most).unwrap());
}

#[tokio::test]
async fn waiting_for_an_answer_uses_up_the_calls_time_and_none_of_the_processors() {
    let (world, _) = world();
    let world = world.limits(|limits| {
        limits.timeout = Duration::from_millis(200);
        limits.cpu = Duration::from_millis(190);
    });
    let (breach, _) = failure(world.run(send("https://x.example/stuck", 1)).await);
    assert_eq!(breach, "deadline");
}

/// Sends a request and runs a statement while it comes up, and says what it was told.
fn eager() -> Vec<u8> {
    let url = "https://x.example/text";
    let length = url.len();
    let start = format!(
        r#"(func (export "_initialize")
            (call $send (i32.const 4096) (i32.const 4) (i32.const 4100) (i32.const {length})
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i64.const 0) (i32.const 5000))
            (if (i32.load8_u (i32.const 5000)) (then (call $say-field (i32.const 5000) (i32.const 8))))
            (call $query (i32.const 4200) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 5000))
            (if (i32.load8_u (i32.const 5000))
                (then (call $say-field (i32.const 5000) (i32.const 16)))))
        (data (i32.const 4096) "POST") (data (i32.const 4100) {url:?})
        (data (i32.const 4200) "SELECT 1")"#
    );
    ping("(call $ok)", &start)
}

/// Counts what it is asked.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Statements for Asked {
    async fn run(&self, statement: Statement) -> Result<Result<Answer, SqlRefusal>, Fault> {
        self.0.lock().unwrap().push(statement.text);
        Ok(Ok(Answer::Rows(Vec::new())))
    }
}

#[tokio::test]
async fn a_component_that_is_only_tried_reaches_no_server_and_no_database() {
    let (world, web) = world();
    let loaded = world.load(eager()).await;
    assert!(web.0.lock().unwrap().is_empty(), "nothing was sent");
    let said = world.logged();
    assert_eq!(said.len(), 2, "{said:?}");
    for line in &said {
        assert!(line.starts_with("no event is being handled"), "{line}");
    }
    // For an event it is made anew, and then it may.
    let asked = Arc::new(Asked::default());
    drop(effects(
        world.call_asking(&loaded, Arc::clone(&asked) as _).await,
    ));
    assert_eq!(web.0.lock().unwrap().len(), 1);
    assert_eq!(*asked.0.lock().unwrap(), ["SELECT 1"]);
    assert_eq!(world.logged().len(), 2, "no more was refused");
}

#[tokio::test]
async fn each_call_of_a_kept_instance_has_its_own_requests_to_spend() {
    let (mut world, web) = world();
    world.manifest.settings.reuse = Some(Reuse::of(&Limits::default(), 1));
    let world = world.limits(|limits| limits.http_requests = 2);
    let loaded = world.load(send("https://x.example/text", 2)).await;
    for _ in 0..3 {
        drop(effects(world.call(&loaded).await));
    }
    let reused = world.lives().into_iter();
    assert_eq!(reused.filter(|life| *life == Life::Reused).count(), 2);
    assert_eq!(web.0.lock().unwrap().len(), 6);
    assert_eq!(world.limits_hit(), [""; 0]);
}

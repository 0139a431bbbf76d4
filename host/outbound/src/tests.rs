//! Requests over real sockets to servers that behave, and to those that do not.

mod servers;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qx_events::ComponentName;
use qx_events::ports::{Http, HttpError, HttpRequest, HttpResponse};
use qx_events::web::HttpGrant;

use crate::{Client, Outbound, Resolve};
use servers::{Server, TlsServer};

/// Long enough for anything that comes at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// For what never comes.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// Largest body that is taken here.
const BODY_MAX: usize = 64 << 10;

/// Answers one after the other, the last for ever.
struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<usize>,
}

impl Names {
    fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |each: &&[&str]| {
            each.iter()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: Mutex::new(0),
        })
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        match answers.len() {
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.pop_front().unwrap()),
        }
    }
}

fn client(outbound: &Outbound, grants: &[(&str, bool)]) -> Client {
    let grant = |(url, private): &(&str, bool)| HttpGrant::parse(url, *private).unwrap();
    let stars = ComponentName::parse("stars").unwrap();
    outbound.client(stars, grants.iter().map(grant).collect())
}

fn outbound() -> Outbound {
    Outbound::new(None).unwrap()
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: vec![("X-Token".to_owned(), "planted".to_owned())],
        body: b"hello".to_vec(),
        timeout: PATIENCE,
        response_bytes_max: BODY_MAX,
        trace: None,
    }
}

/// To a server of this machine that is granted by its address.
async fn ask(server: &Server, timeout: Duration) -> Result<HttpResponse, HttpError> {
    let origin = server.origin();
    let request = HttpRequest {
        timeout,
        ..request(&format!("{origin}/planted?planted"))
    };
    client(&outbound(), &[(&origin, false)]).send(request).await
}

/// The word of the error, whose text must show no part of the request.
fn refused(answer: Result<HttpResponse, HttpError>) -> &'static str {
    let error = answer.map(|response| response.status).unwrap_err();
    assert!(!error.to_string().contains("planted"), "{error}");
    error.as_str()
}

#[tokio::test]
async fn a_granted_request_arrives_as_it_was_meant_and_so_does_the_answer() {
    let server =
        Server::answering("HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 4\r\n\r\nmade");
    let answer = ask(&server, PATIENCE).await.unwrap();
    assert_eq!((answer.status, answer.body), (201, b"made".to_vec()));
    assert!(answer.headers.contains(&("x-a".to_owned(), "b".to_owned())));
    let seen = server.requests().remove(0);
    let lower = seen.to_lowercase();
    assert!(
        seen.starts_with("POST /planted?planted HTTP/1.1\r\n"),
        "{seen}"
    );
    for line in ["x-token: planted", "content-length: 5", "connection: close"] {
        assert!(lower.contains(line), "{line} in {seen}");
    }
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
}

#[tokio::test]
async fn a_listener_that_is_not_granted_is_never_reached() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let port = server.port();
    let client = client(&outbound(), &[("https://api.example.com", true)]);
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/planted");
        assert_eq!(
            refused(client.send(request(&url)).await),
            "denied",
            "{host}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_granted_name_that_leads_inside_is_refused_unless_the_grant_says_so() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://files.example:{}", server.port());
    for address in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let names = Names::answering(&[&["1.1.1.1", address]]);
        let outbound = outbound().with_resolver(names);
        let answer = client(&outbound, &[(&url, false)])
            .send(request(&url))
            .await;
        assert_eq!(refused(answer), "denied", "{address}");
    }
    assert_eq!(server.connections(), 0);
    let outbound = outbound().with_resolver(Names::answering(&[&["127.0.0.1"]]));
    let answer = client(&outbound, &[(&url, true)]).send(request(&url)).await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_once_and_what_was_checked_is_reached() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://rebind.example:{}", server.port());
    // First the internet, where nobody answers on this port; then this machine.
    let names = Names::answering(&[&["1.1.1.1"], &["127.0.0.1"]]);
    let outbound = outbound().with_resolver(Arc::clone(&names) as _);
    let client = client(&outbound, &[(&url, false)]);
    let first = HttpRequest {
        timeout: IMPATIENCE,
        ..request(&url)
    };
    let word = refused(client.send(first).await);
    assert!(["timeout", "connect"].contains(&word), "{word}");
    assert_eq!(names.asked(), 1);
    assert_eq!(refused(client.send(request(&url)).await), "denied");
    assert_eq!((names.asked(), server.connections()), (2, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_that_nobody_follows() {
    let inside = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let to = inside.origin();
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let server = Server::answering(&head);
    let answer = ask(&server, PATIENCE).await.unwrap();
    assert_eq!(answer.status, 302);
    assert!(answer.headers.contains(&("location".to_owned(), to)));
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_costs_no_more_than_the_time_of_the_request() {
    for beginning in [
        "",
        "HTTP/1.1 200 OK\r\nX-A",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal",
    ] {
        let server = Server::stuck_after(beginning);
        assert_eq!(
            refused(ask(&server, IMPATIENCE).await),
            "timeout",
            "{beginning:?}"
        );
        server.is_left_alone();
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_at_its_limit_and_the_connection_closed() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, more) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1 << 10)),
        (chunked, format!("400\r\n{}\r\n", "x".repeat(1 << 10))),
        ("HTTP/1.1 200 OK\r\n", "X-Another: header\r\n".to_owned()),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "x".repeat(1 << 10)),
    ] {
        let server = Server::endless(head, &more);
        assert_eq!(
            refused(ask(&server, PATIENCE).await),
            "too-large",
            "{head:?}"
        );
        server.is_left_alone();
    }
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let server = Server::stuck_after(announced);
    assert_eq!(refused(ask(&server, PATIENCE).await), "too-large");
}

#[tokio::test]
async fn a_body_is_not_unpacked() {
    let packed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc";
    let answer = ask(&Server::answering(packed), PATIENCE).await.unwrap();
    assert_eq!(answer.body, b"abc");
}

#[tokio::test]
async fn what_is_no_http_or_hangs_up_is_told_as_such() {
    for nonsense in [
        "SSH-2.0-OpenSSH\r\n",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        let server = Server::answering(nonsense);
        assert_eq!(
            refused(ask(&server, PATIENCE).await),
            "protocol",
            "{nonsense:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let gone = Server::answering("").origin();
    let answer = client(&outbound(), &[(&gone, false)])
        .send(request(&gone))
        .await;
    assert_eq!(refused(answer), "connect");
}

#[tokio::test]
async fn a_server_whom_nobody_vouches_for_is_not_talked_to() {
    let server = TlsServer::named("api.example");
    let url = format!("https://api.example:{}", server.port());
    let local = || Names::answering(&[&["127.0.0.1"]]);
    let stranger = outbound().with_resolver(local());
    let answer = client(&stranger, &[(&url, true)]).send(request(&url)).await;
    assert_eq!(refused(answer), "tls");
    assert!(server.requests().is_empty());

    let trusting = Outbound::new(Some(&server.authority()))
        .unwrap()
        .with_resolver(local());
    let answer = client(&trusting, &[(&url, true)]).send(request(&url)).await;
    assert_eq!(answer.unwrap().status, 200);

    let other = format!("https://other.example:{}", server.port());
    let answer = client(&trusting, &[(&other, true)])
        .send(request(&other))
        .await;
    assert_eq!(refused(answer), "tls", "the certificate is another's");
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_no_connection() {
    let server = Server::stuck_after("HTTP/1.1 200 OK\r\n");
    let asking = ask(&server, PATIENCE);
    let given_up = tokio::time::timeout(IMPATIENCE, asking).await;
    assert!(given_up.is_err());
    server.is_left_alone();
}

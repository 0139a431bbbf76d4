//! The admin address as probes, scrapers, the command line and strangers find it.

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::admin::{Check, ClientError, HandlerView, Readiness, client};

/// A host with one component; the checks are what the test says, or never end.
struct Host {
    checks: Mutex<Option<Vec<Check>>>,
}

#[async_trait]
impl Insight for Host {
    async fn handlers(&self) -> Vec<HandlerView> {
        vec![stars()]
    }

    async fn readiness(&self) -> Readiness {
        let checks = self.checks.lock().unwrap().clone();
        match checks {
            Some(checks) => Readiness { checks },
            None => std::future::pending().await,
        }
    }
}

fn stars() -> HandlerView {
    HandlerView {
        component: "stars".to_owned(),
        digest: Some("ab".repeat(32)),
        state: "degraded".to_owned(),
        events: vec!["github.star.*".to_owned()],
        versions: vec!["1,2".to_owned()],
        signature: Some("unsigned".to_owned()),
        signed_by: None,
        order: None,
        consumed_by: None,
        rights: None,
        stored: None,
        loading: None,
        canary: None,
        file_digest: None,
        step: Some("check".to_owned()),
        draining: 0,
        reason: Some("no export takes an event".to_owned()),
        warning: None,
        since: "2026-03-01T10:00:00Z".to_owned(),
    }
}

/// Runs `body` against a host with these checks.
async fn with_host<T>(checks: Option<Vec<Check>>, body: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let host = Arc::new(Host {
        checks: Mutex::new(checks),
    });
    let listen = "127.0.0.1:0".parse().unwrap();
    let admin = Admin::bind(listen, host, Some(Metrics::new()))
        .await
        .unwrap();
    let (address, stop) = (admin.address(), CancellationToken::new());
    let asked = async {
        let answer = body(address).await;
        stop.cancel();
        answer
    };
    let ((), answer) = tokio::join!(admin.run(stop.clone()), asked);
    answer
}

/// Sends these bytes and reads to the end.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn page(address: SocketAddr, path: &str) -> String {
    raw(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn the_command_line_gets_the_listing_as_it_is() {
    let handlers = with_host(None, client::handlers).await.unwrap();
    assert_eq!(handlers, [stars()]);
}

#[tokio::test]
async fn liveness_depends_on_nothing_and_readiness_on_every_check() {
    let checks = vec![
        Check::passed("stream"),
        Check::failed("database", "connection refused"),
    ];
    with_host(Some(checks), async |address| {
        assert!(page(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let short = page(address, "/readyz").await;
        assert!(
            short.starts_with("HTTP/1.1 503") && short.contains("not ready: database"),
            "{short}"
        );
        let long = page(address, "/readyz?verbose").await;
        let json: serde_json::Value =
            serde_json::from_str(long.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(
            (&json["ready"], &json["checks"][0]["ok"]),
            (&false.into(), &true.into())
        );
        assert_eq!(json["checks"][1]["detail"], "connection refused");
    })
    .await;
    with_host(Some(vec![Check::passed("database")]), async |address| {
        assert!(page(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn metrics_are_text_for_prometheus() {
    let answer = with_host(None, async |address| page(address, "/metrics").await).await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    assert!(answer.contains("qx_build_info{version="), "{answer}");
    assert!(
        answer.contains("connection: close") && answer.contains("nosniff"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_rebound_name_gets_nothing() {
    with_host(None, async |address| {
        for request in [
            "GET /api/handlers HTTP/1.1\r\nHost: evil.example:7420\r\n\r\n",
            "GET http://evil.example/api/handlers HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /api/handlers HTTP/1.0\r\n\r\n",
        ] {
            let answer = raw(address, request).await;
            assert!(
                answer.contains("403 Forbidden") && !answer.contains("stars"),
                "{answer}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_can_be_changed_and_what_is_not_there_says_what_is() {
    with_host(None, async |address| {
        let post = "POST /api/handlers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert!(raw(address, post).await.starts_with("HTTP/1.1 405"));
        assert!(page(address, "/").await.contains("/readyz?verbose"));
        let error = client::get(address, "/nowhere").await.unwrap_err();
        assert!(
            matches!(error, ClientError::Refused { status: 404, .. }),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_request_does_not_hold_up_the_stop() {
    let kept = with_host(None, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        page(address, "/livez").await;
        stream
    });
    let _kept = tokio::time::timeout(LAST_ANSWERS_WAIT * 10, kept)
        .await
        .expect("stops in time");
}

#[tokio::test]
async fn a_port_in_use_says_what_to_do() {
    let host = || {
        Arc::new(Host {
            checks: Mutex::new(None),
        })
    };
    let first = Admin::bind("127.0.0.1:0".parse().unwrap(), host(), None)
        .await
        .unwrap();
    let error = Admin::bind(first.address(), host(), None)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, AdminError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("set admin.listen"), "{error}");
    let error = Admin::bind("192.0.2.1:7420".parse().unwrap(), host(), None)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, AdminError::Unusable { .. }), "{error:?}");
}

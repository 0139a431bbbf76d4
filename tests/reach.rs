//! What components reach outside a running host: what they are granted, and nothing
//! of it in any output.
#![cfg(test)]

use acceptance::collector::{Collector, Seen};
use acceptance::web::{Manner, Web};
use acceptance::{Way, World};
use qx_sandbox::testing::ping;
use serde_json::json;

/// What must be seen by the server that it is for, and by nobody else.
const PLANTED: &str = "planted-0123456789-token";

/// Reads the secret `token`, says it at every level, sends it to a URL as a header and
/// as a body, and rejects the event with it.
fn leaky(url: &str) -> Vec<u8> {
    let length = url.len();
    let levels =
        |level: u32| format!("(call $log (i32.const {level}) (local.get $at) (local.get $length))");
    let says: String = (0..5).map(levels).collect();
    let body = format!(
        "(local $at i32) (local $length i32)
        (call $secret (i32.const 4096) (i32.const 5) (i32.const 5000))
        (local.set $at (i32.load (i32.const 5004)))
        (local.set $length (i32.load (i32.const 5008)))
        {says}
        (i32.store (i32.const 4608) (local.get $at))
        (i32.store (i32.const 4612) (local.get $length))
        (call $send (i32.const 4104) (i32.const 4) (i32.const 4200) (i32.const {length})
            (i32.const 4600) (i32.const 1)
            (i32.const 1) (i32.const 0) (local.get $at) (local.get $length)
            (i32.const 0) (i64.const 0) (i32.const 5000))
        (call $reject (local.get $at) (local.get $length))"
    );
    let fields = format!(
        r#"(data (i32.const 4096) "token") (data (i32.const 4104) "POST")
        (data (i32.const 4200) {url:?}) (data (i32.const 4720) "authorization")
        (data (i32.const 4600) "\70\12\00\00\0d\00\00\00")"#
    );
    ping(&body, &fields)
}

/// Sends a `GET` to a URL and rejects the event with the words of the error, or with
/// the body of the answer.
fn asking(url: &str) -> Vec<u8> {
    let length = url.len();
    let body = format!(
        "(call $send (i32.const 4104) (i32.const 3) (i32.const 4200) (i32.const {length})
            (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i64.const 0) (i32.const 5000))
        (if (result i32) (i32.load8_u (i32.const 5000))
            (then (call $reject (i32.load (i32.const 5008)) (i32.load (i32.const 5012))))
            (else (call $reject (i32.load (i32.const 5020)) (i32.load (i32.const 5024)))))"
    );
    let fields = format!(r#"(data (i32.const 4104) "GET") (data (i32.const 4200) {url:?})"#);
    ping(&body, &fields)
}

/// Everything that a person or a program can read of a host, but its spans.
async fn outputs(world: &World, letter: &str) -> Vec<(&'static str, String)> {
    let mut outputs = vec![("the log", world.printed())];
    for args in [
        &["handlers", "list"][..],
        &["handlers", "list", "--output", "json"],
        &["doctor", "--output", "json"],
        &["dlq", "list"],
        &["dlq", "list", "--output", "json"],
        &["dlq", "show", letter],
        &["dlq", "show", letter, "--output", "json"],
        &["outbox", "status", "--output", "json"],
    ] {
        let ran = world.qx(args).await;
        outputs.push((
            "a command",
            format!("{args:?} {} {}", ran.stdout, ran.stderr),
        ));
    }
    let address = world.admin().parse().unwrap();
    for path in ["/metrics", "/readyz", "/livez", "/api/handlers", "/nowhere"] {
        let page = qx_host::admin::client::get(address, path).await;
        let page = page.map(|page| String::from_utf8_lossy(&page).into_owned());
        outputs.push(("a page", format!("{path} {page:?}")));
    }
    let tables = "SELECT last_error || payload || headers FROM qx_dead_letters";
    outputs.push((
        "a table",
        format!("{:?}", world.database().await.rows(tables).await),
    ));
    outputs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_seen_by_the_server_it_is_for_and_in_no_output() {
    let (web, collector) = (Web::start(Manner::Answers), Collector::start().await);
    let origin = web.origin();
    let mut world = World::with(Way::Embedded, &[]).await;
    world.write("token", &format!("{PLANTED}\n"));
    world.configure(&format!(
            "[telemetry]\nlevel = \"trace\"\notlp_endpoint = \"{}\"\n[secrets]\ntoken = \"file:token\"\n\
             [grants.leaky]\ncapabilities = [\"http\", \"secrets\"]\nsecrets = [\"token\"]\nhttp = [\"{origin}\"]\n",
            collector.endpoint()
        ),
    );
    // Paths and queries of such URLs are secrets, too.
    let url = format!("{origin}/hook/{PLANTED}?key={PLANTED}");
    world.put("leaky.wasm", &leaky(&url));
    world.run().await;
    world.serves(&["leaky"]).await;
    let rights = world.listed("leaky").await["rights"].clone();
    assert_eq!(rights["secrets"], json!(["token"]));
    assert_eq!(rights["http"], json!([origin]));
    drop(world.trigger("ping", &json!({})).await);
    let reason = world.letter_of("leaky").await;
    let letters = world.qx(&["dlq", "list", "--output", "json"]).await.json();
    let id = letters[0]["id"].as_str().unwrap();
    assert!(reason.contains("[redacted]"), "{reason}");
    let request = web.requests().remove(0);
    assert!(
        request.contains(&format!("authorization: {PLANTED}")),
        "{request}"
    );
    assert!(request.ends_with(PLANTED), "{request}");

    let mut outputs = outputs(&world, id).await;
    let address = world.admin().parse().unwrap();
    let metrics = qx_host::admin::client::get(address, "/metrics").await;
    let metrics = String::from_utf8(metrics.unwrap()).unwrap();
    assert_eq!(world.host.take().unwrap().stop().await, 0);
    for message in collector.received() {
        outputs.push(("a span", String::from_utf8_lossy(&message).into_owned()));
    }
    for (what, text) in outputs {
        assert!(!text.contains(PLANTED), "{what} shows it: {text}");
    }
    assert!(
        world.printed().contains("[redacted]"),
        "its lines are there"
    );
    let counted = "qx_http_requests_total{component=\"leaky\",outcome=\"2xx\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    is_a_span_of_a_client(&collector, &origin);
}

/// The request is a span by the conventions, within that of the delivery.
fn is_a_span_of_a_client(collector: &Collector, origin: &str) {
    const CLIENT: i32 = 3;
    let spans = collector.spans();
    let is_request = |span: &&Seen| span.name == "POST" && span.kind == CLIENT;
    let request = spans.iter().find(is_request);
    let request = request.unwrap_or_else(|| panic!("{spans:#?}"));
    let (host, port) = origin
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .unwrap();
    let by_convention = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", host),
        ("server.port", port),
        ("url.scheme", "http"),
    ];
    for (key, value) in by_convention {
        let pair = (key.to_owned(), value.to_owned());
        assert!(request.attributes.contains(&pair), "{key}: {request:#?}");
    }
    let urls = |(key, _): &&(String, String)| key.starts_with("url.") || key.contains("header");
    let urls: Vec<_> = request.attributes.iter().filter(urls).collect();
    assert_eq!(urls.len(), 1, "{urls:?}");
    let delivery = spans.iter().find(|span| span.id == request.parent);
    assert_eq!(delivery.unwrap().name, "process ping");
}

/// Computes for as long as this before, between and after two requests.
fn long(url: &str) -> Vec<u8> {
    let length = url.len();
    let computes = "
        (local.set $n (i32.const 60000000))
        (loop
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br_if 0 (local.get $n)))";
    let sends = format!(
        "(call $send (i32.const 4104) (i32.const 3) (i32.const 4200) (i32.const {length})
            (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i64.const 0) (i32.const 5000))
        (if (i32.load8_u (i32.const 5000))
            (then (return (call $reject (i32.load (i32.const 5008)) (i32.load (i32.const 5012))))))"
    );
    let body =
        format!("(local $n i32) {computes} {sends} {computes} {sends} {computes} (call $ok)");
    let fields = format!(r#"(data (i32.const 4104) "GET") (data (i32.const 4200) {url:?})"#);
    ping(&body, &fields)
}

/// On the guests' own threads, and on instances that serve one event after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_computes_for_long_and_is_used_again_sends_each_request_once() {
    const EVENTS: usize = 30;
    let web = Web::start(Manner::Answers);
    let origin = web.origin();
    let mut world = World::with(Way::Embedded, &[]).await;
    world.configure(&format!(
        "[grants.long]\ncapabilities = [\"http\"]\nhttp = [\"{origin}\"]\n"
    ));
    world.put(
        "long.toml",
        b"concurrency = 2\n[limits]\ntimeout_ms = 4000\n[reuse]\n",
    );
    world.put("long.wasm", &long(&origin));
    world.run().await;
    world.serves(&["long"]).await;
    assert_eq!(
        web.requests(),
        [""; 0],
        "nothing is sent before there is an event"
    );
    let line = json!({"event_name": "ping", "payload": {}}).to_string();
    world.write("events.jsonl", &format!("{line}\n").repeat(EVENTS));
    drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'long'";
    world.settles(marks, &[&[&EVENTS.to_string()]]).await;
    assert_eq!(web.requests().len(), 2 * EVENTS);
    let address = world.admin().parse().unwrap();
    let metrics = qx_host::admin::client::get(address, "/metrics").await;
    let metrics = String::from_utf8(metrics.unwrap()).unwrap();
    let made = |line: &&str| line.starts_with("qx_instances_made_total{component=\"long\"}");
    let made = metrics.lines().find(made).unwrap();
    let made: usize = made.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(made <= 2, "{made} instances for {EVENTS} events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_every_language_sends_a_request_with_a_secret_and_the_events_id() {
    let web = Web::start(Manner::Answers);
    let origin = web.origin();
    let components = ["notice-c", "notice-python", "notice-typescript"];
    let mut world = World::with(Way::Embedded, &[]).await;
    let mut more = format!("[secrets]\nhook_token = \"{PLANTED}\"\n");
    for component in components {
        let grants = format!(
            "[grants.{component}]\ncapabilities = [\"http\", \"secrets\"]\nsecrets = [\"hook_token\"]\nhttp = [\"{origin}\"]\n"
        );
        more += &grants;
        let own = format!("[config]\nhook = \"{origin}/hook\"\n");
        world.write(&format!("components/{component}.toml"), &own);
    }
    world.write("qx-host.toml", &format!("{}{more}", world.config()));
    world.run().await;
    world.serves_in_turn(&components).await;
    let id = world
        .trigger("release.published", &json!({"version": "1.2"}))
        .await;
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox";
    world.settles(marks, &[&["3"]]).await;
    let requests = web.requests();
    assert_eq!(requests.len(), components.len(), "{requests:?}");
    for request in requests {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("post /hook http/1.1"), "{head}");
        let headers = [
            format!("authorization: bearer {PLANTED}"),
            format!("idempotency-key: {id}"),
        ];
        for header in headers {
            assert!(head.lines().any(|line| line == header), "{header}: {head}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, json!({"version": "1.2"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_this_machine_is_reached_by_who_is_granted_it_and_nobody_else() {
    let web = Web::start(Manner::Answers);
    let origin = web.origin();
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let mut world = World::with(Way::Embedded, &[]).await;
    world.configure(&format!(
            "[grants.elsewhere]\ncapabilities = [\"http\"]\nhttp = [\"https://api.example.com\", \"http://localhost:{port}\"]\n\
             [grants.granted]\ncapabilities = [\"http\"]\nhttp = [\"{origin}\"]\n"
        ),
    );
    world.put("bare.wasm", &asking(&origin));
    world.put(
        "elsewhere.wasm",
        &asking(&format!("http://2130706433:{port}/")),
    );
    world.run().await;
    world.serves(&["elsewhere"]).await;
    let bare = world.lists("bare", |seen| seen["state"] == "broken").await;
    let reason = bare["reason"].as_str().unwrap();
    assert!(
        reason.contains("`qx:events/http@1.0.0`") && reason.contains("[grants.bare]"),
        "{reason}"
    );
    drop(world.trigger("ping", &json!({})).await);
    let reason = world.letter_of("elsewhere").await;
    assert!(
        reason.contains(&format!(
            "add \"{origin}\" to `http` under `[grants.elsewhere]`"
        )),
        "{reason}"
    );
    assert_eq!(web.requests(), [""; 0]);

    world.put("granted.wasm", &asking(&origin));
    world.serves(&["granted"]).await;
    drop(world.trigger("ping", &json!({})).await);
    assert!(world.letter_of("granted").await.contains("thanks"));
    let letters = "SELECT CAST(count(*) AS TEXT) FROM qx_dead_letters WHERE component = 'granted'";
    world.settles(letters, &[&["2"]]).await;
    assert_eq!(
        web.requests().len(),
        2,
        "both events, by the one that is granted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_costs_its_component_time_and_its_neighbour_nothing() {
    const EVENTS: usize = 30;
    let web = Web::start(Manner::Hangs);
    let origin = web.origin();
    let mut world = World::with(Way::Embedded, &["stars"]).await;
    world.configure(&format!(
        "[grants.waits]\ncapabilities = [\"http\"]\nhttp = [\"{origin}\"]\n"
    ));
    world.put("waits.wasm", &asking(&origin));
    world.run().await;
    world.serves(&["waits", "stars"]).await;
    let ping = json!({"event_name": "ping", "payload": {}}).to_string();
    let payload = json!({"repository": {"full_name": "ada/engine"}, "sender": {"login": "ada"}});
    let star = json!({"event_name": "github.star.created", "payload": payload}).to_string();
    world.write("events.jsonl", &format!("{ping}\n{star}\n").repeat(EVENTS));
    drop(world.qx(&["trigger", "--lines", "events.jsonl"]).await.ok());
    let marks = "SELECT CAST(count(*) AS TEXT) FROM qx_inbox WHERE component = 'stars'";
    world.settles(marks, &[&[&EVENTS.to_string()]]).await;
    let reason = world.letter_of("waits").await;
    assert!(reason.contains("no whole answer from"), "{reason}");
}

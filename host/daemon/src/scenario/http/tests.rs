//! What fits, what is shown where it does not, and what is answered.

use std::time::Duration;

use qx_events::ComponentName;
use qx_events::ports::Http as _;
use qx_events::web::HttpGrant;
use serde_json::json;

use super::*;
use crate::scenario::compare::Difference;
use crate::scenario::script::{Fate, difference, holds};

fn exchanges(json: Value) -> Vec<HttpExchange> {
    serde_json::from_value(json).unwrap()
}

fn request(body: &str) -> HttpRequest {
    HttpRequest {
        method: "post".to_owned(),
        url: "https://Chat.example.com:443/hooks/1#there".to_owned(),
        headers: vec![
            ("Authorization".to_owned(), "Bearer planted".to_owned()),
            ("x-a".to_owned(), "1".to_owned()),
            ("X-A".to_owned(), "2".to_owned()),
        ],
        body: body.as_bytes().to_vec(),
        timeout: Duration::from_secs(1),
        response_bytes_max: 100,
        trace: None,
    }
}

fn web() -> Web {
    Web::new(ComponentName::parse("notify").unwrap())
}

/// Sends one request where this is expected.
async fn sent(expected: &Value) -> (Result<HttpResponse, HttpError>, Option<Difference>) {
    let expected = exchanges(json!([expected]));
    let web = web();
    web.expect(expected.clone(), None);
    let answer = web.send(request("{\"text\": \"hello\", \"n\": 1}")).await;
    (answer, difference(&expected, &web.calls()))
}

#[tokio::test]
async fn a_request_fits_by_what_is_named_of_it() {
    let url = "https://chat.example.com/hooks/1";
    for request in [
        json!({"method": "POST", "url": url}),
        json!({"method": "post", "url": "https://CHAT.example.com/hooks/1"}),
        json!({"method": "POST", "url": {"contains": "/hooks/"}}),
        json!({"method": "POST", "url": url, "headers": {"authorization": "Bearer planted", "x-a": "2", "x-b": null}}),
        json!({"method": "POST", "url": url, "headers": {"AUTHORIZATION": {"contains": "Bearer"}}}),
        json!({"method": "POST", "url": url, "body": {"n": 1, "text": "hello"}}),
        json!({"method": "POST", "url": url, "body": "{\"text\": \"hello\", \"n\": 1}"}),
        json!({"method": "POST", "url": url, "body_contains": "hello"}),
        json!({"method": "POST", "url": url, "body_base64": BASE64.encode("{\"text\": \"hello\", \"n\": 1}")}),
    ] {
        let (answer, found) = sent(&json!({"request": request, "response": {"status": 204}})).await;
        assert_eq!(found, None, "{request}");
        assert_eq!(answer.ok().map(|answer| answer.status), Some(204));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_answered_with_an_error_and_shows_what_is_named_of_it() {
    let url = "https://chat.example.com/hooks/1";
    for (request, seen) in [
        (
            json!({"method": "GET", "url": url}),
            json!({"method": "POST", "url": url}),
        ),
        (
            json!({"method": "POST", "url": {"contains": "/other/"}}),
            json!({"method": "POST", "url": url}),
        ),
        (
            json!({"method": "POST", "url": {"contains": "/hooks/"}, "headers": {"x-a": "3", "x-b": "1", "authorization": {"contains": "Bearer"}}}),
            json!({"method": "POST", "url": {"contains": "/hooks/"}, "headers": {"x-a": "1", "x-b": null, "authorization": {"contains": "Bearer"}}}),
        ),
        (
            json!({"method": "POST", "url": url, "headers": {"authorization": null}}),
            json!({"method": "POST", "url": url, "headers": {"authorization": "Bearer planted"}}),
        ),
        (
            json!({"method": "POST", "url": url, "body": {"n": 2, "text": "hello"}}),
            json!({"method": "POST", "url": url, "body": {"n": 1, "text": "hello"}}),
        ),
        (
            json!({"method": "POST", "url": url, "body_contains": "bye"}),
            json!({"method": "POST", "url": url, "body": {"n": 1, "text": "hello"}}),
        ),
    ] {
        let (answer, found) = sent(&json!({"request": request, "response": {"status": 204}})).await;
        let error = answer.err().unwrap().to_string();
        assert!(error.contains("expects no such request"), "{error}");
        let found = found.unwrap();
        assert_eq!(found.part, "http");
        assert_eq!(found.expected, json!([{"request": request}]));
        assert_eq!(found.seen, json!([{"request": seen}]));
    }
}

#[tokio::test]
async fn an_answer_has_status_headers_and_body_or_is_an_error_of_the_interface() {
    let url = "https://chat.example.com/hooks/1";
    let answer = async |answer: Value| {
        let mut exchange = json!({"request": {"method": "POST", "url": url}});
        let answer = answer.as_object().unwrap().clone();
        exchange.as_object_mut().unwrap().extend(answer);
        sent(&exchange).await.0
    };
    let response = json!({"response": {"status": 429, "headers": {"Retry-After": "3", "a": ["1", "2"]}, "body": {"ok": false}}});
    let given = answer(response).await.ok().unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        given.headers,
        [
            header("retry-after", "3"),
            header("a", "1"),
            header("a", "2")
        ]
    );
    assert_eq!((given.status, &*given.body), (429, &b"{\"ok\":false}"[..]));
    let text = json!({"response": {"status": 200, "body": "hello"}});
    assert_eq!(answer(text).await.ok().unwrap().body, b"hello");
    let bytes = json!({"response": {"status": 200, "body_base64": "AP8="}});
    assert_eq!(answer(bytes).await.ok().unwrap().body, [0, 255]);
    for word in ["timeout", "connect", "tls", "protocol"] {
        let error = answer(json!({"error": word})).await.err().unwrap();
        assert_eq!(error.as_str(), word);
    }
    let large = json!({"response": {"status": 200, "body": "a".repeat(101)}});
    let error = answer(large).await.err().unwrap();
    assert_eq!(error.as_str(), "too-large");
}

#[tokio::test]
async fn what_would_not_leave_the_real_client_does_not_get_here() {
    let expected = exchanges(json!([
        {"request": {"method": "POST", "url": "https://chat.example.com/hooks/1"}, "response": {"status": 204}}
    ]));
    let grant = |url: &str| Some(vec![HttpGrant::parse(url, false).unwrap()]);
    let web = web();
    web.expect(expected.clone(), grant("https://other.example.com"));
    let error = web.send(request("")).await.err().unwrap();
    assert_eq!(error.as_str(), "denied");
    let calls = web.calls();
    assert!(matches!(&calls[0].fate, Fate::Refused(why) if why.contains("[grants.notify]")));
    assert!(holds::<HttpExchange>(&[], &calls), "nothing has left");
    assert!(!holds(&expected, &calls), "what was expected did not come");

    web.expect(expected.clone(), grant("https://chat.example.com"));
    let mut own = request("");
    own.headers.push(("host".to_owned(), "evil".to_owned()));
    let error = web.send(own).await.err().unwrap();
    assert_eq!(error.as_str(), "invalid");
    assert!(web.send(request("")).await.is_ok());
}

#[test]
fn a_mistake_in_an_exchange_is_told() {
    let request = json!({"method": "GET", "url": "https://a.example"});
    for (exchange, said) in [
        (json!({"request": request}), "either a `response`"),
        (
            json!({"request": request, "response": {"status": 200}, "error": "tls"}),
            "either a `response`",
        ),
        (
            json!({"request": request, "error": "refused"}),
            "unknown variant `refused`",
        ),
        (
            json!({"request": request, "response": {"status": 100}}),
            "from 200 to 599",
        ),
        (
            json!({"request": request, "response": {"status": 200, "body": 1, "body_base64": ""}}),
            "`body_base64`",
        ),
        (
            json!({"request": request, "response": {"status": 200, "body_base64": "?"}}),
            "nvalid",
        ),
        (
            json!({"request": {"method": "GET", "url": "x", "body": 1, "body_contains": "a"}, "error": "tls"}),
            "one of `body`",
        ),
    ] {
        let error = serde_json::from_value::<HttpExchange>(exchange.clone()).unwrap_err();
        assert!(error.to_string().contains(said), "{exchange}: {error}");
    }
}

//! What is sent, and what never is, in every notation that a URL has.

use std::time::Duration;

use super::*;

fn stars() -> ComponentName {
    ComponentName::parse("stars").unwrap()
}

fn grants(each: &[(&str, bool)]) -> Vec<HttpGrant> {
    let grant = |(url, private): &(&str, bool)| HttpGrant::parse(url, *private).unwrap();
    each.iter().map(grant).collect()
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(1),
        response_bytes_max: 1 << 10,
        trace: None,
    }
}

fn planned(url: &str) -> Result<Plan, HttpError> {
    let grants = grants(&[("https://api.example.com", false)]);
    plan(request("GET", url), &grants, &stars())
}

#[test]
fn no_notation_of_another_host_is_a_granted_one() {
    for url in [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.1/",
        "http://0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
        "https://api.example.com./",
        "https://api.example.com:444/",
        "http://api.example.com/",
        "https://api.example.com.evil.test/",
        "https://evil.test/api.example.com",
        "https://evil.test\\.api.example.com/",
        "https://evil.test?.api.example.com/",
        "https://evil.test#.api.example.com/",
        "https://аpi.example.com/",
        "https://api%2eexample%2ecom.evil.test/",
        "https://evil.test\t/",
    ] {
        let refused = planned(url).map(|plan| plan.origin.to_string());
        assert!(
            matches!(refused, Err(HttpError::Denied(_))),
            "{url}: {refused:?}"
        );
    }
    for url in [
        "https://api.example.com@evil.test/",
        "https://api.example.com:443@evil.test/",
        "https://me:planted@api.example.com/",
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "gopher://api.example.com/",
        "//api.example.com/",
        "/path",
        "",
        "https://",
        "http://[::1",
        "http://256.256.256.256/",
        "http://a b/",
        "https://api.example.com%00.evil.test/",
    ] {
        let refused = planned(url).map(|plan| plan.origin.to_string());
        assert!(
            matches!(refused, Err(HttpError::Invalid(_))),
            "{url}: {refused:?}"
        );
        let text = refused.unwrap_err().to_string();
        assert!(!text.contains("planted"), "{text}");
    }
}

#[test]
fn what_is_granted_is_sent_as_it_was_checked() {
    let plan = planned("https://API.example.com:443/a b/../c?d=e f#planted").unwrap();
    assert_eq!(plan.origin.to_string(), "https://api.example.com");
    assert_eq!(plan.request.uri().to_string(), "/c?d=e%20f");
    assert_eq!(plan.request.headers()["host"], "api.example.com");
}

#[test]
fn a_refusal_names_what_to_grant_and_nothing_of_the_path() {
    let refused = planned("http://127.0.0.1:8080/planted?planted").map(|_| ());
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("add \"http://127.0.0.1:8080\" to `http` under `[grants.stars]`"),
        "{text}"
    );
    assert!(!text.contains("planted"), "{text}");
}

#[test]
fn one_address_that_is_not_granted_refuses_the_name() {
    let to = |each: &[&str]| -> Vec<IpAddr> { each.iter().map(|a| a.parse().unwrap()).collect() };
    let of = |private: bool| {
        let grants = grants(&[("http://x.example", private)]);
        plan(request("GET", "http://x.example/"), &grants, &stars()).unwrap()
    };
    let (open, own) = (of(false), of(true));
    assert!(
        open.admit(&to(&["1.1.1.1", "2606:4700::1111"]), &stars())
            .is_ok()
    );
    for private in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
    ] {
        let refused = open
            .admit(&to(&["1.1.1.1", private]), &stars())
            .unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("{ url = \"http://x.example\", private = true }"),
            "{text}"
        );
        assert!(own.admit(&to(&["1.1.1.1", private]), &stars()).is_ok());
    }
    for never in [
        "169.254.169.254",
        "fd00:ec2::254",
        "169.254.0.1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
    ] {
        for plan in [&open, &own] {
            let refused = plan.admit(&to(&[never]), &stars()).unwrap_err().to_string();
            assert!(
                refused.contains("names the address itself"),
                "{never}: {refused}"
            );
        }
    }
}

#[test]
fn a_trace_goes_along_unless_the_guest_has_its_own() {
    let grants = grants(&[("https://api.example.com", false)]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = |headers: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let request = HttpRequest {
            headers: headers.iter().map(pair).collect(),
            trace: TraceContext::parse(parent, Some("vendor=1")),
            ..request("GET", "https://api.example.com/")
        };
        plan(request, &grants, &stars()).unwrap().request
    };
    assert_eq!(sent(&[]).headers()["traceparent"], parent);
    assert_eq!(sent(&[]).headers()["tracestate"], "vendor=1");
    let own = sent(&[("Traceparent", "own")]);
    assert_eq!(own.headers()["traceparent"], "own");
    assert!(!own.headers().contains_key("tracestate"));
}

#[test]
fn methods_are_words_and_not_those_of_proxies() {
    let grants = grants(&[("https://api.example.com", false)]);
    let method = |text: &str| {
        let request = request(text, "https://api.example.com/");
        plan(request, &grants, &stars()).map(|plan| plan.request.method().to_string())
    };
    assert_eq!(method("post").unwrap(), "POST");
    assert_eq!(method("PURGE").unwrap(), "PURGE");
    for bad in ["CONNECT", "trace", "", "GET /", "G\r\nX", &"X".repeat(21)] {
        assert!(method(bad).is_err(), "{bad}");
    }
}

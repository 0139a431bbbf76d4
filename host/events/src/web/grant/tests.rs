//! What a grant covers, in every notation that a host has.

use super::*;

fn grant(text: &str) -> HttpGrant {
    HttpGrant::parse(text, false).unwrap()
}

fn covers(grant_text: &str, url: &str) -> bool {
    let origin = Url::parse(url).ok().and_then(|url| Origin::of(&url));
    origin.is_some_and(|origin| grant(grant_text).covers(&origin))
}

#[test]
fn scheme_host_and_port_are_compared_exactly() {
    let granted = "https://api.example.com";
    for url in [
        "https://api.example.com/",
        "https://API.Example.COM/x?y#z",
        "https://api.example.com:443/",
        "https://api.exam\tple.com/",
        "https:\\\\api.example.com\\x",
        "https://%61pi.example.com/",
        "https://ａpi.example.com/",
    ] {
        assert!(covers(granted, url), "{url}");
    }
    for url in [
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com./",
        "https://xapi.example.com/",
        "https://api.example.com.evil.test/",
        "https://api.example.com@evil.test/",
        "https://evil.test/https://api.example.com",
        "https://evil.test\\@api.example.com/",
        "https://evil.test#@api.example.com/",
        "https://evil.test?@api.example.com/",
        "https://аpi.example.com/",
        "ftp://api.example.com/",
        "file:///api.example.com",
        "https:///",
    ] {
        assert!(!covers(granted, url), "{url}");
    }
}

#[test]
fn an_address_is_the_same_in_every_notation() {
    for url in [
        "http://127.0.0.1:8080/",
        "http://2130706433:8080/",
        "http://0x7f000001:8080/",
        "http://0x7f.1:8080/",
        "http://017700000001:8080/",
        "http://127.1:8080/",
        "http://127.0.0.1.:8080/",
        "http://①②⑦.0.0.1:8080/",
    ] {
        assert!(covers("http://127.0.0.1:8080", url), "{url}");
        assert!(!covers("http://10.0.0.1:8080", url), "{url}");
        assert!(!covers("http://example.com:8080", url), "{url}");
    }
    for url in [
        "http://[::ffff:127.0.0.1]:8080/",
        "http://[::1]:8080/",
        "http://localhost:8080/",
    ] {
        assert!(!covers("http://127.0.0.1:8080", url), "{url}");
    }
    assert!(covers("http://[::1]:8080", "http://[0:0:0:0::1]:8080/"));
}

#[test]
fn a_wildcard_is_one_label_as_in_a_certificate() {
    let granted = "https://*.example.com";
    assert!(covers(granted, "https://a.example.com/"));
    for url in [
        "https://example.com/",
        "https://a.b.example.com/",
        "https://.example.com/",
        "https://aexample.com/",
        "https://a.example.com.evil.test/",
        "http://a.example.com/",
    ] {
        assert!(!covers(granted, url), "{url}");
    }
}

#[test]
fn what_is_no_place_is_refused_with_what_would_be_right() {
    for (text, part) in [
        ("api.example.com", "write scheme, host and port"),
        ("ftp://example.com", "write scheme, host and port"),
        ("https://", "is no URL"),
        ("https://example.com/", "more than scheme, host and port"),
        ("https://example.com/v1", "more than scheme, host and port"),
        ("https://example.com?x", "more than scheme, host and port"),
        ("https://me:pw@example.com", "has a user in it"),
        ("https://@example.com", "has a user in it"),
        ("https://example.com.", "ends with a dot"),
        ("https://*.com", "at least two labels"),
        ("https://*.127.0.0.1", "at least two labels"),
        ("https://a.*.com", "not its first label"),
        ("https://*", "not its first label"),
        ("http://2130706433", "write http://127.0.0.1"),
        ("http://0x7f.1:81", "write http://127.0.0.1:81"),
    ] {
        let refused = HttpGrant::parse(text, false).unwrap_err().to_string();
        assert!(refused.contains(part), "{text}: {refused}");
    }
}

#[test]
fn the_address_behind_a_name_must_be_public_unless_the_grant_reaches_further() {
    let reaches = |grant: &HttpGrant, address: &str| grant.reaches(address.parse().unwrap());
    let open = grant("https://example.com");
    assert!(reaches(&open, "1.1.1.1"));
    let own = HttpGrant::parse("https://example.com", true).unwrap();
    for address in ["127.0.0.1", "10.1.2.3", "fd00::1", "::1"] {
        assert!(
            !reaches(&open, address) && reaches(&own, address),
            "{address}"
        );
    }
    for address in [
        "169.254.169.254",
        "fd00:ec2::254",
        "169.254.1.1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
    ] {
        assert!(
            !reaches(&open, address) && !reaches(&own, address),
            "{address}"
        );
    }
    let named = grant("http://169.254.169.254");
    assert!(reaches(&named, "169.254.169.254") && !reaches(&named, "1.1.1.1"));
}

#[test]
fn what_is_asked_for_is_narrowed_to_what_is_granted() {
    let narrowed = |own: &HttpGrant, other: &str| own.narrowed_to(&grant(other));
    let wild = HttpGrant::parse("https://*.example.com", true).unwrap();
    let own = narrowed(&wild, "https://a.example.com").unwrap();
    assert_eq!(own.to_string(), "https://a.example.com (private)");
    assert_eq!(narrowed(&wild, "https://*.example.com"), Some(wild.clone()));
    assert_eq!(narrowed(&wild, "https://a.b.example.com"), None);
    let one = grant("http://127.0.0.1:8080");
    assert_eq!(narrowed(&one, "http://127.0.0.1"), None);
    assert_eq!(narrowed(&one, "http://127.0.0.1:8080"), Some(one.clone()));
    assert_eq!(
        narrowed(&grant("https://a.example.com"), "https://*.example.com"),
        None
    );
}

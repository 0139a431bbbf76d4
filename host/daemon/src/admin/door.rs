//! Who is let in: those who call the host by its own address.
//!
//! A page in somebody's browser can be made to send requests here under a name of
//! its own that resolves to us (DNS rebinding). Such a request carries that name
//! in `Host`, so a name that is not ours is refused.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The addresses by which the host may be called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    listen: IpAddr,
}

impl Door {
    pub(super) fn new(listen: IpAddr) -> Self {
        Self { listen }
    }

    /// Whether every name that the request calls us by is ours, and there is one.
    fn admits(self, request: &Request) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter().peekable();
        let in_target = request
            .uri()
            .authority()
            .is_none_or(|target| self.is_ours(target));
        let named = |host: &HeaderValue| {
            let host = host
                .to_str()
                .ok()
                .and_then(|host| host.parse::<Authority>().ok());
            host.is_some_and(|host| self.is_ours(&host))
        };
        hosts.peek().is_some() && hosts.all(named) && in_target
    }

    fn is_ours(self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
            return false;
        };
        let ip = ip.to_canonical();
        // An address is never a rebound name; on all interfaces any may be ours.
        ip.is_loopback() || ip == self.listen.to_canonical() || self.listen.is_unspecified()
    }
}

/// Refuses who is not let in; lets every connection serve one request, so that its
/// time limit is the request's.
pub(super) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let mut response = if door.admits(&request) {
        next.run(request).await
    } else {
        let text =
            "refused: call this host by the address that admin.listen names, or by localhost\n";
        (StatusCode::FORBIDDEN, text).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn admits(listen: &str, target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        Door::new(listen.parse().unwrap()).admits(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn only_our_own_names_are_let_in() {
        let table = [
            ("127.0.0.1", "127.0.0.1:7420", true),
            ("127.0.0.1", "localhost", true),
            ("127.0.0.1", "LOCALHOST:1", true),
            ("127.0.0.1", "[::1]:7420", true),
            ("127.0.0.1", "10.0.0.7:7420", false),
            ("127.0.0.1", "evil.example", false),
            ("127.0.0.1", "127.0.0.1.evil.example:7420", false),
            ("127.0.0.1", "localhost.evil.example", false),
            ("127.0.0.1", "evil@127.0.0.1", false),
            ("127.0.0.1", "", false),
            ("10.0.0.7", "10.0.0.7:7420", true),
            ("10.0.0.7", "10.0.0.8:7420", false),
            ("0.0.0.0", "10.0.0.8:7420", true),
            ("0.0.0.0", "evil.example:7420", false),
            ("::", "[fd00::1]:7420", true),
        ];
        for (listen, host, expected) in table {
            assert_eq!(
                admits(listen, "/livez", &[host]),
                expected,
                "{listen} {host}"
            );
        }
    }

    #[test]
    fn no_name_and_a_second_name_are_refused() {
        assert!(!admits("127.0.0.1", "/livez", &[]));
        assert!(!admits(
            "127.0.0.1",
            "/livez",
            &["localhost", "evil.example"]
        ));
        assert!(!admits(
            "127.0.0.1",
            "http://evil.example/livez",
            &["localhost"]
        ));
        assert!(admits(
            "127.0.0.1",
            "http://localhost/livez",
            &["localhost"]
        ));
    }
}

//! Which headers of a guest go out, and which are the host's to say.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use qx_events::ports::HttpError;

/// Headers of one request.
pub const REQUEST_HEADERS_MAX: usize = 64;

/// Bytes of their names and values together: more than servers take.
pub const REQUEST_HEADER_BYTES_MAX: usize = 16 << 10;

/// What a guest must not say: it is about the connection, or would make the server
/// read another request than the host has checked.
const HOSTS_OWN: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// What begins like this is for a proxy.
const PROXYS_OWN: &str = "proxy-";

/// Who asks, unless the guest says.
const USER_AGENT: &str = concat!("qx-host/", env!("CARGO_PKG_VERSION"));

/// The guest's headers, checked; names have lower case and values no line break.
pub(crate) fn checked(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let count = headers.len();
    if count > REQUEST_HEADERS_MAX {
        return Err(too_much(format!(
            "a request has at most {REQUEST_HEADERS_MAX} headers, this one has {count}"
        )));
    }
    let bytes = |(name, value): &(String, String)| name.len().saturating_add(value.len());
    let bytes = headers
        .iter()
        .map(bytes)
        .fold(0_usize, usize::saturating_add);
    if bytes > REQUEST_HEADER_BYTES_MAX {
        return Err(too_much(format!(
            "headers have at most {REQUEST_HEADER_BYTES_MAX} bytes together, these have {bytes}"
        )));
    }
    let mut checked = HeaderMap::with_capacity(count);
    for (name, value) in headers {
        let (name, value) = one(name, value)?;
        checked.append(name, value);
    }
    let agent = HeaderValue::from_static(USER_AGENT);
    checked.entry(header::USER_AGENT).or_insert(agent);
    Ok(checked)
}

fn too_much(message: String) -> HttpError {
    let word = "http_headers";
    HttpError::Limit { word, message }
}

/// Values are not repeated in errors: they may be secrets.
fn one(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HttpError> {
    let shown: String = name.escape_debug().take(80).collect();
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_illegal| HttpError::Invalid(format!("`{shown}` is no name of a header")))?;
    let own = parsed.as_str();
    if HOSTS_OWN.contains(&own) || own.starts_with(PROXYS_OWN) {
        return Err(HttpError::Invalid(format!(
            "the header `{shown}` is the host's to say; leave it out"
        )));
    }
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_illegal| {
        HttpError::Invalid(format!(
            "the value of the header `{shown}` has a line break or another control character"
        ))
    })?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> Option<String> {
        let headers = [(name.to_owned(), value.to_owned())];
        checked(&headers).err().map(|error| error.to_string())
    }

    #[test]
    fn headers_of_the_connection_are_the_hosts_to_say() {
        for name in [
            "Host",
            "connection",
            "Content-Length",
            "TRANSFER-ENCODING",
            "Proxy-Authorization",
            "proxy-anything",
            "Upgrade",
            "TE",
            "Expect",
        ] {
            let refused = refused(name, "x").unwrap_or_default();
            assert!(
                refused.contains("is the host's to say"),
                "{name}: {refused}"
            );
        }
        assert_eq!(refused("Authorization", "Bearer x"), None);
    }

    #[test]
    fn nothing_of_a_header_ends_its_line() {
        for value in ["a\r\nHost: evil", "a\nb", "a\rb", "a\0b"] {
            let refused = refused("x-a", value).unwrap();
            assert!(!refused.contains("evil"), "{refused}");
        }
        for name in ["a b", "a:b", "a\r\n", "", "ü"] {
            assert!(refused(name, "x").is_some(), "{name}");
        }
        assert_eq!(refused("x-a", "größe"), None);
    }

    #[test]
    fn headers_have_a_bound_in_number_and_in_bytes() {
        let one = ("x-a".to_owned(), "b".to_owned());
        assert!(checked(&vec![one.clone(); REQUEST_HEADERS_MAX]).is_ok());
        let word = |refused: HttpError| {
            let HttpError::Limit { word, .. } = refused else {
                panic!("{refused}");
            };
            word
        };
        let too_many = checked(&vec![one; REQUEST_HEADERS_MAX + 1]).unwrap_err();
        assert_eq!(word(too_many), "http_headers");
        let long = ("x-a".to_owned(), "b".repeat(REQUEST_HEADER_BYTES_MAX));
        assert_eq!(word(checked(&[long]).unwrap_err()), "http_headers");
    }

    #[test]
    fn who_asks_is_said_unless_the_guest_says_it() {
        let agent = |headers: &[(String, String)]| checked(headers).unwrap()["user-agent"].clone();
        assert!(agent(&[]).to_str().unwrap().starts_with("qx-host/"));
        assert_eq!(agent(&[("User-Agent".to_owned(), "me".to_owned())]), "me");
    }
}

//! A message's headers as the client library takes them.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use qx_events::wire::Headers;

/// The headers as the client library takes them; it would panic at a bad one.
pub(super) fn header_map(headers: &Headers) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in &headers.0 {
        if name
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("nats-"))
        {
            return Err(format!("header `{name}` is the broker's own"));
        }
        let shown = name.escape_debug();
        let (Ok(parsed), false) = (HeaderName::from_str(name), name.is_empty()) else {
            return Err(format!(
                "header name `{shown}` is not legal: use printable ASCII without spaces and colons"
            ));
        };
        let Ok(value) = HeaderValue::from_str(value) else {
            return Err(format!("the value of header `{shown}` holds a line break"));
        };
        map.append(parsed, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_would_break_the_wire_is_refused_in_words() {
        let one = |name: &str, value: &str| {
            header_map(&Headers(vec![(name.to_owned(), value.to_owned())])).map(|_| ())
        };
        assert_eq!(one("qx.event_name", "a.b"), Ok(()));
        assert_eq!(one("tracestate", ""), Ok(()));
        for (name, value, says) in [
            ("x", "a\r\nNats-Rollup: all", "line break"),
            ("x", "a\nb", "line break"),
            ("x\r\ny", "a", "not legal"),
            ("x:y", "a", "not legal"),
            ("", "a", "not legal"),
            ("ü", "a", "not legal"),
            ("Nats-Rollup", "all", "broker's own"),
            ("nats-msg-id", "1", "broker's own"),
        ] {
            let error = one(name, value).unwrap_err();
            assert!(error.contains(says), "{name:?}: {error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn a_header_given_twice_is_sent_twice() {
        let twice =
            [("a", "1"), ("a", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = header_map(&Headers(twice.to_vec())).unwrap();
        assert_eq!(map.get_all("a").count(), 2);
    }
}

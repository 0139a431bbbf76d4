//! What a broker hands over: bodies and headers of messages, from whoever can publish.

use qx_events::wire::Headers;
use qx_events::{Envelope, EventName, OrderingKey, Pattern, TraceContext};

/// The body of a message. What is an envelope is written as one that reads the same.
pub fn envelope(data: &[u8]) {
    let Ok(read) = Envelope::decode(data, None) else {
        return;
    };
    let text = read.encode();
    let again = Envelope::decode(text.as_bytes(), None).expect("what is written can be read");
    assert_eq!(again.encode(), text);
    assert_eq!(again.event_id, read.event_id);
    assert_eq!(again.payload.get(), read.payload.get());
    assert!(EventName::parse(read.event_name.as_str()).is_ok());
}

/// The headers of a message: lines of a name, a colon and a value.
pub fn headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let headers = Headers(text.lines().filter_map(pair).collect());
    if let Some(trace) = headers.trace() {
        printable(trace.traceparent());
        let state = trace.tracestate();
        let again = TraceContext::parse(trace.traceparent(), state);
        assert_eq!(again.as_ref(), Some(&trace));
    }
    if let Some(key) = headers.ordering_key() {
        assert!(OrderingKey::parse(key.as_str()).is_ok());
    }
    for line in text.lines() {
        if let Ok(pattern) = Pattern::parse(line) {
            printable(&pattern.to_string());
            let again = Pattern::parse(&pattern.to_string());
            assert_eq!(again.as_ref().ok(), Some(&pattern));
        }
        if let Ok(name) = EventName::parse(line) {
            printable(name.as_str());
        }
    }
    let body =
        br#"{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"a","payload":1}"#;
    Envelope::of_message(body, &headers).expect("no header makes a body malformed");
}

fn printable(text: &str) {
    crate::printable(text);
    assert!(!text.contains(['\n', '\t']), "{text:?}");
}

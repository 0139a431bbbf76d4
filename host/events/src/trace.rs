//! W3C trace context, checked on the way in.

/// Longest `traceparent` accepted, in bytes. Version 00 has 55; the rest is room
/// for later versions, which may append fields.
const TRACEPARENT_BYTES_MAX: usize = 128;

/// Longest `tracestate` kept, in bytes: what W3C Trace Context (section 3.3.1.5)
/// asks implementations to propagate at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The context of one span, as the headers `traceparent` and `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: Box<str>,
    tracestate: Option<Box<str>>,
}

impl TraceContext {
    /// Reads a context. `None` when `traceparent` is not one: a trace is never a
    /// reason to refuse an event. A `tracestate` that is too long or not
    /// printable is left out, as the specification allows.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        if !is_traceparent(traceparent) {
            return None;
        }
        let printable = |text: &&str| {
            !text.is_empty()
                && text.len() <= TRACESTATE_BYTES_MAX
                && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        };
        Some(Self {
            traceparent: traceparent.into(),
            tracestate: tracestate.filter(printable).map(Into::into),
        })
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The header `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

/// `version-traceid-spanid-flags`, lower-case hex, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let hex = |part: Option<&str>, digits: usize| {
        part.is_some_and(|part| {
            part.len() == digits
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    let id = |part: Option<&str>, digits: usize| {
        hex(part, digits) && part.is_some_and(|part| part.bytes().any(|b| b != b'0'))
    };
    let version = parts.next();
    let whole = hex(version, 2)
        && version != Some("ff")
        && id(parts.next(), 32)
        && id(parts.next(), 16)
        && hex(parts.next(), 2);
    whole
        && text.len() <= TRACEPARENT_BYTES_MAX
        && (version != Some("00") || parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_kept_when_it_is_one() {
        let context = TraceContext::parse(GOOD, Some("vendor=1")).unwrap();
        assert_eq!(context.traceparent(), GOOD);
        assert_eq!(context.tracestate(), Some("vendor=1"));
        assert_eq!(
            TraceContext::parse(GOOD, Some("a\nb"))
                .unwrap()
                .tracestate(),
            None
        );
    }

    #[test]
    fn anything_else_is_no_context() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
    }
}

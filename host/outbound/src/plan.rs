//! What a request comes to, decided before anything is sent: its origin, the grants
//! for it, and the bytes. Pure; the addresses are judged here too, once they are known.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use qx_events::ports::{HttpError, HttpRequest};
use qx_events::web::{HttpGrant, Origin, range_of};
use qx_events::{ComponentName, TraceContext};
use url::{Position, Url};

use crate::headers;

/// Longest URL in bytes: as much as servers take.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// Longest word of a method in bytes.
const METHOD_BYTES_MAX: usize = 20;

/// Addresses of one name that are tried, one after the other.
const TRIES_MAX: usize = 4;

/// A request that may be sent, if its addresses may be connected to.
pub(crate) struct Plan {
    pub(crate) origin: Origin,
    pub(crate) request: Request<Full<Bytes>>,
    grants: Vec<HttpGrant>,
}

/// What of a request is decided by its text: everything but the addresses.
struct Judged {
    url: Url,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
    covering: Vec<HttpGrant>,
}

/// Holds a request against the rules, and against the grants where there are any: what
/// [`Client`](crate::Client) would say before it asks for an address. Nothing is sent.
/// Returns where it goes.
pub fn judge(
    given: &HttpRequest,
    grants: Option<&[HttpGrant]>,
    component: &ComponentName,
) -> Result<Origin, HttpError> {
    judged(given, grants, component).map(|judged| judged.origin)
}

fn judged(
    given: &HttpRequest,
    grants: Option<&[HttpGrant]>,
    component: &ComponentName,
) -> Result<Judged, HttpError> {
    let url = parse(&given.url)?;
    let origin = Origin::of(&url)
        .ok_or_else(|| invalid("the URL is not of http or https, or has no host".to_owned()))?;
    // As in `http://granted@elsewhere/`: who writes that means something else.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL has a user in it; send the header `authorization` instead".to_owned(),
        ));
    }
    let covers = |grant: &&HttpGrant| grant.covers(&origin);
    let covering = grants.map(|grants| grants.iter().filter(covers).cloned().collect());
    let covering: Vec<HttpGrant> = covering.unwrap_or_default();
    if grants.is_some() && covering.is_empty() {
        return Err(HttpError::Denied(format!(
            "`{component}` may not send requests to {origin}: add \"{origin}\" to `http` under \
                `[grants.{component}]` of qx-host.toml, and in `{component}.toml` if that file has the key"
        )));
    }
    Ok(Judged {
        method: method(&given.method)?,
        headers: headers::checked(&given.headers)?,
        url,
        origin,
        covering,
    })
}

/// Holds a request against the grants and the rules, and makes it ready to be sent.
pub(crate) fn plan(
    given: HttpRequest,
    grants: &[HttpGrant],
    component: &ComponentName,
) -> Result<Plan, HttpError> {
    let Judged {
        url,
        origin,
        method,
        mut headers,
        covering,
    } = judged(&given, Some(grants), component)?;
    let host = HeaderValue::from_str(&origin.authority())
        .map_err(|_illegal| invalid("the host is no legal header".to_owned()))?;
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    add_trace(&mut headers, given.trace.as_ref());
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let target = Uri::try_from(target)
        .map_err(|_illegal| invalid("the path of the URL cannot be sent".to_owned()))?;
    let mut request = Request::new(Full::new(Bytes::from(given.body)));
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(Plan {
        origin,
        request,
        grants: covering,
    })
}

impl Plan {
    /// The addresses to try. One that is not granted refuses them all: a name that
    /// leads inside and outside is not to be trusted with the choice.
    pub(crate) fn admit(
        &self,
        addresses: &[IpAddr],
        component: &ComponentName,
    ) -> Result<Vec<IpAddr>, HttpError> {
        let reached = |address: &&IpAddr| self.grants.iter().any(|grant| grant.reaches(**address));
        if let Some(refused) = addresses.iter().find(|address| !reached(address)) {
            return Err(self.refusal(*refused, component));
        }
        Ok(addresses.iter().take(TRIES_MAX).copied().collect())
    }

    fn refusal(&self, address: IpAddr, component: &ComponentName) -> HttpError {
        let (origin, range) = (&self.origin, range_of(address));
        let remedy = if range.is_ones_own() {
            format!(
                "if that is meant, write {{ url = \"{origin}\", private = true }} into `http` under \
                    `[grants.{component}]` of qx-host.toml"
            )
        } else {
            let scheme = origin.scheme();
            format!(
                "only a grant that names the address itself reaches it, \"{scheme}://…\" in `http` \
                    under `[grants.{component}]` of qx-host.toml"
            )
        };
        HttpError::Denied(format!(
            "{origin} leads to {address}, a {range} address: {remedy}"
        ))
    }
}

fn invalid(text: String) -> HttpError {
    HttpError::Invalid(text)
}

/// A URL that is no URL is not repeated: it may have a secret in it.
fn parse(text: &str) -> Result<Url, HttpError> {
    let bytes = text.len();
    if bytes > URL_BYTES_MAX {
        return Err(HttpError::Limit {
            word: "http_url",
            message: format!("a URL has at most {URL_BYTES_MAX} bytes, this one has {bytes}"),
        });
    }
    Url::parse(text).map_err(|error| invalid(format!("the URL is none: {error}")))
}

fn method(text: &str) -> Result<Method, HttpError> {
    let upper = text.to_ascii_uppercase();
    let legal = upper.len() <= METHOD_BYTES_MAX;
    let parsed = Method::from_bytes(upper.as_bytes()).ok().filter(|_| legal);
    match parsed {
        Some(Method::CONNECT | Method::TRACE) => Err(invalid(format!(
            "the method {upper} is for proxies; no handler needs it"
        ))),
        Some(method) => Ok(method),
        None => Err(invalid("the method is no word such as GET".to_owned())),
    }
}

/// The header of a trace context.
const TRACEPARENT: &str = "traceparent";

/// What a guest set itself stays.
fn add_trace(headers: &mut HeaderMap, trace: Option<&TraceContext>) {
    let Some(trace) = trace.filter(|_| !headers.contains_key(TRACEPARENT)) else {
        return;
    };
    if let Ok(value) = HeaderValue::try_from(trace.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
    let state = trace.tracestate().map(HeaderValue::try_from);
    if let Some(Ok(value)) = state {
        headers.insert("tracestate", value);
    }
}

#[cfg(test)]
mod tests;

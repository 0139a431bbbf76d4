//! Requests of handlers as spans and figures: whose, where to, and how they ended.
//! Never: a path, a query, a header or a body, which may all be secrets, or a host that
//! the component may send nothing to, which is the guest's own text.

use std::sync::Arc;

use async_trait::async_trait;
use metrics::Histogram;
use qx_events::ComponentName;
use qx_events::ports::{Http, HttpError, HttpRequest, HttpResponse};
use qx_events::web::{HttpGrant, Origin};
use qx_pipeline::trace::{Propagation, TARGET};
use tokio::time::Instant;
use tracing::field::{self, Empty};
use tracing::{Instrument, Span};
use url::Url;

use super::metrics::Metrics;
use super::names;

/// Sends the requests of one component, and tells of them.
pub struct Watched {
    inner: Arc<dyn Http>,
    component: ComponentName,
    grants: Vec<HttpGrant>,
    propagation: Arc<dyn Propagation>,
    meters: Option<(Metrics, Histogram)>,
}

impl Watched {
    /// Makes spans, and counts nothing yet. What `grants` cover may be named.
    pub fn new(
        inner: Arc<dyn Http>,
        (component, grants): (ComponentName, Vec<HttpGrant>),
        propagation: Arc<dyn Propagation>,
    ) -> Self {
        Self {
            inner,
            component,
            grants,
            propagation,
            meters: None,
        }
    }

    /// Counts into these.
    #[must_use]
    pub fn counting(self, metrics: Option<&Metrics>) -> Self {
        let labels = [self.component.as_str()];
        let meters = metrics.map(|metrics| {
            let duration = metrics.histogram(&names::HTTP_DURATION, &labels);
            (metrics.clone(), duration)
        });
        Self { meters, ..self }
    }

    fn count(&self, outcome: &str, begun: Instant) {
        if let Some((metrics, duration)) = &self.meters {
            let labels = [self.component.as_str(), outcome];
            metrics.counter(&names::HTTP_REQUESTS, &labels).increment(1);
            duration.record(begun.elapsed());
        }
    }
}

#[async_trait]
impl Http for Watched {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let span = self.span(&request);
        // What is sent on belongs to this span, which is a part of the delivery's.
        let own = self.propagation.enter(&span, None);
        request.trace = own.or(request.trace);
        let begun = Instant::now();
        let answer = self.inner.send(request).instrument(span.clone()).await;
        let outcome = match &answer {
            Ok(response) => {
                span.record("http.response.status_code", response.status);
                if response.status >= 400 {
                    span.record("error.type", response.status.to_string());
                }
                class(response.status)
            }
            Err(error) => {
                span.record("error.type", error.as_str());
                error.as_str()
            }
        };
        self.count(outcome, begun);
        answer
    }
}

impl Watched {
    /// By the conventions for clients of HTTP. Of the URL only its origin.
    fn span(&self, request: &HttpRequest) -> Span {
        let url = Url::parse(&request.url).ok();
        let origin = url.as_ref().and_then(Origin::of);
        let origin = origin.filter(|origin| self.grants.iter().any(|grant| grant.covers(origin)));
        let method = method(&request.method);
        tracing::info_span!(
            target: TARGET,
            "http",
            otel.name = method.unwrap_or("HTTP"),
            otel.kind = "client",
            http.request.method = method.unwrap_or("_OTHER"),
            url.scheme = origin.as_ref().map(|origin| field::display(origin.scheme())),
            server.address = origin.as_ref().map(|origin| field::display(origin.host())),
            server.port = origin.as_ref().map(Origin::port),
            http.response.status_code = Empty,
            error.type = Empty,
        )
    }
}

/// The methods that everybody knows; the guest's own words are no attribute.
fn method(text: &str) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|own| own.eq_ignore_ascii_case(text))
}

/// The class of a status: few values, as a label needs.
const fn class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qx_pipeline::trace::PassThrough;

    use super::*;

    struct Answers(u16);

    #[async_trait]
    impl Http for Answers {
        async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            match self.0 {
                0 => Err(HttpError::Timeout("late".to_owned())),
                status => Ok(HttpResponse {
                    status,
                    headers: Vec::new(),
                    body: Vec::new(),
                }),
            }
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_component_and_how_they_ended() {
        let metrics = Metrics::new();
        for status in [200, 204, 503, 0] {
            let stars = ComponentName::parse("stars").unwrap();
            let inner = Arc::new(Answers(status));
            let watched = Watched::new(inner, (stars, Vec::new()), Arc::new(PassThrough));
            let request = HttpRequest {
                method: "GET".to_owned(),
                url: "https://x.example/planted?planted".to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
                timeout: Duration::MAX,
                response_bytes_max: 1,
                trace: None,
            };
            drop(watched.counting(Some(&metrics)).send(request).await);
        }
        let text = metrics.render();
        for line in [
            "qx_http_requests_total{component=\"stars\",outcome=\"2xx\"} 2",
            "qx_http_requests_total{component=\"stars\",outcome=\"5xx\"} 1",
            "qx_http_requests_total{component=\"stars\",outcome=\"timeout\"} 1",
            "qx_http_request_duration_seconds_count{component=\"stars\"} 4",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!text.contains("planted"));
    }
}

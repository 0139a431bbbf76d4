//! Spans as a collector sees them.

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SimpleSpanProcessor};
use qx_events::TraceContext;
use qx_pipeline::trace::Propagation;
use tracing::field::Empty;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::config::ProcessParent;
use crate::telemetry::Exported;
use crate::telemetry::fixtures::{Captured, REMOTE};

const REMOTE_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const REMOTE_SPAN: &str = "b7ad6b7169203331";

/// What was exported while `body` ran.
fn exported(body: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let processor = SimpleSpanProcessor::new(Noticed::new(exporter.clone()));
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .build();
    let subscriber = Registry::default().with(vec![layer(&provider)]);
    tracing::subscriber::with_default(subscriber, body);
    exporter.get_finished_spans().unwrap()
}

fn remote() -> TraceContext {
    TraceContext::parse(REMOTE, Some("vendor=1")).unwrap()
}

/// A span as the pipeline makes it.
fn process_span() -> tracing::Span {
    tracing::info_span!(
        target: TARGET,
        "process",
        otel.name = "process order.placed",
        otel.kind = "consumer",
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = "order.placed",
        qx.attempt = 2_u32,
        qx.outcome = Empty,
        error.type = Empty,
    )
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let pair = span
        .attributes
        .iter()
        .find(|pair| pair.key.as_str() == key)?;
    Some(pair.value.to_string())
}

#[test]
fn a_delivery_is_a_child_of_its_message_and_what_it_emits_is_a_child_of_the_delivery() {
    let mut inside = None;
    let spans = exported(|| {
        let span = process_span();
        inside = Exported::new(ProcessParent::Message).enter(&span, Some(&remote()));
        span.record("qx.outcome", "done");
    });
    let span = &spans[0];
    assert_eq!(span.name, "process order.placed");
    assert_eq!(span.span_kind, SpanKind::Consumer);
    assert_eq!(span.span_context.trace_id().to_string(), REMOTE_TRACE);
    assert_eq!(span.parent_span_id.to_string(), REMOTE_SPAN);
    assert!(span.parent_span_is_remote);
    assert_eq!(
        span.links[0].span_context.span_id().to_string(),
        REMOTE_SPAN
    );
    let own = format!("00-{REMOTE_TRACE}-{}-01", span.span_context.span_id());
    let inside = inside.unwrap();
    assert_eq!(
        (inside.traceparent(), inside.tracestate()),
        (own.as_str(), Some("vendor=1"))
    );
}

#[test]
fn a_delivery_can_be_a_trace_of_its_own_that_is_linked() {
    let mut inside = None;
    let spans = exported(|| {
        inside = Exported::new(ProcessParent::None).enter(&process_span(), Some(&remote()));
    });
    let span = &spans[0];
    assert_ne!(span.span_context.trace_id().to_string(), REMOTE_TRACE);
    assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
    assert_eq!(
        span.links[0].span_context.trace_id().to_string(),
        REMOTE_TRACE
    );
    let inside = inside.unwrap();
    assert!(
        inside
            .traceparent()
            .contains(&span.span_context.trace_id().to_string())
    );
    assert_eq!(inside.tracestate(), None);
}

#[test]
fn attributes_are_called_as_the_conventions_say() {
    let spans = exported(|| {
        let span = process_span();
        Exported::new(ProcessParent::Message).enter(&span, None);
        span.record("qx.outcome", "trap");
        span.record("error.type", "trap");
    });
    let span = &spans[0];
    for (key, value) in [
        ("messaging.system", "nats"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "order.placed"),
        ("qx.attempt", "2"),
        ("qx.outcome", "trap"),
        ("error.type", "trap"),
    ] {
        assert_eq!(
            attribute(span, key).as_deref(),
            Some(value),
            "{key}: {:?}",
            span.attributes
        );
    }
    assert_eq!(span.attributes.len(), 7, "{:?}", span.attributes);
    assert_eq!(span.status, Status::error(""));
}

#[test]
fn a_publish_links_its_rows_and_is_the_context_of_those_without_one() {
    let mut own = None;
    let spans = exported(|| {
        let span = tracing::info_span!(target: TARGET, "publish", otel.kind = "client");
        let propagation = Exported::new(ProcessParent::Message);
        own = propagation.enter(&span, None);
        propagation.link(&span, &remote());
        propagation.link(&span, &remote());
    });
    assert_eq!(
        (spans[0].links.len(), &spans[0].span_kind),
        (2, &SpanKind::Client)
    );
    assert_eq!(spans[0].status, Status::Unset);
    let own = own.unwrap();
    assert!(
        own.traceparent()
            .contains(&spans[0].span_context.span_id().to_string())
    );
}

#[test]
fn a_producer_that_does_not_sample_is_followed() {
    let unsampled = TraceContext::parse(&REMOTE.replace("-01", "-00"), None).unwrap();
    let mut inside = None;
    let spans = exported(|| {
        inside = Exported::new(ProcessParent::Message).enter(&process_span(), Some(&unsampled));
    });
    assert!(spans.is_empty());
    let inside = inside.unwrap();
    assert!(inside.traceparent().contains(REMOTE_TRACE) && inside.traceparent().ends_with("-00"));
}

#[test]
fn other_spans_and_lines_are_not_exported() {
    let spans = exported(|| {
        let _other = tracing::info_span!("other").entered();
        let span = process_span();
        span.in_scope(|| tracing::error!(target: "qx_guest", "a guest's line"));
    });
    assert_eq!(spans.len(), 1);
    assert!(spans[0].events.is_empty());
}

#[test]
fn a_context_goes_on_when_its_span_was_filtered_out() {
    let span = tracing::Span::none();
    let inside = Exported::new(ProcessParent::Message).enter(&span, Some(&remote()));
    assert_eq!(inside, Some(remote()));
}

#[derive(Debug)]
struct Flaky(AtomicBool);

impl SpanExporter for Flaky {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure(
            "refused".to_owned(),
        ))
    }
}

#[test]
fn a_collector_that_is_away_is_one_line_and_so_is_its_return() {
    let captured = Captured::default();
    captured.during("info", || {
        let noticed = Noticed::new(Flaky(AtomicBool::new(false)));
        let export = || futures::executor::block_on(noticed.export(Vec::new()));
        assert!(export().is_err() && export().is_err());
        noticed.exporter.0.store(true, Ordering::Relaxed);
        assert!(export().is_ok() && export().is_ok());
    });
    let lines = captured.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("do not arrive") && lines[1].contains("again"),
        "{lines:?}"
    );
}

/// A collector that takes one batch: HTTP/2 by hand, since an answer is five bytes
/// and a trailer.
async fn collect(listener: tokio::net::TcpListener) -> (String, Vec<u8>) {
    let (socket, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let answer = async move {
        let mut received = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            received.extend_from_slice(&chunk);
        }
        let head = axum::http::Response::builder().header("content-type", "application/grpc");
        let mut send = respond
            .send_response(head.body(()).unwrap(), false)
            .unwrap();
        send.send_data(bytes::Bytes::from_static(&[0; 5]), false)
            .unwrap();
        let mut trailers = axum::http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        received
    };
    let closed = async move { while connection.accept().await.is_some() {} };
    let (received, ()) = tokio::join!(answer, closed);
    (path, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_reaches_a_collector_over_grpc_when_the_host_stops() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let provider = provider(exporter(&endpoint).unwrap(), resource("qx-test"));
    let subscriber = Registry::default().with(vec![layer(&provider)]);
    tracing::subscriber::with_default(subscriber, || {
        let span = process_span();
        Exported::new(ProcessParent::Message).enter(&span, Some(&remote()));
    });
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown());
    let ((path, received), flushed) = tokio::join!(collect(listener), flushed);
    flushed.unwrap().unwrap();
    assert_eq!(
        path,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    // Text is itself in protobuf, and so are the bytes of an id.
    let has = |part: &[u8]| received.windows(part.len()).any(|window| window == part);
    assert!(has(b"process order.placed") && has(b"qx-test") && has(b"messaging.system"));
    assert!(has(&hex::decode(REMOTE_TRACE).unwrap()) && has(&hex::decode(REMOTE_SPAN).unwrap()));
}

//! Ties the pipeline's spans to W3C contexts, through OpenTelemetry.
//!
//! A remote context is always linked, and is the parent too unless configured
//! otherwise. What leaves a span is the span's own context.

use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use qx_events::TraceContext;
use qx_pipeline::trace::Propagation;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::ProcessParent;

/// Spans are exported.
#[derive(Debug, Clone, Copy)]
pub struct Exported {
    parent: ProcessParent,
}

impl Exported {
    /// With this parent for the span of a delivery.
    pub fn new(parent: ProcessParent) -> Self {
        Self { parent }
    }
}

impl Propagation for Exported {
    fn enter(&self, span: &Span, remote: Option<&TraceContext>) -> Option<TraceContext> {
        if let Some(context) = remote.and_then(read) {
            if self.parent == ProcessParent::Message {
                let parent = Context::new().with_remote_span_context(context.clone());
                if let Err(error) = span.set_parent(parent) {
                    tracing::trace!(%error, "span keeps its parent");
                }
            }
            span.add_link(context);
        }
        write(span.context().span().span_context(), remote).or_else(|| remote.cloned())
    }

    fn link(&self, span: &Span, remote: &TraceContext) {
        if let Some(context) = read(remote) {
            span.add_link(context);
        }
    }
}

/// The context as OpenTelemetry has it.
fn read(context: &TraceContext) -> Option<SpanContext> {
    let mut parts = context.traceparent().split('-').skip(1);
    let trace_id = TraceId::from_hex(parts.next()?).ok()?;
    let span_id = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let state = context
        .tracestate()
        .and_then(|state| TraceState::from_str(state).ok());
    let flags = TraceFlags::new(flags);
    Some(SpanContext::new(
        trace_id,
        span_id,
        flags,
        true,
        state.unwrap_or_default(),
    ))
}

/// The span's own context as W3C has it. The remote's `tracestate` goes on, to the
/// letter, as long as the trace does.
fn write(own: &SpanContext, remote: Option<&TraceContext>) -> Option<TraceContext> {
    if !own.is_valid() {
        return None;
    }
    let (trace_id, span_id) = (own.trace_id(), own.span_id());
    let parent = format!("00-{trace_id}-{span_id}-{:02x}", own.trace_flags().to_u8());
    let same_trace = |remote: &&TraceContext| {
        remote.traceparent().split('-').nth(1) == Some(trace_id.to_string().as_str())
    };
    let state = remote.filter(same_trace).and_then(TraceContext::tracestate);
    TraceContext::parse(&parent, state)
}

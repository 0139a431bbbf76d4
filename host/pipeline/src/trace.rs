//! How trace context enters and leaves a span, behind a trait: the loops make
//! spans with `tracing` and do not know where they are exported to.

use qx_events::TraceContext;
use tracing::Span;

/// Target of every span of the pipeline, so that a subscriber which exports none
/// need not make them: on the hot path a span costs more than the look-up.
pub const TARGET: &str = "qx_trace";

/// Ties spans to W3C contexts.
pub trait Propagation: Send + Sync {
    /// Makes `span` belong to the trace of `remote`, and returns the context that
    /// what happens inside the span should carry.
    fn enter(&self, span: &Span, remote: Option<&TraceContext>) -> Option<TraceContext>;

    /// Links `span` to `remote` without making it a child.
    fn link(&self, span: &Span, remote: &TraceContext);
}

/// No spans are exported: a context is passed through as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassThrough;

impl Propagation for PassThrough {
    fn enter(&self, _: &Span, remote: Option<&TraceContext>) -> Option<TraceContext> {
        remote.cloned()
    }

    fn link(&self, _: &Span, _: &TraceContext) {}
}

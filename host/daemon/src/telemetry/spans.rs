//! The way of a span from the pipeline to a collector: OTLP over gRPC, in batches,
//! from a thread of its own. When the collector is away spans are dropped, never
//! events held up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use qx_pipeline::trace::TARGET;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;

use super::logs::BoxedLayer;

/// How long the collector may take for one batch, retries included.
const EXPORT_WAIT: Duration = Duration::from_secs(5);

/// An exporter to this endpoint. Connects when the first batch is due. Must be
/// called inside a runtime.
pub(super) fn exporter(endpoint: &str) -> Result<impl SpanExporter + use<>, ExporterBuildError> {
    OtlpExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_WAIT)
        // For https: the authorities that browsers trust. Not used for http.
        .with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        .build()
}

/// Who the spans come from. `OTEL_RESOURCE_ATTRIBUTES` adds to it.
pub(super) fn resource(service_name: &str) -> Resource {
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build()
}

/// Makes spans for this exporter, in batches.
pub(super) fn provider(
    exporter: impl SpanExporter + 'static,
    resource: Resource,
) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(Noticed::new(exporter))
        .build()
}

/// The layer that takes the pipeline's spans, and nothing else.
pub(super) fn layer(provider: &SdkTracerProvider) -> BoxedLayer {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("qx-host"))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        // Nobody here asks OpenTelemetry for the current context.
        .with_context_activation(false)
        .with_filter(Targets::new().with_target(TARGET, Level::INFO))
        .boxed()
}

/// Says once when spans no longer arrive, and once when they do again; and gives a
/// span with an `error.type` the status that the conventions ask for.
#[derive(Debug)]
pub(super) struct Noticed<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E> Noticed<E> {
    pub(super) fn new(exporter: E) -> Self {
        Self {
            exporter,
            failing: AtomicBool::new(false),
        }
    }

    fn notice(&self, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("spans arrive at the collector again");
                }
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "spans do not arrive at the collector and are dropped; check telemetry.otlp_endpoint");
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for Noticed<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            let failed = span
                .attributes
                .iter()
                .any(|pair| pair.key.as_str() == "error.type");
            if failed && span.status == Status::Unset {
                span.status = Status::error("");
            }
        }
        let result = self.exporter.export(batch).await;
        self.notice(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests;

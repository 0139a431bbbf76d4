//! Sets telemetry up for the process, and takes it down again.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use qx_pipeline::Witness;
use qx_pipeline::trace::{PassThrough, Propagation};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::logged::Logged;
use super::logs;
use super::metered::Metered;
use super::metrics::Metrics;
use super::options::Options;
use super::propagation::Exported;
use super::spans;
use crate::config::TelemetryConfig;

/// How long the last spans may take on their way out. A collector that is away
/// must not hold up the end of the process.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error(
        "read the log filter `{filter}` of {from}: use a level (error, warn, info, debug, trace) or directives such as `info,qx_pipeline=debug`"
    )]
    Filter {
        /// The text.
        filter: String,
        /// The key or variable it comes from.
        from: &'static str,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The collector's address is none we can speak to.
    #[error(
        "use the OTLP endpoint (telemetry.otlp_endpoint or OTEL_EXPORTER_OTLP_ENDPOINT): it must be http://host:port of a collector's gRPC port, usually 4317; for TLS run a collector beside the host"
    )]
    Endpoint(#[source] Option<ExporterBuildError>),
    /// There is no runtime to export from.
    #[error("export spans outside a tokio runtime: call it from within one")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// Somebody else has the log.
    #[error(
        "install the log: the process has one already; start telemetry once, or use `Metrics` and the witnesses alone"
    )]
    Taken(#[source] TryInitError),
}

/// What was set up.
#[must_use = "spans that are not flushed with `shutdown` are lost"]
pub struct Telemetry {
    metrics: Metrics,
    propagation: Arc<dyn Propagation>,
    provider: Option<SdkTracerProvider>,
}

/// Sets up log, metrics and spans for this process, by its configuration and its
/// environment.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    start(&Options::gather(config))
}

/// Sets up log, metrics and spans for this process.
pub fn start(options: &Options) -> Result<Telemetry, TelemetryError> {
    let log = logs::on_stderr(options.format, &options.filter).map_err(|source| {
        let (filter, from) = (options.filter.clone(), options.filter_from);
        TelemetryError::Filter {
            filter,
            from,
            source,
        }
    })?;
    let mut layers = vec![log];
    let mut telemetry = Telemetry {
        metrics: Metrics::new(),
        propagation: Arc::new(PassThrough),
        provider: None,
    };
    if let Some(endpoint) = &options.endpoint {
        let provider = provider(endpoint, &options.service_name)?;
        layers.push(spans::layer(&provider));
        telemetry.propagation = Arc::new(Exported::new(options.parent));
        telemetry.provider = Some(provider);
    }
    Registry::default()
        .with(layers)
        .try_init()
        .map_err(TelemetryError::Taken)?;
    Ok(telemetry)
}

fn provider(endpoint: &str, service_name: &str) -> Result<SdkTracerProvider, TelemetryError> {
    tokio::runtime::Handle::try_current().map_err(TelemetryError::NoRuntime)?;
    if !endpoint.starts_with("http://") {
        return Err(TelemetryError::Endpoint(None));
    }
    let exporter =
        spans::exporter(endpoint).map_err(|error| TelemetryError::Endpoint(Some(error)))?;
    Ok(spans::provider(exporter, spans::resource(service_name)))
}

impl Telemetry {
    /// The figures of this process.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Ties spans to contexts; passes contexts through when none are exported.
    pub fn propagation(&self) -> Arc<dyn Propagation> {
        Arc::clone(&self.propagation)
    }

    /// Counts decisions into [`metrics`](Self::metrics).
    pub fn metered(&self) -> Arc<dyn Witness> {
        Arc::new(Metered::new(self.metrics()))
    }

    /// Writes decisions to the log.
    pub fn logged(&self) -> Arc<dyn Witness> {
        Arc::new(Logged::default())
    }

    /// Sends the spans that wait, for a few seconds at most.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else {
            return;
        };
        // It blocks, and needs the runtime meanwhile.
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_WAIT));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

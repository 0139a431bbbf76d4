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
        "use the OTLP endpoint (telemetry.otlp_endpoint or OTEL_EXPORTER_OTLP_ENDPOINT): it must be http://host:port or https://host:port of a collector's gRPC port, usually 4317"
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
    if !["http://", "https://"]
        .iter()
        .any(|scheme| endpoint.starts_with(scheme))
    {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, ProcessParent};

    fn refused(filter: &str, endpoint: Option<&str>) -> TelemetryError {
        let options = Options {
            format: LogFormat::Text,
            filter: filter.to_owned(),
            filter_from: "RUST_LOG",
            endpoint: endpoint.map(ToOwned::to_owned),
            service_name: "qx-test".to_owned(),
            parent: ProcessParent::Message,
        };
        start(&options).err().unwrap()
    }

    #[test]
    fn a_bad_filter_names_its_place_and_what_would_be_right() {
        let text = refused("info,a=loud", None).to_string();
        assert!(text.contains("`info,a=loud` of RUST_LOG"), "{text}");
        assert!(text.contains("`info,qx_pipeline=debug`"), "{text}");
    }

    #[tokio::test]
    async fn an_endpoint_we_cannot_speak_to_says_what_would_be_right() {
        for endpoint in ["collector:4317", "grpc://collector:4317", "http://"] {
            let text = refused("info", Some(endpoint)).to_string();
            assert!(text.contains("http://host:port"), "{endpoint}: {text}");
        }
    }

    #[test]
    fn spans_need_a_runtime_to_leave_from() {
        let error = refused("info", Some("http://127.0.0.1:4317"));
        assert!(matches!(error, TelemetryError::NoRuntime(_)), "{error:?}");
    }
}

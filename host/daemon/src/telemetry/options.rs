//! How telemetry is set up: the configuration, and the environment variables that
//! people know from elsewhere.
//!
//! `RUST_LOG` and `OTEL_SERVICE_NAME` win over the configuration, being nearer to
//! the one who asks; the endpoint of `OTEL_EXPORTER_OTLP_*` stands in for one that
//! is not configured.

use crate::config::{LogFormat, ProcessParent, TelemetryConfig};

/// How telemetry is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Shape of the log.
    pub format: LogFormat,
    /// What is logged: a level or directives.
    pub filter: String,
    /// Where `filter` comes from, for a message about it.
    pub filter_from: &'static str,
    /// Where spans go, OTLP over gRPC; `None` is nowhere.
    pub endpoint: Option<String>,
    /// What the spans are called by.
    pub service_name: String,
    /// What the span of a delivery is a child of.
    pub parent: ProcessParent,
}

impl Options {
    /// The configuration, with what this process's environment adds.
    pub fn gather(config: &TelemetryConfig) -> Self {
        Self::gather_from(config, |name| std::env::var(name).ok())
    }

    fn gather_from(config: &TelemetryConfig, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let configured = config.otlp_endpoint.as_ref().map(ToString::to_string);
        let (filter, filter_from) = match set("RUST_LOG") {
            Some(filter) => (filter, "RUST_LOG"),
            None => (config.level.clone(), "telemetry.level"),
        };
        Self {
            format: config.log,
            filter,
            filter_from,
            endpoint: configured
                .or_else(|| set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
                .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT")),
            service_name: set("OTEL_SERVICE_NAME").unwrap_or_else(|| config.service_name.clone()),
            parent: config.process_parent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: Option<&str>) -> TelemetryConfig {
        TelemetryConfig {
            otlp_endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            service_name: "qx-host".to_owned(),
            log: LogFormat::Text,
            level: "info".to_owned(),
            process_parent: ProcessParent::Message,
        }
    }

    #[test]
    fn known_variables_are_honoured_and_empty_ones_are_not() {
        let plain = Options::gather_from(&config(None), |_| Some(String::new()));
        assert_eq!(
            (plain.filter.as_str(), plain.filter_from),
            ("info", "telemetry.level")
        );
        assert_eq!(
            (plain.endpoint, plain.service_name.as_str()),
            (None, "qx-host")
        );

        let from_env = Options::gather_from(&config(None), |name| Some(format!("{name}-value")));
        assert_eq!(from_env.filter, "RUST_LOG-value");
        assert_eq!(from_env.service_name, "OTEL_SERVICE_NAME-value");
        let endpoint = from_env.endpoint.unwrap();
        assert_eq!(endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT-value");
    }

    #[test]
    fn a_configured_endpoint_wins_over_the_environment() {
        let both = Options::gather_from(&config(Some("http://a:1")), |_| {
            Some("http://b:2".to_owned())
        });
        assert_eq!(both.endpoint.as_deref(), Some("http://a:1/"));
    }
}
